//! Metabase's schema and rows in a real Postgres, the program as a process of its own, and H2 over JDBC.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks: a look costs the processes under test their time.
const PACE: Duration = Duration::from_millis(40);

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

/// The program that was built beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("metaferry")
}

/// The program, with nothing of this machine's environment that names an app DB.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("MB_") || known.starts_with("METAFERRY_") {
            command.env_remove(&name);
        }
    }
    command
}

/// A process that ends with this.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, where this fails.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a program that listens on a port of the system's choice and says so in its log; answers its address.
pub(crate) fn listen(command: &mut Command, log: &Path) -> (Process, String) {
    listen_at("127.0.0.1:0", command, log)
}

/// The same, at that address.
pub(crate) fn listen_at(address: &str, command: &mut Command, log: &Path) -> (Process, String) {
    let file = std::fs::File::create(log).unwrap();
    let child = command
        .args(["--listen", address])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let process = Process(child);
    let began = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap();
        if let Some((address, _)) = said
            .split_once("listens on ")
            .and_then(|(_, rest)| rest.split_once(['\n', ',']))
        {
            return (process, address.to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "nobody listens: {said}");
        std::thread::park_timeout(PACE);
    }
}

/// Looks again and again, with pauses.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(PACE);
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{name}: {}", told(&sent));
}

/// Runs it.
pub(crate) fn metaferry(arguments: &[&str]) -> Output {
    metaferry_with(&[], arguments)
}

/// The same, with some variables.
pub(crate) fn metaferry_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let variables = variables.iter().copied();
    command().envs(variables).args(arguments).output().unwrap()
}

/// The JSON that a command printed, and its exit code.
pub(crate) fn ended(output: &Output) -> (Value, i32) {
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {}", told(output)));
    (json, output.status.code().unwrap())
}

/// What a command that went well says, and the most memory that it had, by GNU time.
pub(crate) fn measured(variables: &[(&str, &str)], arguments: &[&str]) -> (Value, u64) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("time");
    let output = Command::new("/usr/bin/time")
        .envs(variables.iter().copied())
        .args(["-f", "%M", "-o"])
        .arg(&report)
        .arg(program())
        .args(arguments)
        .output()
        .unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    let peak = std::fs::read_to_string(report).unwrap();
    (json, peak.trim().parse().unwrap())
}

/// What a command said of itself.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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
