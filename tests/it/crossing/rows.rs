//! Rows of a dump beside those of Postgres: how many, and a SHA-256 over all of them in canonical form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::shape::Shape;
use crate::app_db::AppDb;

/// In the order of the canonical form.
const COLUMNS: &str = "SELECT table_name, column_name FROM information_schema.columns \
    WHERE table_schema = 'public' AND is_generated = 'NEVER' ORDER BY table_name, column_name COLLATE \"C\"";

/// How many rows, and their hash.
type Content = (usize, String);
/// Of every table, by lower-case name.
pub(crate) type Contents = BTreeMap<String, Content>;

/// Every table that travels, read from both, is the same; the rest is empty in H2; views can be read.
pub(crate) fn are_those_of_postgres(app_db: &AppDb, in_h2: &Contents, in_postgres: &Contents) {
    let stays = stays_behind(app_db);
    let mut travelled = 0;
    for table in in_postgres.keys() {
        if stays.contains(table) {
            assert_eq!(in_h2[table].0, 0, "{table} stays behind");
        } else {
            assert_eq!(in_h2[table], in_postgres[table], "{table}");
            travelled += in_h2[table].0;
        }
    }
    assert!(travelled > 1000, "{travelled} rows prove little");
}

/// Every view can be asked.
pub(crate) fn views_answer(app_db: &AppDb, name: &str, shape: &Shape) {
    let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url(name));
    let views: Vec<(&str, String)> = shape
        .views
        .keys()
        .map(|view| (view.as_str(), format!("SELECT COUNT(*) FROM \"{view}\"")))
        .collect();
    let views: Vec<(&str, &str)> = views.iter().map(|(name, sql)| (*name, &**sql)).collect();
    for (view, count) in app_db.java(&h2, &views) {
        assert!(count[0].parse::<u64>().is_ok(), "{view}: {count:?}");
    }
}

/// The rows that a dump by Metabase itself has, as the fixture tells them.
pub(crate) fn are_as_expected(app_db: &AppDb, found: &Contents) {
    let expected = expected(app_db, "expected-s001-h2.json");
    assert_eq!(expected.len(), 92);
    for (table, wanted) in expected {
        assert_eq!(wanted, found[&table], "{table}");
    }
}

/// What a dump by Metabase itself has, without the schema history, which each kind of database has of its own.
pub(crate) fn wanted(app_db: &AppDb) -> Contents {
    expected(app_db, "expected-s001-h2.json")
}

/// The report and the manifest tell what Postgres has, and what stays behind and why.
pub(crate) fn are_told(app_db: &AppDb, in_postgres: &Contents, json: &Value) {
    let named = |list: &str| -> BTreeMap<String, usize> {
        json[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| {
                let rows = usize::try_from(table["rows"].as_u64().unwrap_or_default()).unwrap();
                (table["name"].as_str().unwrap().to_owned(), rows)
            })
            .collect()
    };
    let (carried, left_out) = (named("tables"), named("left_out"));
    assert_eq!(carried.len() + left_out.len(), in_postgres.len());
    for (table, rows) in &carried {
        assert_eq!(*rows, in_postgres[table].0, "rows of {table}");
    }
    for table in stays_behind(app_db) {
        assert_eq!(
            left_out[&table], in_postgres[&table].0,
            "rows of {table}, left out"
        );
    }
    assert_eq!(json["rows"], carried.values().sum::<usize>());
}

/// The tables whose rows a dump by Metabase itself leaves out, seen from a fixture that it wrote.
pub(crate) fn stays_behind(app_db: &AppDb) -> BTreeSet<String> {
    let after = expected(app_db, "expected-s001-h2.json");
    let stays: BTreeSet<String> = expected(app_db, "expected-s001.json")
        .into_iter()
        .filter(|(table, (rows, _))| *rows > 0 && after[table].0 == 0)
        .map(|(table, _)| table)
        .collect();
    assert!(stays.len() > 20, "{stays:?}");
    stays
}

fn expected(app_db: &AppDb, file: &str) -> Contents {
    let expected = std::fs::read(app_db.fixtures.join(file)).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let tables = expected["tables"].as_object().unwrap().iter();
    tables
        .map(|(table, content)| {
            let rows = usize::try_from(content["rows"].as_u64().unwrap()).unwrap();
            (
                table.clone(),
                (rows, content["sha256"].as_str().unwrap().to_owned()),
            )
        })
        .collect()
}

/// Every table, by lower-case name.
pub(crate) fn of_h2(app_db: &AppDb, name: &str, shape: &Shape) -> Contents {
    let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url(name));
    let queries: Vec<(String, String)> = shape
        .tables
        .iter()
        .map(|(table, columns)| {
            let columns: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
            (
                table.to_lowercase(),
                format!("SELECT {} FROM \"{table}\"", columns.join(", ")),
            )
        })
        .collect();
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    contents(app_db.java(&h2, &queries))
}

/// Every table as a dump should carry it, by name. The columns are looked up here, not taken over from H2.
pub(crate) fn of_postgres(app_db: &AppDb, shape: &Shape) -> Contents {
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in &app_db.postgres(&[("columns", COLUMNS)])["columns"] {
        let (table, column) = line.split_once('\t').unwrap();
        columns
            .entry(table.to_owned())
            .or_default()
            .push(column.to_owned());
    }
    let queries: Vec<(String, String)> = shape
        .tables
        .iter()
        .map(|(table, there)| {
            let name = table.to_lowercase();
            let here = &columns[&name];
            let there: Vec<String> = there.iter().map(|column| column.to_lowercase()).collect();
            assert_eq!(*here, there, "columns of {name}");
            let cells: Vec<String> = here
                .iter()
                .map(|column| match (&*name, &**column) {
                    ("metabase_database", "details") => {
                        "CASE WHEN engine = 'h2' OR is_attached_dwh THEN '{}' ELSE details END".to_owned()
                    }
                    // Liquibase's checksums are of the changes' text for one kind of database; it fills in empty ones.
                    ("databasechangelog", "md5sum") => "NULL::varchar".to_owned(),
                    _ => format!("\"{column}\""),
                })
                .collect();
            let rows = if name == "setting" {
                " WHERE key <> 'read-only-mode'"
            } else {
                ""
            };
            let sql = format!("SELECT {} FROM \"{name}\"{rows}", cells.join(", "));
            (name, sql)
        })
        .collect();
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    contents(app_db.postgres(&queries))
}

/// How many rows each query answered, and their hash.
pub(crate) fn contents(rows: BTreeMap<String, Vec<String>>) -> Contents {
    rows.into_iter()
        .map(|(table, mut rows)| {
            let refused = rows.iter().find(|row| row.starts_with("!ERROR"));
            assert_eq!(refused, None, "{table}");
            rows.sort_unstable();
            let mut hash = Sha256::new();
            for row in &rows {
                hash.update(row);
                hash.update("\n");
            }
            (table, (rows.len(), hex::encode(hash.finalize())))
        })
        .collect()
}
