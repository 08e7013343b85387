//! Metabase's schema and rows in a real Postgres, the program as a process of its own, and H2 over JDBC.

mod program;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

pub(crate) use self::program::{
    PACE, PATIENCE, Process, came_true, command, ended, files_in, listen, listen_at, measured, metaferry,
    metaferry_with, program, signal, told, undo_script_in, wait_for,
};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The most memory that the program may take, whatever it moves (promise P9).
pub(crate) const PEAK_KIB_MAX: u64 = 128 << 10;

/// The fixture in a database of its own, and a folder for dumps. Both end with it.
pub(crate) struct AppDb {
    admin_url: String,
    pub(crate) url: String,
    pub(crate) database: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) fixtures: PathBuf,
    pub(crate) jar: PathBuf,
    /// Postgres' own JDBC driver.
    driver: PathBuf,
}

/// How much data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The fixture that lies ready: 1 693 rows.
    Hundredth,
    /// Made by the fixtures' generator: 125 069 rows.
    One,
}

impl AppDb {
    /// `None`, said aloud, where something is missing that this needs.
    pub(crate) fn load() -> Option<Self> {
        Self::load_at(Scale::Hundredth)
    }

    /// `None`, said aloud, where something is missing that this needs.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) fn load_at(scale: Scale) -> Option<Self> {
        match Self::try_load(scale) {
            Ok(app_db) => Some(app_db),
            Err(missing) => {
                eprintln!("SKIPPED: {missing}");
                None
            }
        }
    }

    fn try_load(scale: Scale) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let admin_url = variable("METAFERRY_TEST_POSTGRES_URL")?;
        let jar = variable("METAFERRY_TEST_H2_JAR")?.into();
        let driver = variable("METAFERRY_TEST_PG_JDBC_JAR")?.into();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let shared = std::env::var_os("METAFERRY_SHARED").map_or(root, PathBuf::from);
        let fixtures = shared.join("fixtures/appdb");
        if !fixtures.is_dir() {
            return Err(format!(
                "no fixtures in {} (METAFERRY_SHARED)",
                fixtures.display()
            ));
        }
        let program = program();
        if !program.is_file() {
            let program = program.display();
            return Err(format!(
                "there is no {program}; build it with `cargo build -p metaferry-server`"
            ));
        }
        let tools = match scale {
            Scale::Hundredth => &["psql", "java", "javac"][..],
            Scale::One => &["psql", "java", "javac", "python3"],
        };
        for tool in tools {
            if Command::new(tool).arg("--version").output().is_err() {
                return Err(format!("there is no {tool}"));
            }
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("metaferry_dump_{}_{number}", std::process::id());
        let (server, _) = admin_url.rsplit_once('/').expect("a URL with a database");
        let app_db = Self {
            url: format!("{server}/{database}"),
            admin_url,
            folder: tempfile::tempdir().unwrap(),
            database,
            fixtures,
            jar,
            driver,
        };
        psql(&app_db.admin_url, &format!("CREATE DATABASE {}", app_db.database));
        match scale {
            Scale::Hundredth => app_db.fill(
                "gunzip -c appdb-s001.postgres.sql.gz | psql -q -v ON_ERROR_STOP=1 -d \"$0\" >/dev/null",
            ),
            Scale::One => app_db.fill(
                "psql -q -v ON_ERROR_STOP=1 -d \"$0\" -f postgres-schema.sql -f postgres-changelog.sql >/dev/null
                 PYTHONDONTWRITEBYTECODE=1 python3 appdb_seed.py --scale 1 --target postgres --no-checksums --out \"$1/rows\"
                 psql -q -v ON_ERROR_STOP=1 -d \"$0\" -f \"$1/rows/load.sql\" >/dev/null
                 rm -r \"$1/rows\"",
            ),
        }
        Ok(app_db)
    }

    /// An empty database on the same server, with a folder of its own.
    pub(crate) fn empty_beside(&self) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("metaferry_load_{}_{number}", std::process::id());
        let (server, _) = self.url.rsplit_once('/').expect("a URL with a database");
        let beside = Self {
            url: format!("{server}/{database}"),
            admin_url: self.admin_url.clone(),
            folder: tempfile::tempdir().unwrap(),
            database,
            fixtures: self.fixtures.clone(),
            jar: self.jar.clone(),
            driver: self.driver.clone(),
        };
        psql(&beside.admin_url, &format!("CREATE DATABASE {}", beside.database));
        beside
    }

    /// The same as Metabase leaves it when it has started for the first time: the schema, its history, the internal
    /// user and the magic groups.
    pub(crate) fn set_up_beside(&self) -> Self {
        let beside = self.empty_beside();
        beside.fill(
            "psql -q -v ON_ERROR_STOP=1 -d \"$0\" -f postgres-schema.sql -f postgres-changelog.sql >/dev/null",
        );
        psql(
            &beside.url,
            "SET search_path = public;
             INSERT INTO core_user (id, email, first_name, last_name, password, date_joined, type)
                 VALUES (13371338, 'internal@metabase.com', 'Metabase', 'Internal', 'none', now(), 'internal');
             INSERT INTO permissions_group (name) VALUES ('All Users'), ('Administrators');
             INSERT INTO setting (key, value) VALUES ('read-only-mode', 'false'), ('site-uuid', 'of the target')",
        );
        beside
    }

    /// H2's file of the fixture, unpacked.
    pub(crate) fn h2_fixture(&self) -> PathBuf {
        let file = self.folder.path().join("fixture.mv.db");
        self.fill("gunzip -c appdb-s001.h2.mv.db.gz > \"$1/fixture.mv.db\"");
        file
    }

    /// Runs a script in the fixtures' folder; `$0` is the database, `$1` a folder to write to.
    fn fill(&self, script: &str) {
        let filled = Command::new("sh")
            .current_dir(&self.fixtures)
            .args(["-ec", script, &self.url])
            .arg(self.folder.path())
            .output()
            .unwrap();
        assert!(filled.status.success(), "{}", told(&filled));
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("app-db.mv.db")
    }

    pub(crate) fn h2_url(&self, name: &str) -> String {
        format!(
            "jdbc:h2:file:{}/{name};IFEXISTS=TRUE",
            self.folder.path().display()
        )
    }

    pub(crate) fn dump(&self, to: &Path) -> Output {
        let to = to.to_str().unwrap();
        metaferry(&["--json", "dump", "--from", &self.url, "--to", to])
    }

    /// The JSON of a dump that went well.
    pub(crate) fn dump_to(&self, to: &Path) -> Value {
        let (json, code) = ended(&self.dump(to));
        assert_eq!(code, 0, "{json}");
        json
    }

    /// Names in the folder for dumps.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// The rows that H2 itself answers to each named statement, in canonical form; `!ERROR` and why, where it refuses.
    pub(crate) fn java(&self, url: &str, statements: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        self.ask(url, "", statements)
    }

    /// The same of Postgres, by its own JDBC driver.
    pub(crate) fn postgres(&self, statements: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        let (user, host) = self
            .url
            .strip_prefix("postgres://")
            .and_then(|rest| rest.split_once('@'))
            .expect("METAFERRY_TEST_POSTGRES_URL is postgres://USER@HOST:PORT/DATABASE");
        self.ask(&format!("jdbc:postgresql://{host}"), user, statements)
    }

    /// The same of any database of which there is a driver.
    pub(crate) fn ask(
        &self,
        url: &str,
        user: &str,
        statements: &[(&str, &str)],
    ) -> BTreeMap<String, Vec<String>> {
        let mut class_path = self.jar.clone().into_os_string();
        class_path.push(":");
        class_path.push(&self.driver);
        if let Some(driver) = std::env::var_os("METAFERRY_TEST_MARIADB_JDBC_JAR") {
            class_path.push(":");
            class_path.push(driver);
        }
        class_path.push(":");
        class_path.push(oracle());
        let mut java = Command::new("java")
            .args([
                "-ea:org.h2...",
                "-Duser.timezone=UTC",
                "-Xmx512m",
                "-XX:+UseSerialGC",
            ])
            .args(["-XX:TieredStopAtLevel=1", "-cp"])
            .arg(class_path)
            .args(["Oracle", url, user])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = statements
            .iter()
            .map(|(name, sql)| format!("{name}\t{sql}\n"))
            .collect();
        let mut input = java.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = java.wait_with_output().unwrap();
        assert!(output.status.success(), "{url}: {}", told(&output));
        feeder.join().unwrap().unwrap();
        let mut rows: BTreeMap<String, Vec<String>> = statements
            .iter()
            .map(|(name, _)| ((*name).to_owned(), Vec::new()))
            .collect();
        for line in String::from_utf8(output.stdout).unwrap().split_terminator('\n') {
            let (name, row) = line.split_once('\t').unwrap_or((line, ""));
            rows.get_mut(name).unwrap().push(row.to_owned());
        }
        rows
    }
}

/// The folder of the program that asks over JDBC, compiled once in a process.
fn oracle() -> &'static Path {
    static CLASSES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = CLASSES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/app-db/tests/data/Oracle.java");
        let compiled = Command::new("javac")
            .args(["-nowarn", "-d"])
            .arg(folder.path())
            .arg(source)
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{}", told(&compiled));
        folder
    });
    folder.path()
}

impl Drop for AppDb {
    fn drop(&mut self) {
        psql(
            &self.admin_url,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database),
        );
    }
}

/// What a statement answers, unaligned.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .unwrap();
    assert!(
        output.status.success() || std::thread::panicking(),
        "{sql}: {}",
        told(&output)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
