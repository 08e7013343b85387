//! An app DB in a real Postgres, a store and a server, each a process of its own; asked with `psql` and `curl`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use metaferry_sample::credentials::SUPERUSER_API_KEY;
use metaferry_sample::{SampleOptions, SampleSource};

use super::credentials;
use super::network::Network;
use crate::app_db::{Process, command, listen, program};

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PACE: Duration = Duration::from_millis(40);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What app DB to migrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Schema {
    /// Our own sample.
    #[default]
    Sample,
    /// Metabase's, of the fixtures.
    Metabase,
    /// Metabase's of September 2024, with hardly a row: sessions are not hashed yet.
    Older,
}

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) schema: Schema,
    /// Of the program that serves, beside those that it always gets.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Between the program and its database.
    pub(crate) network: Option<Network>,
    pub(crate) propagation_seconds: u32,
    /// Instead of a `metaferry store`.
    pub(crate) store: Option<String>,
    /// A store and an app DB only: nothing serves.
    pub(crate) unserved: bool,
}

/// Everything ends with it.
pub(crate) struct World {
    admin_url: String,
    pub(crate) url: String,
    /// The same by way of the network, where there is one between.
    pub(crate) through: String,
    database: String,
    folder: tempfile::TempDir,
    /// With the trailing slash left out.
    server: String,
    store: String,
    propagation_seconds: u32,
    processes: Vec<Process>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn state(&self) -> String {
        self.json()["state"].as_str().unwrap().to_owned()
    }
}

