//! The suites that every app DB must pass, on MariaDB.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_app_db::mysql::{MySqlAppDb, MySqlQuartz, MySqlServer, MySqlUndoScript};
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{
    JournalStore, LeaseStore, MigrationRows, ReadOnlyBefore, ReadOnlyGuard as _, ReadOnlyProof,
    Scheduler as _, UndoScript as _,
};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_test_kit::contract::{self, AppDbUnderTest};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection};

use crate::database::TestDatabase;

/// `cloud_migration` as Metabase's migrations leave it on MariaDB.
const TABLE: &str = "
    CREATE TABLE cloud_migration (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, external_id longtext NOT NULL,
        upload_url longtext NOT NULL, state varchar(32) NOT NULL DEFAULT 'init', progress int NOT NULL DEFAULT 0,
        created_at timestamp(6) NOT NULL DEFAULT current_timestamp(6),
        updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6))";

/// Ours in the order in which they may be dropped.
const OURS: &str = "metaferry_journal, metaferry_migration, metaferry_lease, metaferry_undo_script, metaferry_schema_version";

struct Maria {
    url: String,
    app_db: Arc<MySqlAppDb>,
}

#[async_trait]
impl AppDbUnderTest for Maria {
    fn lease(&self) -> Arc<dyn LeaseStore> {
        self.app_db.clone()
    }

    fn journal(&self) -> Arc<dyn JournalStore> {
        self.app_db.clone()
    }

    fn rows(&self) -> Arc<dyn MigrationRows> {
        self.app_db.clone()
    }

    async fn pass(&self, duration: Duration) {
        let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
        let micros = duration.as_micros();
        sqlx::raw_sql(AssertSqlSafe(format!(
            "UPDATE metaferry_lease SET expires_at_micros = expires_at_micros - {micros} WHERE id = 1"
        )))
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    }
}

pub(crate) async fn open(database: &TestDatabase) -> MySqlAppDb {
    let pool = MySqlServer::new(&database.address).pool(8).await.unwrap();
    MySqlAppDb::open(pool).await.unwrap()
}

async fn fresh(database: &TestDatabase) -> Maria {
    database
        .execute(&format!(
            "DROP TABLE IF EXISTS {OURS}; DROP TABLE IF EXISTS cloud_migration; {TABLE}"
        ))
        .await;
    Maria {
        url: database.url.clone(),
        app_db: Arc::new(open(database).await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_in_mariadb_is_a_lease() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    contract::lease_store(async || fresh(&database).await).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_in_mariadb_is_a_journal() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    contract::journal_store(async || fresh(&database).await).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_in_mariadb_are_rows() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    contract::migration_rows(async || fresh(&database).await).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_make_our_tables_once_and_one_gets_the_lease() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let mut opens = tokio::task::JoinSet::new();
    for number in 0..8 {
        let server = MySqlServer::new(&database.address);
        opens.spawn(async move {
            let app_db = MySqlAppDb::open(server.pool(1).await.unwrap()).await.unwrap();
            app_db.acquire(&format!("node {number}"), 60_000).await
        });
    }
    let given = opens.join_all().await.into_iter().filter(|result| match result {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Conflict, "{}", error.chain());
            false
        }
    });
    assert_eq!(given.count(), 1);
    database
        .execute("INSERT INTO metaferry_schema_version VALUES (7)")
        .await;
    let pool = MySqlServer::new(&database.address).pool(1).await.unwrap();
    let error = MySqlAppDb::open(pool).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 7"), "{error}");
    database.drop().await;
}

#[tokio::test]
async fn our_tables_of_the_first_version_become_those_of_now_also_where_that_was_begun() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let columns = async || -> Vec<String> {
        let mut connection = database.connect().await;
        sqlx::query_scalar(
            "SELECT concat_ws(' ', table_name, column_name, column_type) FROM information_schema.columns
             WHERE table_schema = database() AND table_name LIKE 'metaferry%' ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    };
    open(&database).await.acquire("node", 60_000).await.unwrap();
    let now = columns().await;
    database
        .execute("ALTER TABLE metaferry_journal DROP COLUMN written_at_micros")
        .await;
    assert_ne!(columns().await, now);
    // The second time it finds the column, as whoever comes after a program that was killed between the two.
    for _ in 0..2 {
        database
            .execute("DELETE FROM metaferry_schema_version WHERE version = 2")
            .await;
        let app_db = open(&database).await;
        assert_eq!(columns().await, now);
        let lease = app_db.current().await.unwrap();
        assert_eq!(lease.map(|held| held.lease.holder).as_deref(), Some("node"));
    }
    database.drop().await;
}

