//! An app DB in a real Postgres, asked with `psql`, and a shore around it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_sample::{SampleOptions, SampleSource};

use super::credentials;
use super::network::Network;
use super::shore::Shore;
use crate::app_db::program;

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
    shore: Shore,
}

impl Deref for World {
    type Target = Shore;

    fn deref(&self) -> &Shore {
        &self.shore
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
            admin_url,
            database,
            shore: Shore::start(options.store, options.propagation_seconds),
        };
        psql(&world.admin_url, &format!("CREATE DATABASE {}", world.database));
        world.fill(options.schema, fixtures.as_deref());
        world.sql("TRUNCATE cloud_migration; DELETE FROM qrtz_fired_triggers");
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
        world.shore.serve(&mut serve);
        Some(world)
    }

    /// Metabase's own schema behind that network; nothing serves.
    pub(crate) fn behind(network: &Network) -> Option<Self> {
        Self::start(Options {
            schema: Schema::Metabase,
            network: Some(network.clone()),
            unserved: true,
            ..Options::default()
        })
    }

    fn fill(&self, schema: Schema, fixtures: Option<&Path>) {
        let shell = |script: &str| {
            let filled = Command::new("sh")
                .current_dir(fixtures.unwrap_or(self.folder()))
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
                std::fs::write(self.folder().join("sample.sql"), sample.postgres_sql()).unwrap();
                let loaded = Command::new("psql")
                    .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-f"])
                    .arg(self.folder().join("sample.sql"))
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

    /// Another session's transaction that has written to that table.
    pub(crate) fn keep_in_use(&self, table: &str) -> Held<'_> {
        let child = self.hold(&format!("DELETE FROM {table} WHERE false"));
        self.wait_for("the table is in use", || {
            self.sql(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE granted AND mode = 'RowExclusiveLock' AND datname = current_database()
                     AND application_name = 'metaferry-test-lock'",
            ) != "0"
        });
        Held { world: self, child }
    }

    /// `lock` is taken by another session, and kept until what is answered is dropped.
    pub(crate) fn keep_locked(&self, lock: &str) -> Held<'_> {
        let child = self.hold(lock);
        self.wait_for("it is locked", || {
            self.sql(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'metaferry-test-lock' AND wait_event = 'PgSleep'",
            ) != "0"
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
}

impl Drop for World {
    fn drop(&mut self) {
        self.shore.end();
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
