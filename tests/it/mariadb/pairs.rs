//! All nine pairs of Postgres, MariaDB and H2, there and back by `copy`: digests are equal at every station, and every
//! station holds what the fixture says, as JDBC reads it.

use std::collections::BTreeMap;

use super::{Database, Maria, With, views};
use crate::app_db::{AppDb, PEAK_KIB_MAX, Scale, measured};
use crate::crossing::rows::{self, Contents};
use crate::crossing::shape::Shape;
use crate::load::round_trip::are_equal;
use crate::load::{copy, done};

/// Every kind of database.
pub(super) const KINDS: [Kind; 3] = [Kind::Postgres, Kind::MariaDb, Kind::H2];
/// In the order of the canonical form.
const COLUMNS: &str = "SELECT table_name, column_name FROM information_schema.columns \
    WHERE table_schema = database() AND is_generated = 'NEVER' ORDER BY table_name, binary lower(column_name)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    MariaDb,
    H2,
}

/// A database of any kind, for one station of a journey.
pub(super) enum Station<'a> {
    Postgres(AppDb),
    MariaDb(Database<'a>),
    /// A file in the folder of that one.
    H2(AppDb, &'static str),
}

/// What all stations are measured by.
pub(super) struct World<'a> {
    maria: &'a Maria,
    pub(super) app_db: AppDb,
    /// Of the fixture's H2 file: names of tables and columns.
    shape: Shape,
    wanted: Contents,
}

impl<'a> World<'a> {
    /// `None`, said aloud, where something is missing.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(super) fn new(maria: &'a Maria, scale: Scale) -> Option<Self> {
        if std::env::var_os("METAFERRY_TEST_MARIADB_JDBC_JAR").is_none() {
            eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_JDBC_JAR names no jar");
            return None;
        }
        let app_db = AppDb::load_at(scale)?;
        app_db.h2_fixture();
        let shape = Shape::of(&app_db, "fixture");
        let wanted = match scale {
            Scale::Hundredth => rows::wanted(&app_db),
            // What the generator made, read over JDBC; what stays behind is empty at every station but the first.
            Scale::One => {
                let mut wanted = rows::of_postgres(&app_db, &shape);
                for table in rows::stays_behind(&app_db) {
                    wanted.insert(
                        table,
                        rows::contents(BTreeMap::from([(String::new(), Vec::new())]))[""].clone(),
                    );
                }
                wanted
            }
        };
        Some(Self {
            maria,
            app_db,
            shape,
            wanted,
        })
    }

    /// Something with all rows in it.
    pub(super) fn full(&self, kind: Kind, scale: Scale) -> Station<'a> {
        match (kind, scale) {
            (Kind::Postgres, _) => Station::Postgres(AppDb::load_at(scale).unwrap()),
            (Kind::MariaDb, Scale::Hundredth) => Station::MariaDb(self.maria.database(With::Rows)),
            (Kind::MariaDb, Scale::One) => Station::MariaDb(self.maria.generated()),
            (Kind::H2, Scale::Hundredth) => {
                let beside = self.app_db.empty_beside();
                beside.h2_fixture();
                Station::H2(beside, "fixture")
            }
            (Kind::H2, Scale::One) => {
                let beside = self.app_db.empty_beside();
                self.app_db.dump_to(&beside.file());
                Station::H2(beside, "app-db")
            }
        }
    }

    pub(super) fn empty(&self, kind: Kind) -> Station<'a> {
        match kind {
            Kind::Postgres => Station::Postgres(self.app_db.empty_beside()),
            Kind::MariaDb => Station::MariaDb(self.maria.database(With::Nothing)),
            Kind::H2 => Station::H2(self.app_db.empty_beside(), "app-db"),
        }
    }

    /// What JDBC reads there is what is wanted.
    fn is_as_wanted(&self, station: &Station<'_>, journey: &str) {
        let found = match station {
            Station::Postgres(app_db) => rows::of_postgres(app_db, &self.shape),
            Station::MariaDb(database) => of_mariadb(&self.app_db, database),
            Station::H2(app_db, name) => rows::of_h2(app_db, name, &Shape::of(app_db, name)),
        };
        for (table, wanted) in &self.wanted {
            // Each kind of database has a schema history of its own.
            if table != "databasechangelog" {
                assert_eq!(found.get(table), Some(wanted), "{table}, {journey}");
            }
        }
        assert!(found.len() >= 92, "{} tables, {journey}", found.len());
    }

    /// From a full one of that kind to an empty one of each, and back. A journey over the own kind alone comes first: its
    /// views have the texts of the first, over the rows that all have.
    fn travel(&self, from: Kind, over: &[Kind], scale: Scale) {
        let source = self.full(from, scale);
        let mut wanted = None;
        for &kind in over {
            let journey = format!("{from:?} to {kind:?} and back, {scale:?}");
            let (between, back) = (self.empty(kind), self.empty(from));
            let there = done(&copy(&source.url(), &between.url(), &[]));
            self.is_as_wanted(&between, &journey);
            let again = done(&copy(&between.url(), &back.url(), &["--include-logs"]));
            are_equal(&there, &again);
            self.is_as_wanted(&back, &journey);
            for report in [&there, &again] {
                views::none_is_left_out(report, &journey);
            }
            let (between, back) = (views::views(self, &between), views::views(self, &back));
            views::are_as_many(&between, &back, &journey);
            match &wanted {
                Some(wanted) => views::are_equal(&back, wanted, &journey),
                None => wanted = Some(back),
            }
        }
    }
}