impl World {
    /// `None`, said aloud, where the server, `psql`, `curl` or the program is missing.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) fn start(options: Options) -> Option<Self> {
        let Ok(admin_url) = std::env::var("METAFERRY_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_POSTGRES_URL names no Postgres server");
            return None;
        };
        let program = program();
        if !program.is_file() {
            eprintln!(
                "SKIPPED: there is no {}; build it with `cargo build -p metaferry-server`",
                program.display()
            );
            return None;
        }
        for tool in ["psql", "curl"] {
            if Command::new(tool).arg("--version").output().is_err() {
                eprintln!("SKIPPED: there is no {tool}");
                return None;
            }
        }
        let fixtures = fixtures();
        if options.schema != Schema::Sample && fixtures.is_none() {
            eprintln!("SKIPPED: there are no fixtures (METAFERRY_SHARED)");
            return None;
        }
        let database = format!(
            "metaferry_api_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let (start, _) = admin_url.rsplit_once('/').expect("a URL with a database");
        let mut world = Self {
            url: format!("{start}/{database}"),
            through: format!("{start}/{database}"),
            folder: tempfile::tempdir().unwrap(),
            admin_url,
            database,
            server: String::new(),
            store: options.store.unwrap_or_default(),
            propagation_seconds: options.propagation_seconds,
            processes: Vec::new(),
        };
        psql(&world.admin_url, &format!("CREATE DATABASE {}", world.database));
        world.fill(options.schema, fixtures.as_deref());
        world.sql("TRUNCATE cloud_migration; DELETE FROM qrtz_fired_triggers");
        if world.store.is_empty() {
            let data = world.folder.path().join("store");
            let listening = world.run(
                Command::new(&program).arg("store").arg("--data").arg(data),
                "store.log",
            );
            world.store = listening;
        }
        if let Some(network) = &options.network {
            world.through = network.before(&world.url);
        }
        if options.unserved {
            return Some(world);
        }
        let mut serve = world.metaferry();
        serve.args(["serve", "--from", &world.through]);
        for (name, value) in &options.environment {
            serve.env(name, value);
        }
        world.server = world.run(&mut serve, "serve.log");
        Some(world)
    }

    fn fill(&self, schema: Schema, fixtures: Option<&Path>) {
        let shell = |script: &str| {
            let filled = Command::new("sh")
                .current_dir(fixtures.unwrap_or(self.folder.path()))
                .args(["-ec", script, &self.url])
                .output()
                .unwrap();
            assert!(
                filled.status.success(),
                "{}",
                String::from_utf8_lossy(&filled.stderr)
            );
        };
        match schema {
            Schema::Sample => {
                let sample = SampleSource::new(SampleOptions { seed: 1, scale: 0.05 });
                std::fs::write(self.folder.path().join("sample.sql"), sample.postgres_sql()).unwrap();
                let loaded = Command::new("psql")
                    .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-f"])
                    .arg(self.folder.path().join("sample.sql"))
                    .output()
                    .unwrap();
                assert!(
                    loaded.status.success(),
                    "{}",
                    String::from_utf8_lossy(&loaded.stderr)
                );
            }
            Schema::Metabase => {
                shell(
                    "gunzip -c appdb-s001.postgres.sql.gz | psql -q -v ON_ERROR_STOP=1 -d \"$0\" >/dev/null",
                );
                // The fixture's is on: what is switched would not show.
                self.sql("UPDATE setting SET value = 'false' WHERE key = 'read-only-mode'");
                self.sql(credentials::USERS);
                self.sql(&credentials::hashed_sessions());
                self.sql(&credentials::api_keys());
            }
            Schema::Older => {
                shell(
                    "for part in schema changelog; do
                         gunzip -c postgres-$part-v51.sql.gz | psql -q -v ON_ERROR_STOP=1 -d \"$0\" >/dev/null
                     done",
                );
                self.sql(credentials::NEW_USERS);
                self.sql(&credentials::plain_sessions());
                self.sql(&credentials::api_keys());
            }
        }
    }

    /// Starts a program on a port of the system's choice; answers its address.
    fn run(&mut self, command: &mut Command, log: &str) -> String {
        let (process, address) = listen(command, &self.folder.path().join(log));
        self.processes.push(process);
        address
    }

    /// The program, told of this store, folder and version.
    pub(crate) fn metaferry(&self) -> Command {
        let mut metaferry = command();
        metaferry
            .env("MB_STORE_API_URL", &self.store)
            .env("METAFERRY_METABASE_VERSION", "v0.55.0")
            .env("METAFERRY_DATA_DIR", self.data_dir())
            .env(
                "METAFERRY_PROPAGATION_SECONDS",
                self.propagation_seconds.to_string(),
            );
        metaferry
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args([
            "--noproxy",
            "*",
            "-sS",
            "--max-time",
            "30",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
        ]);
        for header in headers {
            curl.args(["-H", header]);
        }
        let output = curl.arg(format!("{}{path}", self.server)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let status = status.parse().unwrap();
        assert_ne!(
            status,
            0,
            "{} {}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        Answer {
            status,
            body: body.to_owned(),
        }
    }

    fn as_superuser(&self, method: &str, path: &str) -> Answer {
        self.ask(method, path, &[&format!("X-API-KEY: {SUPERUSER_API_KEY}")])
    }

    pub(crate) fn begin(&self) -> Answer {
        self.as_superuser("POST", "/api/cloud-migration")
    }

    pub(crate) fn newest(&self) -> Answer {
        self.as_superuser("GET", "/api/cloud-migration")
    }

    pub(crate) fn cancel(&self) -> Answer {
        self.as_superuser("PUT", "/api/cloud-migration/cancel")
    }

    /// `metaferry dump` of the app DB.
    pub(crate) fn dump_to(&self, file: &Path) {
        let output = Command::new(program())
            .args(["dump", "--from", &self.url, "--to"])
            .arg(file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Whether a file with that content lies in the store's folder.
    pub(crate) fn store_has(&self, bytes: &[u8]) -> bool {
        self.stored().iter().any(|stored| stored == bytes)
    }

    /// The H2 files in the store's folder.
    pub(crate) fn arrived(&self) -> Vec<Vec<u8>> {
        let mut stored = self.stored();
        stored.retain(|bytes| bytes.starts_with(b"H:2"));
        stored
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        let mut folders = vec![self.folder.path().join("store")];
        let mut stored = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    stored.push(std::fs::read(entry.path()).unwrap());
                }
            }
        }
        stored
    }

    /// All that the store says of a migration.
    pub(crate) fn told_by_store(&self, external_id: &str) -> String {
        let url = format!("{}/api/v2/migration/{external_id}", self.store);
        let output = Command::new("curl")
            .args(["--noproxy", "*", "-sS", &url])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the store says of a migration's state.
    pub(crate) fn state_at_store(&self, external_id: &str) -> String {
        let told = self.told_by_store(external_id);
        let json: serde_json::Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        json["state"]
            .as_str()
            .or(json["status"].as_str())
            .unwrap_or_else(|| panic!("{json}"))
            .to_owned()
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    pub(crate) fn rows(&self) -> usize {
        self.sql("SELECT count(*) FROM cloud_migration").parse().unwrap()
    }

    pub(crate) fn read_only(&self) -> String {
        self.sql("SELECT value FROM setting WHERE key = 'read-only-mode'")
    }

    /// The settings but for the one that only grows, and all of Quartz's tables.
    pub(crate) fn state_of_metabase(&self) -> String {
        self.sql(
            "SELECT string_agg(t::text, E'\\n') FROM (SELECT * FROM setting WHERE key <> 'settings-last-updated' ORDER BY key) t;
             SELECT string_agg(t::text, E'\\n') FROM (SELECT * FROM qrtz_triggers ORDER BY sched_name, trigger_group, trigger_name) t;
             SELECT string_agg(t::text, E'\\n') FROM (SELECT * FROM qrtz_paused_trigger_grps ORDER BY 1, 2) t",
        )
    }

    pub(crate) fn lease_is_free(&self) -> bool {
        self.sql("SELECT expires_at <= clock_timestamp() FROM metaferry.lease") == "t"
    }

    /// Whatever lies in the data folder but `undo.sql`.
    pub(crate) fn dumps(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data_dir()) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "undo.sql").collect()
    }

    /// Locks a table as a schema change does, until what is answered is dropped.
    pub(crate) fn lock_table(&self, table: &str) -> Held<'_> {
        let child = self.hold(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        self.wait_for("the table is locked", || {
            self.sql("SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation IS NOT NULL
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
                != "0"
        });
        Held { world: self, child }
    }

    /// The step from `init` to `setup` of the next migration waits in the app DB until what is answered is dropped. A first
    /// migration must have made our tables.
    pub(crate) fn hold_in_init(&self) -> Held<'_> {
        self.sql(
            "CREATE FUNCTION hold_in_init() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
             CREATE TRIGGER hold_in_init BEFORE INSERT ON metaferry.journal FOR EACH ROW
                 WHEN (NEW.entry LIKE '%\"effect_done\":{\"insert_row\"%') EXECUTE FUNCTION hold_in_init()",
        );
        let child = self.hold("SELECT pg_advisory_xact_lock(1)");
        self.wait_for("the step is held", || {
            self.sql("SELECT count(*) FROM pg_locks WHERE granted AND locktype = 'advisory' AND objid = 1
                          AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
                != "0"
        });
        Held { world: self, child }
    }

    /// Another session that takes a lock and keeps it.
    fn hold(&self, lock: &str) -> Child {
        Command::new("psql")
            .args(["-q", "-d", &self.url, "-c"])
            .arg(format!("BEGIN; {lock}; SELECT pg_sleep(600)"))
            .env("PGAPPNAME", "metaferry-test-lock")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Until the newest row is so.
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Answer) -> bool) -> Answer {
        let mut last = None;
        self.wait_for(what, || {
            let answer = self.newest();
            let so = is_so(&answer);
            last = Some(answer);
            so
        });
        last.unwrap()
    }

    pub(crate) fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain until {what}: {}",
                self.log()
            );
            // A look costs the processes under test their time: not without pause.
            std::thread::park_timeout(PACE);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.processes.clear();
        psql(
            &self.admin_url,
            &format!("DROP DATABASE {} WITH (FORCE)", self.database),
        );
    }
}

/// A lock of another session.
pub(crate) struct Held<'a> {
    world: &'a World,
    child: Child,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'metaferry-test-lock'",
        );
        self.child.wait().ok();
    }
}

/// The folder of the app DB fixtures.
fn fixtures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("METAFERRY_SHARED").map_or(root, PathBuf::from);
    Some(shared.join("fixtures/appdb")).filter(|folder| folder.is_dir())
}

/// What a statement answers, unaligned.
fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || std::thread::panicking(),
        "{sql}: {error}"
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
