//! An app DB on one server or the other, with all that is asked of it here.

use metaferry_domain::effect::Effect;
use metaferry_sample::credentials::{SUPERUSER_API_KEY, SUPERUSER_SESSION};

use crate::api::shore::Shore;
use crate::api::world::{Options, Schema, World};
use crate::left_behind::ours;
use crate::load::killed::visible;
use crate::mariadb::{Database, Maria, With};

/// What may differ afterwards: every migration writes a row into the first, a time into the second, and into the third the
/// node by which those that live are woken, and which they take away. Of the last two the rest is looked at by itself.
const WRITTEN: [&str; 3] = ["cloud_migration", "setting", "qrtz_scheduler_state"];
/// Nodes but the one that wakes the others.
const NODES: &str = "instance_name NOT LIKE 'metaferry%'";

/// An app DB, and what stands around it. Every change of a row in `cloud_migration` is noted by a trigger.
pub(super) trait Place: Sync {
    fn shore(&self) -> &Shore;

    fn url(&self) -> String;

    /// Rows, a line each.
    fn ask(&self, sql: &str) -> Vec<String>;

    /// The name of a table of ours.
    fn own(&self, table: &str) -> String;

    /// The name of the table that notes how rows changed.
    fn noted(&self) -> String;

    /// Metabase's settings and schedules in words, and the sums of all other tables.
    fn as_it_is(&self) -> Vec<String>;

    /// Triggers, functions and tables of ours beside the journal's, and whatever is still armed.
    fn leftovers(&self) -> Vec<String>;

    /// Whether the lease of a row of that table is free, in SQL.
    fn is_free(&self) -> &'static str;

    fn lease_is_free(&self) -> bool {
        let leases = self.own("lease");
        let free = self.ask(&format!(
            "SELECT count(*) FROM {leases} WHERE id = 1 AND {}",
            self.is_free()
        ));
        free == ["1"]
    }

    /// Whether every migration is settled and the lease is free.
    fn is_settled(&self) -> bool {
        let (leases, migrations) = (self.own("lease"), self.own("migration"));
        let settled = self.ask(&format!(
            "SELECT count(*) FROM {leases} WHERE id = 1 AND {} AND NOT EXISTS (SELECT 1 FROM {migrations} WHERE NOT settled)",
            self.is_free()
        ));
        settled == ["1"]
    }

    /// Whether several sessions read every table in one snapshot.
    fn is_read(&self) -> bool;

    /// Another session's transaction that has used that table; it ends with what is answered.
    fn keep_in_use(&self, table: &str) -> Box<dyn Kept + '_>;

    /// Whether somebody waits to make a trigger on a table.
    fn waits_for_a_table(&self) -> bool;

    /// Another session's transaction that keeps locked what `effect` writes; it ends with what is answered.
    fn keep_locked(&self, effect: Effect) -> Box<dyn Kept + '_>;

    /// Another session has all of that table to itself, until what is answered ends.
    fn keep_whole(&self, table: &str) -> Box<dyn Kept + '_>;

    /// Whether somebody waits for it.
    fn waits_for_a_row(&self) -> bool;

    /// How read-only may be switched on.
    fn strengths(&self) -> &'static [&'static str];

    /// Takes away what is known of migrations that were judged.
    fn forget(&self) {
        for table in [
            "cloud_migration",
            &self.noted(),
            &self.own("journal"),
            &self.own("migration"),
        ] {
            self.ask(&format!("DELETE FROM {table}"));
        }
    }

    /// By which a superuser is known to the API.
    fn superuser(&self) -> String;
}

/// What locks the rows that `effect` writes.
fn row_of(effect: Effect) -> &'static str {
    match effect {
        Effect::ReadOnlyOn => "SELECT * FROM setting FOR UPDATE",
        Effect::QuiesceScheduler => "SELECT * FROM QRTZ_LOCKS FOR UPDATE",
        Effect::WriteState(_) => "SELECT * FROM cloud_migration FOR UPDATE",
        other => panic!("{other} writes rows of ours only"),
    }
}

/// A transaction of another session.
pub(super) trait Kept {}

impl Kept for crate::api::world::Held<'_> {}
impl Kept for crate::mariadb::Held<'_> {}

/// On Postgres: our own sample.
pub(super) struct OnPostgres(World);

impl OnPostgres {
    /// `None`, said aloud, where something is missing.
    pub(super) fn new() -> Option<Self> {
        let world = World::start(Options {
            schema: Schema::Sample,
            unserved: true,
            ..Options::default()
        })?;
        world.sql(
            "CREATE SCHEMA noted;
             CREATE TABLE noted.rows (number bigserial, row_id bigint, state text, progress int);
             CREATE FUNCTION noted.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO noted.rows (row_id, state, progress) VALUES (NEW.id, NEW.state, NEW.progress); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON cloud_migration FOR EACH ROW EXECUTE FUNCTION noted.note()",
        );
        Some(Self(world))
    }
}

