//! A MariaDB server and databases on it that a test made, with the fixture in them or not.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::app_db::{Process, told, wait_for};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// MariaDB, the fixtures, and a folder.
pub(crate) struct Maria {
    pub(super) server: String,
    pub(super) fixtures: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

/// A database that this test made; it ends with it.
pub(crate) struct Database<'a> {
    pub(super) maria: &'a Maria,
    pub(crate) name: String,
}

/// How it is filled.
#[derive(Clone, Copy)]
pub(crate) enum With {
    /// As Metabase's migrations leave it.
    Schema,
    /// All rows of the fixture.
    Rows,
    Nothing,
}

impl Maria {
    /// `None`, said aloud, where something is missing.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) fn new() -> Option<Self> {
        let Ok(url) = std::env::var("METAFERRY_TEST_MARIADB_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_URL names no MariaDB server");
            return None;
        };
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let shared = std::env::var_os("METAFERRY_SHARED").map_or(root, PathBuf::from);
        let fixtures = shared.join("fixtures/appdb");
        if !fixtures.is_dir() {
            eprintln!(
                "SKIPPED: no fixtures in {} (METAFERRY_SHARED)",
                fixtures.display()
            );
            return None;
        }
        let (server, _) = url.rsplit_once('/').unwrap();
        Some(Self {
            server: server.to_owned(),
            fixtures,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn database(&self, with: With) -> Database<'_> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("metaferry_it_{}_{number}", std::process::id());
        let database = Database { maria: self, name };
        self.client(
            "",
            &format!(
                "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
                database.name
            ),
        );
        let script = match with {
            With::Nothing => "true",
            With::Schema => {
                "cat mariadb-schema.sql mariadb-changelog.sql | mariadb --no-defaults --init-command='SET SESSION foreign_key_checks=0' \"$@\""
            }
            With::Rows => "gunzip -c appdb-s001.mariadb.sql.gz | mariadb --no-defaults \"$@\"",
        };
        let filled = Command::new("sh")
            .current_dir(&self.fixtures)
            .args(["-ec", script, "fill"])
            .args(self.arguments())
            .arg(&database.name)
            .output()
            .unwrap();
        assert!(filled.status.success(), "{}", told(&filled));
        database
    }

    /// A database with the rows of scale 1 by the fixtures' generator.
    pub(super) fn generated(&self) -> Database<'_> {
        let database = self.database(With::Schema);
        let filled = Command::new("sh")
            .current_dir(&self.fixtures)
            .args([
                "-ec",
                "rows=$1; shift
                 PYTHONDONTWRITEBYTECODE=1 python3 appdb_seed.py --scale 1 --target mariadb --no-checksums --out \"$rows\"
                 mariadb --no-defaults --local-infile=1 \"$@\" < \"$rows/load.sql\"
                 rm -r \"$rows\"",
                "fill",
            ])
            .arg(self.folder.path().join("rows"))
            .args(self.arguments())
            .arg(&database.name)
            .output()
            .unwrap();
        assert!(filled.status.success(), "{}", told(&filled));
        database
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let (user, place) = self
            .server
            .trim_start_matches("mysql://")
            .split_once('@')
            .unwrap();
        let (host, port) = place.split_once(':').unwrap();
        let user = user.split(':').next().unwrap();
        vec![
            format!("--host={host}"),
            format!("--port={port}"),
            format!("--user={user}"),
        ]
    }

    pub(super) fn client(&self, database: &str, sql: &str) -> Vec<String> {
        let answer = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.arguments())
            .args(["--skip-column-names", "--execute", sql])
            .args(Some(database).filter(|name| !name.is_empty()))
            .output()
            .unwrap();
        assert!(answer.status.success(), "{sql}: {}", told(&answer));
        let text = String::from_utf8(answer.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Database<'_> {
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.maria.server, self.name)
    }

    /// For its own JDBC driver: URL and user.
    pub(crate) fn jdbc(&self) -> (String, String) {
        let server = self.maria.server.trim_start_matches("mysql://");
        let (user, place) = server.split_once('@').unwrap();
        let url = format!(
            "jdbc:mariadb://{place}/{}?sessionVariables=time_zone='+00:00'",
            self.name
        );
        (url, user.split(':').next().unwrap().to_owned())
    }

    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        self.maria.client(&self.name, sql)
    }

    /// Another session that does this in a transaction, and keeps the transaction open.
    pub(crate) fn hold(&self, sql: &str) -> Held<'_> {
        let holding = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .arg(&self.name)
            .args([
                "--execute",
                &format!("START TRANSACTION; {sql}; DO GET_LOCK({HELD}, 0); DO SLEEP(600)"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let held = Held {
            database: self,
            _holding: Process(holding),
        };
        wait_for("it is held", || {
            self.ask(&format!("SELECT IS_USED_LOCK({HELD}) IS NOT NULL")) == ["1"]
        });
        held
    }

    /// What the server itself thinks of tables' rows, by table.
    pub(crate) fn checksums(&self, tables: &[String]) -> Vec<String> {
        let tables: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
        let lines = self.ask(&format!("CHECKSUM TABLE {} EXTENDED", tables.join(", ")));
        lines
            .iter()
            .map(|line| line.trim_start_matches(&format!("{}.", self.name)).to_owned())
            .collect()
    }

    /// All tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        self.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE' ORDER BY 1")
    }
}

/// By which the session is found that [`Database::hold`] has begun.
const HELD: &str = "concat('test ', database())";

/// A transaction of another session; it ends with this.
pub(crate) struct Held<'a> {
    database: &'a Database<'a>,
    _holding: Process,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.database.ask(&format!(
            "EXECUTE IMMEDIATE concat('KILL ', IS_USED_LOCK({HELD}))"
        ));
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let dropped = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .args(["--execute", &format!("DROP DATABASE {}", self.name)])
            .output();
        assert!(std::thread::panicking() || dropped.is_ok_and(|dropped| dropped.status.success()));
    }
}

/// The variables by which Metabase finds the database.
pub(super) fn url_parts(database: &Database<'_>) -> Vec<(&'static str, String)> {
    let value = |name: &str| {
        let prefix = format!("--{name}=");
        let arguments = database.maria.arguments();
        let found = arguments
            .iter()
            .find_map(|argument| argument.strip_prefix(&prefix));
        found.unwrap().to_owned()
    };
    vec![
        ("MB_DB_HOST", value("host")),
        ("MB_DB_PORT", value("port")),
        ("MB_DB_USER", value("user")),
        ("MB_DB_DBNAME", database.name.clone()),
    ]
}