#[tokio::test]
async fn who_comes_too_early_is_told_how_long_the_lease_still_lasts() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let app_db = open(&database).await;
    app_db.acquire("node", 60_000).await.unwrap();
    database
        .execute("UPDATE metaferry_lease SET expires_at_micros = expires_at_micros - 40000000 WHERE id = 1")
        .await;
    let said = app_db.acquire("other", 60_000).await.unwrap_err().chain();
    assert!(
        (1..=20).any(|left| said.contains(&format!("node, for {left} s more"))),
        "{said}"
    );
    database.drop().await;
}

/// Metabase's own tables, with two nodes' worth of schedules in several states.
pub(crate) const METABASE: &str = "
    CREATE TABLE setting (`key` varchar(254) NOT NULL PRIMARY KEY, `value` longtext);
    INSERT INTO setting VALUES ('site-name', 'Züri'), ('settings-last-updated', '2025-05-31 23:59:59');
    CREATE TABLE QRTZ_JOB_DETAILS (SCHED_NAME varchar(120), JOB_NAME varchar(200), JOB_GROUP varchar(200),
        IS_NONCONCURRENT bit(1) NOT NULL, PRIMARY KEY (SCHED_NAME, JOB_NAME, JOB_GROUP));
    CREATE TABLE QRTZ_TRIGGERS (SCHED_NAME varchar(120), TRIGGER_NAME varchar(200), TRIGGER_GROUP varchar(200),
        JOB_NAME varchar(200) NOT NULL, JOB_GROUP varchar(200) NOT NULL, TRIGGER_STATE varchar(16) NOT NULL, NEXT_FIRE_TIME bigint,
        PRIMARY KEY (SCHED_NAME, TRIGGER_NAME, TRIGGER_GROUP));
    CREATE TABLE QRTZ_PAUSED_TRIGGER_GRPS (SCHED_NAME varchar(120), TRIGGER_GROUP varchar(200),
        PRIMARY KEY (SCHED_NAME, TRIGGER_GROUP));
    CREATE TABLE QRTZ_FIRED_TRIGGERS (SCHED_NAME varchar(120), ENTRY_ID varchar(95), INSTANCE_NAME varchar(200) NOT NULL,
        TRIGGER_NAME varchar(200) NOT NULL, TRIGGER_GROUP varchar(200) NOT NULL, SCHED_TIME bigint, STATE varchar(16) NOT NULL,
        JOB_NAME varchar(200), JOB_GROUP varchar(200), PRIMARY KEY (SCHED_NAME, ENTRY_ID));
    CREATE TABLE QRTZ_SCHEDULER_STATE (SCHED_NAME varchar(120), INSTANCE_NAME varchar(200),
        LAST_CHECKIN_TIME bigint NOT NULL, CHECKIN_INTERVAL bigint NOT NULL, PRIMARY KEY (SCHED_NAME, INSTANCE_NAME));
    CREATE TABLE QRTZ_LOCKS (SCHED_NAME varchar(120), LOCK_NAME varchar(40), PRIMARY KEY (SCHED_NAME, LOCK_NAME));
    INSERT INTO QRTZ_JOB_DETAILS VALUES ('MetabaseScheduler', 'sync', 'jobs', b'1'), ('MetabaseScheduler', 'mail', 'jobs', b'0');
    INSERT INTO QRTZ_TRIGGERS VALUES ('MetabaseScheduler', 'a''s', 'one', 'mail', 'jobs', 'WAITING', 1000),
        ('MetabaseScheduler', 'b', 'one', 'mail', 'jobs', 'PAUSED', 1000),
        ('MetabaseScheduler', 'c\\\\', 'two', 'sync', 'jobs', 'BLOCKED', 1000),
        ('MetabaseScheduler', 'd', 'two', 'mail', 'jobs', 'ACQUIRED', 1000),
        ('MetabaseScheduler', 'e claimed', 'two', 'mail', 'jobs', 'ACQUIRED', 1000),
        ('MetabaseScheduler', 'f of another time', 'two', 'mail', 'jobs', 'ACQUIRED', 2000),
        ('MetabaseScheduler', 'g of a node that is gone', 'two', 'mail', 'jobs', 'ACQUIRED', 1000),
        ('MetabaseScheduler', 'h with a job that runs', 'two', 'sync', 'jobs', 'BLOCKED', 1000);
    INSERT INTO QRTZ_FIRED_TRIGGERS VALUES
        ('MetabaseScheduler', 'e1', 'node', 'c\\\\', 'two', 1000, 'EXECUTING', 'sync', 'jobs'),
        ('MetabaseScheduler', 'e2', 'node', 'e claimed', 'two', 1000, 'ACQUIRED', NULL, NULL),
        ('MetabaseScheduler', 'e3', 'node', 'f of another time', 'two', 1000, 'ACQUIRED', NULL, NULL),
        ('MetabaseScheduler', 'e4', 'gone', 'g of a node that is gone', 'two', 1000, 'ACQUIRED', NULL, NULL),
        ('MetabaseScheduler', 'e5', 'node', 'h with a job that runs', 'two', 1000, 'ACQUIRED', NULL, NULL);
    INSERT INTO QRTZ_SCHEDULER_STATE VALUES ('MetabaseScheduler', 'node', UNIX_TIMESTAMP() * 1000, 7500)";