impl Place for OnPostgres {
    fn shore(&self) -> &Shore {
        &self.0
    }

    fn url(&self) -> String {
        self.0.url.clone()
    }

    fn ask(&self, sql: &str) -> Vec<String> {
        self.0.sql(sql).lines().map(str::to_owned).collect()
    }

    fn own(&self, table: &str) -> String {
        format!("metaferry.{table}")
    }

    fn noted(&self) -> String {
        "noted.rows".to_owned()
    }

    fn as_it_is(&self) -> Vec<String> {
        let tables = visible(&self.0.url);
        let tables = tables.split(',').filter(|table| {
            let (name, _) = table.split_once(' ').unwrap();
            !WRITTEN.contains(&name)
        });
        let nodes = format!("SELECT * FROM qrtz_scheduler_state WHERE {NODES} ORDER BY 1, 2");
        let mut is = self.ask(&nodes);
        is.extend(
            self.0
                .state_of_metabase()
                .lines()
                .chain(tables)
                .map(str::to_owned),
        );
        is
    }

    fn leftovers(&self) -> Vec<String> {
        let mut left = self.ask(
            "SELECT 'table ' || relname FROM pg_class
             WHERE relnamespace = 'metaferry'::regnamespace AND relkind = 'r' AND relname NOT IN
                 ('journal', 'migration', 'undo_script', 'switch', 'lease', 'schema_version')
             UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
             WHERE nspname LIKE 'metaferry%' AND nspname <> 'metaferry'
             UNION ALL SELECT 'the switch holds something'
             FROM metaferry.switch WHERE read_only_engaged OR scheduler_before IS NOT NULL
             UNION ALL SELECT 'tables are guarded' FROM metaferry.lease WHERE guard_until > clock_timestamp()",
        );
        left.extend(ours(&self.0).lines().map(str::to_owned));
        left
    }

    fn is_free(&self) -> &'static str {
        "expires_at <= clock_timestamp()"
    }

    fn is_read(&self) -> bool {
        let readers = "SELECT count(*) > 1 FROM pg_locks
            WHERE relation = 'core_user'::regclass AND mode = 'AccessShareLock' AND granted";
        self.ask(readers) == ["t"]
    }

    fn keep_in_use(&self, table: &str) -> Box<dyn Kept + '_> {
        Box::new(self.0.keep_in_use(table))
    }

    fn waits_for_a_table(&self) -> bool {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        self.ask(waiting) != ["0"]
    }

    fn keep_locked(&self, effect: Effect) -> Box<dyn Kept + '_> {
        Box::new(self.0.keep_locked(match effect {
            Effect::InsertRow => "LOCK TABLE cloud_migration IN EXCLUSIVE MODE",
            other => row_of(other),
        }))
    }

    fn keep_whole(&self, table: &str) -> Box<dyn Kept + '_> {
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        Box::new(self.0.keep_locked(&lock))
    }

    fn waits_for_a_row(&self) -> bool {
        let waiting = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'metaferry' AND wait_event_type = 'Lock'";
        self.ask(waiting) != ["0"]
    }

    fn strengths(&self) -> &'static [&'static str] {
        &["flag", "enforced"]
    }

    fn superuser(&self) -> String {
        format!("X-API-KEY: {SUPERUSER_API_KEY}")
    }
}

/// On MariaDB: the fixture.
pub(super) struct OnMaria<'a> {
    database: Database<'a>,
    notes: Database<'a>,
    shore: Shore,
}

impl<'a> OnMaria<'a> {
    pub(super) fn new(maria: &'a Maria) -> Self {
        let (database, notes) = (maria.database(With::Rows), maria.database(With::Nothing));
        let note = |event: &str| {
            format!(
                "CREATE TRIGGER note_{event} AFTER {event} ON cloud_migration FOR EACH ROW
                     INSERT INTO {}.noted (row_id, state, progress) VALUES (NEW.id, NEW.state, NEW.progress);",
                notes.name
            )
        };
        notes.ask(
            "CREATE TABLE noted (number bigint AUTO_INCREMENT PRIMARY KEY, row_id bigint, state text, progress int)",
        );
        database.ask(&format!(
            "DELETE FROM cloud_migration; DELETE FROM QRTZ_FIRED_TRIGGERS; {} {}
             UPDATE setting SET value = 'false' WHERE `key` = 'read-only-mode';
             UPDATE setting SET value = '2026-01-01 00:00:00' WHERE `key` = 'settings-last-updated';
             UPDATE core_user SET is_superuser = 1, is_active = 1 WHERE id = 1;
             INSERT INTO core_session (id, user_id, created_at, key_hashed)
                 VALUES ('of-a-test', 1, '2037-01-01', sha2('{SUPERUSER_SESSION}', 512))",
            note("insert"),
            note("update")
        ));
        Self {
            database,
            notes,
            shore: Shore::start(None, 0),
        }
    }
}