impl Station<'_> {
    /// What a database's own JDBC driver reads.
    pub(super) fn ask(&self, app_db: &AppDb, statements: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        match self {
            Self::Postgres(station) => station.postgres(statements),
            Self::MariaDb(database) => {
                let (url, user) = database.jdbc();
                app_db.ask(&url, &user, statements)
            }
            Self::H2(station, name) => station.java(
                &format!("{};ACCESS_MODE_DATA=r", station.h2_url(name)),
                statements,
            ),
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Postgres(app_db) => app_db.url.clone(),
            Self::MariaDb(database) => database.url(),
            Self::H2(app_db, name) => format!("h2:{}/{name}", app_db.folder.path().display()),
        }
    }
}

/// Every table, by lower-case name, as MariaDB's own JDBC driver reads it.
fn of_mariadb(app_db: &AppDb, database: &Database<'_>) -> Contents {
    let (url, user) = database.jdbc();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in &app_db.ask(&url, &user, &[("columns", COLUMNS)])["columns"] {
        let (table, column) = line.split_once('\t').unwrap();
        columns
            .entry(table.to_owned())
            .or_default()
            .push(format!("`{column}`"));
    }
    let tables = database.tables();
    let queries: Vec<(String, String)> = tables
        .iter()
        .map(|table| {
            let sql = format!("SELECT {} FROM `{table}`", columns[table].join(", "));
            (table.to_lowercase(), sql)
        })
        .collect();
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    rows::contents(app_db.ask(&url, &user, &queries))
}

#[test]
fn small_from_postgres_to_each_and_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(world) = World::new(&maria, Scale::Hundredth) else {
        return;
    };
    world.travel(
        Kind::Postgres,
        &[Kind::Postgres, Kind::MariaDb, Kind::H2],
        Scale::Hundredth,
    );
}

#[test]
fn small_from_mariadb_to_each_and_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(world) = World::new(&maria, Scale::Hundredth) else {
        return;
    };
    world.travel(
        Kind::MariaDb,
        &[Kind::MariaDb, Kind::Postgres, Kind::H2],
        Scale::Hundredth,
    );
}

#[test]
fn small_from_h2_to_each_and_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(world) = World::new(&maria, Scale::Hundredth) else {
        return;
    };
    world.travel(
        Kind::H2,
        &[Kind::H2, Kind::Postgres, Kind::MariaDb],
        Scale::Hundredth,
    );
}

/// All nine take minutes: `cargo xtask pairs` sets the variable for them.
#[test]
fn large_there_and_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(world) = World::new(&maria, Scale::One) else {
        return;
    };
    if std::env::var_os("METAFERRY_TEST_ALL_PAIRS").is_none() {
        world.travel(Kind::Postgres, &[Kind::MariaDb], Scale::One);
        return;
    }
    for from in KINDS {
        world.travel(from, &KINDS, Scale::One);
        views::come_back_from_everywhere(&world, from);
    }
}

/// The pair of the three that costs the target most, with the memory of it.
#[test]
fn large_from_mariadb_to_mariadb_in_bounded_memory() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.generated(), maria.database(With::Nothing));
    let (json, peak_kib) = measured(&[], &["--json", "copy", "--from", &from.url(), "--to", &to.url()]);
    assert!(peak_kib < PEAK_KIB_MAX, "{peak_kib} KiB at its peak");
    assert!(json["rows"].as_u64().unwrap() > 90_000, "{}", json["rows"]);
    assert_eq!(json["notes"], serde_json::json!([]));
    let tables: Vec<String> = super::carried(&json)
        .into_iter()
        .filter(|table| !super::CHANGED.contains(&table.as_str()))
        .collect();
    assert_eq!(to.checksums(&tables), from.checksums(&tables));
}
