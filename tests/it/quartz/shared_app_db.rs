//! An app DB that the nodes and the program share, in Postgres or MariaDB, with a store beside it.

use std::path::PathBuf;
use std::process::Command;

use crate::api::network::Network;
use crate::api::shore::Shore;
use crate::api::world::World;
use crate::app_db::{Process, command, listen};
use crate::mariadb::{Database, Maria, With};

/// What the tests need of it. Names of Quartz's tables are given in lower case.
pub(super) trait SharedAppDb {
    /// What the nodes are told of it: properties of Quartz.
    fn properties(&self) -> Vec<String>;
    /// Its URL by way of the network.
    fn through(&self) -> String;
    fn url(&self) -> String;
    /// The rows that a statement answers, columns separated by `|`.
    fn sql(&self, sql: &str) -> Vec<String>;
    /// The program, told of store, folder and version.
    fn metaferry(&self) -> Command;
    /// The database's own client, which reads a script from its standard input.
    fn client(&self) -> Command;
    fn data_dir(&self) -> PathBuf;
    /// A statement that answers the time in microseconds since 1970.
    fn clock(&self) -> &'static str;
    /// One of our own tables.
    fn own(&self, table: &str) -> String;
    /// The column of a setting's name.
    fn key(&self) -> &'static str;

    /// What read-only is set to.
    fn read_only(&self) -> String {
        let key = self.key();
        self.sql(&format!(
            "SELECT value FROM setting WHERE {key} = 'read-only-mode'"
        ))
        .concat()
    }

    /// As somebody does who needs to write.
    fn switch_read_only_off(&self) {
        let key = self.key();
        self.sql(&format!(
            "UPDATE setting SET value = 'false' WHERE {key} = 'read-only-mode'"
        ));
    }
}

/// What the fixture has of Quartz are jobs of classes that only Metabase has.
const NOTHING_SCHEDULED: [&str; 7] = [
    "qrtz_fired_triggers",
    "qrtz_simple_triggers",
    "qrtz_cron_triggers",
    "qrtz_triggers",
    "qrtz_job_details",
    "qrtz_scheduler_state",
    "qrtz_locks",
];

fn without_schedules(place: &impl SharedAppDb) {
    for table in NOTHING_SCHEDULED {
        place.sql(&format!("DELETE FROM {table}"));
    }
}

/// A Postgres app DB of Metabase's own schema.
pub(super) fn postgres(network: &Network) -> Option<World> {
    let world = World::behind(network)?;
    without_schedules(&world);
    Some(world)
}

/// `USER` and `HOST:PORT/DATABASE`.
fn parts(url: &str) -> (&str, &str) {
    let (_, rest) = url.split_once("://").unwrap();
    rest.split_once('@').unwrap()
}

fn properties(url: &str, jdbc: &str, driver: &str, delegate: &str, clock: &str) -> Vec<String> {
    let (user, place) = parts(url);
    let source = "org.quartz.dataSource.metabase";
    vec![
        format!("org.quartz.jobStore.driverDelegateClass=org.quartz.impl.jdbcjobstore.{delegate}"),
        format!("{source}.driver={driver}"),
        format!("{source}.URL=jdbc:{jdbc}://{place}"),
        format!("{source}.user={user}"),
        format!("{source}.password="),
        format!("clock={clock}"),
    ]
}

impl SharedAppDb for World {
    fn properties(&self) -> Vec<String> {
        properties(
            &self.url,
            "postgresql",
            "org.postgresql.Driver",
            "PostgreSQLDelegate",
            self.clock(),
        )
    }

    fn through(&self) -> String {
        self.through.clone()
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn sql(&self, sql: &str) -> Vec<String> {
        World::sql(self, sql).lines().map(str::to_owned).collect()
    }

    fn metaferry(&self) -> Command {
        Shore::metaferry(self)
    }

    fn client(&self) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", &self.url]);
        psql
    }

    fn data_dir(&self) -> PathBuf {
        Shore::data_dir(self)
    }

    fn clock(&self) -> &'static str {
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    }

    fn own(&self, table: &str) -> String {
        format!("metaferry.{table}")
    }

    fn key(&self) -> &'static str {
        "key"
    }
}

/// A MariaDB app DB of Metabase's own schema.
pub(super) struct InMaria<'a> {
    maria: &'a Maria,
    database: Database<'a>,
    through: String,
    store: String,
    _store: Process,
}

impl<'a> InMaria<'a> {
    pub(super) fn new(maria: &'a Maria, network: &Network) -> Self {
        let database = maria.database(With::Rows);
        let (store, address) = listen(
            command()
                .arg("store")
                .arg("--data")
                .arg(maria.folder.path().join("store")),
            &maria.folder.path().join("store.log"),
        );
        let place = Self {
            through: network.before(&database.url()),
            maria,
            database,
            store: address,
            _store: store,
        };
        place.sql(
            "DELETE FROM cloud_migration;
             UPDATE setting SET value = '2026-01-01 00:00:00' WHERE `key` = 'settings-last-updated'",
        );
        place.switch_read_only_off();
        without_schedules(&place);
        place
    }
}

impl SharedAppDb for InMaria<'_> {
    fn properties(&self) -> Vec<String> {
        properties(
            &self.url(),
            "mariadb",
            "org.mariadb.jdbc.Driver",
            "StdJDBCDelegate",
            self.clock(),
        )
    }

    fn through(&self) -> String {
        self.through.clone()
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn sql(&self, sql: &str) -> Vec<String> {
        let rows = self.database.ask(&upper_quartz(sql));
        rows.iter().map(|row| row.replace('\t', "|")).collect()
    }

    fn metaferry(&self) -> Command {
        let mut metaferry = command();
        metaferry
            .env("MB_STORE_API_URL", &self.store)
            .env("METAFERRY_METABASE_VERSION", "v0.55.0")
            .env("METAFERRY_DATA_DIR", self.data_dir())
            .env("METAFERRY_PROPAGATION_SECONDS", "0");
        metaferry
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.arg("--no-defaults").args(self.maria.arguments());
        client
    }

    fn data_dir(&self) -> PathBuf {
        self.maria.folder.path().join("data")
    }

    fn clock(&self) -> &'static str {
        "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
    }

    fn own(&self, table: &str) -> String {
        format!("metaferry_{table}")
    }

    fn key(&self) -> &'static str {
        "`key`"
    }
}

/// MariaDB tells `qrtz_triggers` from `QRTZ_TRIGGERS`.
fn upper_quartz(sql: &str) -> String {
    let is_of_name = |character: char| character.is_ascii_lowercase() || character == '_';
    let mut upper = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("qrtz_") {
        let (before, name) = rest.split_at(at);
        let length = name
            .find(|character| !is_of_name(character))
            .unwrap_or(name.len());
        upper.push_str(before);
        upper.push_str(&name[..length].to_uppercase());
        rest = &name[length..];
    }
    upper + rest
}