impl Place for OnMaria<'_> {
    fn shore(&self) -> &Shore {
        &self.shore
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn ask(&self, sql: &str) -> Vec<String> {
        let lines = self.database.ask(sql).into_iter();
        // The client doubles them.
        lines.map(|line| line.replace(r"\\", r"\")).collect()
    }

    fn own(&self, table: &str) -> String {
        format!("metaferry_{table}")
    }

    fn noted(&self) -> String {
        format!("{}.noted", self.notes.name)
    }

    fn as_it_is(&self) -> Vec<String> {
        let mut tables = self.database.tables();
        tables.retain(|table| {
            !table.starts_with("metaferry_") && !WRITTEN.contains(&table.to_lowercase().as_str())
        });
        let mut is = self.ask(
            "SELECT * FROM setting WHERE `key` <> 'settings-last-updated' ORDER BY `key`;
             SELECT trigger_group, trigger_name, trigger_state FROM QRTZ_TRIGGERS ORDER BY 1, 2;
             SELECT * FROM QRTZ_PAUSED_TRIGGER_GRPS ORDER BY 1, 2",
        );
        let nodes = format!("SELECT * FROM QRTZ_SCHEDULER_STATE WHERE {NODES} ORDER BY 1, 2");
        is.extend(self.ask(&nodes));
        is.extend(self.database.checksums(&tables));
        is
    }

    fn leftovers(&self) -> Vec<String> {
        self.ask(
            "SELECT concat('trigger ', trigger_name) FROM information_schema.triggers
             WHERE trigger_schema = database() AND trigger_name LIKE 'metaferry%'
             UNION ALL SELECT concat('table ', table_name) FROM information_schema.tables
             WHERE table_schema = database() AND table_name LIKE 'metaferry%' AND table_name NOT IN
                 ('metaferry_journal', 'metaferry_migration', 'metaferry_undo_script', 'metaferry_lease',
                  'metaferry_schema_version')",
        )
    }

    fn is_free(&self) -> &'static str {
        "expires_at_micros <= UNIX_TIMESTAMP(SYSDATE(6)) * 1000000"
    }

    fn is_read(&self) -> bool {
        // One of them measures stillness.
        let readers = "SELECT count(*) > 1 FROM information_schema.innodb_trx t
            JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id AND p.db = database()
            WHERE IS_USED_LOCK(concat('metaferry ', MD5(database()), ' ', p.id)) = p.id";
        self.ask(readers) == ["1"]
    }

    fn keep_in_use(&self, table: &str) -> Box<dyn Kept + '_> {
        Box::new(self.database.hold(&format!("SELECT count(*) FROM {table}")))
    }

    fn waits_for_a_table(&self) -> bool {
        let waiting = "SELECT count(*) FROM information_schema.processlist
             WHERE db = database() AND state = 'Waiting for table metadata lock'";
        self.ask(waiting) != ["0"]
    }

    fn keep_locked(&self, effect: Effect) -> Box<dyn Kept + '_> {
        Box::new(self.database.hold(match effect {
            // The gap that a new row would be in.
            Effect::InsertRow => "SELECT * FROM cloud_migration FOR UPDATE",
            other => row_of(other),
        }))
    }

    fn keep_whole(&self, table: &str) -> Box<dyn Kept + '_> {
        Box::new(self.database.hold(&format!("LOCK TABLES {table} WRITE")))
    }

    fn waits_for_a_row(&self) -> bool {
        // InnoDB's own list of who waits stays as it is while somebody asks for it more often than ten times a second.
        let waiting = "SELECT count(*) FROM information_schema.processlist
             WHERE db = database() AND command <> 'Sleep' AND time_ms > 300 AND info NOT LIKE '%SLEEP%'
                 AND id <> connection_id()";
        self.ask(waiting) != ["0"]
    }

    fn strengths(&self) -> &'static [&'static str] {
        &["flag", "enforced"]
    }

    fn superuser(&self) -> String {
        format!("X-Metabase-Session: {SUPERUSER_SESSION}")
    }
}