/// Settings, states of triggers, and paused groups, as text.
pub(crate) async fn seen(database: &TestDatabase) -> Vec<String> {
    let mut connection = database.connect().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', 'setting', `key`, `value`) FROM setting WHERE `key` <> 'settings-last-updated'
         UNION ALL SELECT concat_ws(' ', 'trigger', trigger_name, trigger_state) FROM QRTZ_TRIGGERS
         UNION ALL SELECT concat_ws(' ', 'group', trigger_group) FROM QRTZ_PAUSED_TRIGGER_GRPS ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    rows
}

/// How it is afterwards: acquired is given back as waiting unless a node that checks in still claims it for its next time.
fn put_back(before: &[String]) -> Vec<String> {
    let is_claimed = |row: &&String| row.starts_with("trigger e claimed");
    before
        .iter()
        .map(|row| match Some(row).filter(is_claimed) {
            Some(claimed) => claimed.clone(),
            None => row.replace("ACQUIRED", "WAITING"),
        })
        .collect()
}

async fn last_updated(database: &TestDatabase) -> String {
    let mut connection = database.connect().await;
    let text = sqlx::query_scalar("SELECT `value` FROM setting WHERE `key` = 'settings-last-updated'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    text
}

/// Settings changed and triggers paused by us, as they then are.
const ENGAGED: [&str; 8] = [
    "group _$_ALL_GROUPS_PAUSED_$_",
    "group one",
    "group two",
    "setting read-only-mode true",
    "setting site-name Züri",
    "trigger a's PAUSED",
    "trigger b PAUSED",
    "trigger c\\ PAUSED_BLOCKED",
];

#[tokio::test(flavor = "multi_thread")]
async fn read_only_and_quartz_are_switched_and_exactly_put_back() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database.execute(METABASE).await;
    let before_us = seen(&database).await;
    let app_db = open(&database).await;
    let lease = app_db.acquire("node", 60_000).await.unwrap();
    let quartz = MySqlQuartz::new(app_db.clone());
    let saved = (app_db.before().await.unwrap(), quartz.before().await.unwrap());

    app_db
        .engage(
            lease.token,
            ReadOnlyStrength::Flag,
            &saved.0,
            &Cancellation::new(),
        )
        .await
        .unwrap();
    let bumped = last_updated(&database).await;
    assert_eq!(
        bumped.len(),
        "2025-05-31 23:59:59".len(),
        "{bumped}: whole seconds here"
    );
    assert!(bumped.as_str() > "2025-05-31 23:59:59", "{bumped}");
    quartz
        .quiesce(lease.token, &saved.1, &Cancellation::new())
        .await
        .unwrap();
    let engaged = seen(&database).await;
    assert_eq!(engaged[..8], ENGAGED.map(str::to_owned), "{engaged:#?}");
    assert_eq!(jobs(&quartz).await, 1);
    assert!(
        matches!(
            app_db.prove(ReadOnlyStrength::Flag, &saved.0).await.unwrap(),
            ReadOnlyProof::Held
        ),
        "read-only held"
    );

    let earlier = ReadOnlyBefore {
        value: Some("set before somebody changed it".to_owned()),
        ours: "not what is there".to_owned(),
    };
    let refused = app_db
        .engage(
            lease.token,
            ReadOnlyStrength::Flag,
            &earlier,
            &Cancellation::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(
        refused.kind,
        ErrorKind::Conflict,
        "what others set is not written over"
    );
    assert_eq!(seen(&database).await, engaged);

    quartz.restore(lease.token, &saved.1).await.unwrap();
    app_db.restore(lease.token, &saved.0).await.unwrap();
    let again = last_updated(&database).await;
    assert!(again > bumped, "{again} after {bumped}");
    assert_eq!(seen(&database).await, put_back(&before_us));
    app_db.release(&lease).await.unwrap();
    let refused = app_db
        .engage(
            lease.token,
            ReadOnlyStrength::Flag,
            &saved.0,
            &Cancellation::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(
        refused.kind,
        ErrorKind::Precondition,
        "without the lease nothing is written"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_sql_puts_everything_back_by_the_client_alone_and_then_changes_nothing() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database.execute(METABASE).await;
    let before_us = seen(&database).await;
    let app_db = open(&database).await;
    let lease = app_db.acquire("node", 60_000).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = MySqlUndoScript::new(app_db.clone(), folder.path().to_owned());
    let file = script.store(lease.token).await.unwrap();
    let quartz = MySqlQuartz::new(app_db.clone());
    let saved = (app_db.before().await.unwrap(), quartz.before().await.unwrap());
    app_db
        .engage(
            lease.token,
            ReadOnlyStrength::Flag,
            &saved.0,
            &Cancellation::new(),
        )
        .await
        .unwrap();
    quartz
        .quiesce(lease.token, &saved.1, &Cancellation::new())
        .await
        .unwrap();
    let bumped = last_updated(&database).await;

    let expected = put_back(&before_us);
    for mode in ["", "NO_BACKSLASH_ESCAPES"] {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("SET sql_mode = '{mode}';\n{text}")).unwrap();
        assert!(database.run_file(std::path::Path::new(&file)), "{text}");
        assert_eq!(seen(&database).await, expected);
    }
    let undone = last_updated(&database).await;
    assert!(undone > bumped, "{undone} after {bumped}");
    assert!(database.run_file(std::path::Path::new(&file)));
    assert_eq!(
        last_updated(&database).await,
        undone,
        "a second time changes nothing"
    );
    database.drop().await;
}

#[tokio::test]
async fn uninstalled_nothing_of_ours_is_left_in_mariadb_but_never_before_all_is_settled() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let pool = || async { MySqlServer::new(&database.address).pool(2).await.unwrap() };
    assert_eq!(MySqlAppDb::uninstall(pool().await).await.unwrap(), [""; 0]);
    let maria = fresh(&database).await;
    let app_db = &maria.app_db;
    let id = metaferry_domain::migration::MigrationId(uuid::Uuid::from_u128(7));
    let record = metaferry_domain::ports::JournalRecord {
        sequence: 1,
        json: "{}".to_owned(),
    };
    let held = app_db.acquire("node", 60_000).await.unwrap();
    app_db.append(held.token, id, &record).await.unwrap();
    let refused = MySqlAppDb::uninstall(pool().await).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "somebody is at it");
    app_db.release(&held).await.unwrap();
    let refused = MySqlAppDb::uninstall(pool().await).await.unwrap_err();
    assert!(
        refused.what.contains("metaferry recover"),
        "something is left to undo: {}",
        refused.what
    );
    let held = app_db.acquire("node", 60_000).await.unwrap();
    app_db.settle(held.token, id).await.unwrap();
    app_db.release(&held).await.unwrap();
    assert_eq!(
        MySqlAppDb::uninstall(pool().await).await.unwrap().len(),
        5,
        "every table of ours"
    );
    let mut connection = database.connect().await;
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = database()",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, ["cloud_migration"]);
    assert_eq!(MySqlAppDb::uninstall(pool().await).await.unwrap(), [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn what_cannot_be_on_mariadb_is_said_beforehand() {
    use metaferry_domain::ports::DeadMansSwitch as _;

    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let app_db = open(&database).await;
    assert!(app_db.obstacle().await.unwrap().is_some(), "no dead man's switch");
    assert_eq!(app_db.why_not(ReadOnlyStrength::Flag).await.unwrap(), None);
    database.drop().await;
}

/// How many jobs are waited for.
async fn jobs(quartz: &MySqlQuartz) -> usize {
    let running = quartz.running_jobs().await.unwrap();
    running.iter().map(|on| on.jobs.len()).sum()
}
