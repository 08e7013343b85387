//! The dead man's switch, tripped by check-ins as Metabase's nodes write them, and judged by plain SQL.

use std::time::{Duration, Instant};

use metaferry_app_db::postgres::{PostgresAppDb, PostgresQuartz};
use metaferry_domain::Cancellation;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{DeadMansSwitch as _, LeaseStore as _, ReadOnlyGuard as _, Scheduler as _};

use crate::database::{TestDatabase, raw, token};
use crate::quartz::{expect_meanwhile, meanwhile, mixed};

/// What a node does every 7.5 seconds.
const CHECK_IN: &str = "INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', 1, 7500)
    ON CONFLICT (sched_name, instance_name) DO UPDATE SET last_checkin_time = qrtz_scheduler_state.last_checkin_time + 7500";

/// Triggers and functions of ours that anybody can see.
const OURS: &str = "SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'metaferry%'
    UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname = 'metaferry')
        OR proname LIKE 'metaferry%'";

/// Changes everything as a migration does, with the switch armed before.
async fn set_up(app_db: &PostgresAppDb) {
    let token = token(app_db).await;
    assert_eq!(
        app_db.arm(token, &Cancellation::new()).await.unwrap(),
        SwitchStanding::Armed
    );
    let flag = app_db.before().await.unwrap();
    app_db
        .engage(token, ReadOnlyStrength::Flag, &flag, &Cancellation::new())
        .await
        .unwrap();
    let quartz = PostgresQuartz::new(app_db.clone());
    let paused = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &paused, &Cancellation::new())
        .await
        .unwrap();
}

/// Everything but the check-ins themselves.
async fn contents(database: &TestDatabase) -> Vec<String> {
    let mut contents = database.contents().await;
    contents.retain(|row| !row.starts_with("qrtz_scheduler_state:"));
    contents
}

#[tokio::test]
async fn check_ins_put_everything_back_once_the_lease_has_run_out() {
    for value in [None, Some("false"), Some("it's \\ $metaferry$")] {
        let Some(database) = TestDatabase::app_db().await else {
            return;
        };
        mixed(&database).await;
        if let Some(value) = value {
            let value = value.replace('\'', "''");
            database
                .execute(&format!(
                    "INSERT INTO setting VALUES ('read-only-mode', '{value}')"
                ))
                .await;
        }
        let before = contents(&database).await;
        let app_db = database.open().await;
        set_up(&app_db).await;
        let changed = contents(&database).await;
        assert_ne!(changed, before);
        database.execute(CHECK_IN).await;
        assert_eq!(contents(&database).await, changed, "while the lease lasts");
        let engaged = database.last_updated().await;
        database.expire().await;
        database.execute(CHECK_IN).await;
        assert_eq!(contents(&database).await, before, "from {value:?}");
        let bumped = database.last_updated().await;
        assert!(bumped > engaged && bumped.ends_with("+05:30"), "{bumped}");
        // Once: what an operator does later is the operator's.
        database
            .execute("UPDATE qrtz_triggers SET trigger_state = 'PAUSED' WHERE trigger_name = 'waiting'")
            .await;
        database
            .execute("INSERT INTO setting VALUES ('read-only-mode', 'true') ON CONFLICT (key) DO UPDATE SET value = 'true'")
            .await;
        let theirs = contents(&database).await;
        database.execute(CHECK_IN).await;
        assert_eq!(contents(&database).await, theirs);
        database.drop().await;
    }
}

#[tokio::test]
async fn the_switch_leaves_alone_what_others_did_meanwhile() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    mixed(&database).await;
    let app_db = database.open().await;
    set_up(&app_db).await;
    meanwhile(&database).await;
    database
        .execute("UPDATE setting SET value = 'false' WHERE key = 'read-only-mode'")
        .await;
    let bumped = database.last_updated().await;
    database.expire().await;
    database.execute(CHECK_IN).await;
    expect_meanwhile(&database).await;
    let value = "SELECT value FROM setting WHERE key = 'read-only-mode'";
    assert_eq!(database.one(value).await.as_deref(), Some("false"));
    assert_eq!(database.last_updated().await, bumped);
    database.drop().await;
}

#[tokio::test]
async fn a_check_in_waits_for_nobody_and_never_fails() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    mixed(&database).await;
    let before = contents(&database).await;
    let app_db = database.open().await;
    set_up(&app_db).await;
    database.expire().await;
    let locks = [
        "SELECT 1 FROM qrtz_locks WHERE lock_name = 'TRIGGER_ACCESS' FOR UPDATE",
        "UPDATE setting SET value = value WHERE key = 'settings-last-updated'",
        "UPDATE metaferry.lease SET holder = holder",
        "LOCK TABLE qrtz_triggers IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE metaferry.switch IN ACCESS EXCLUSIVE MODE",
    ];
    let mut holders = Vec::new();
    for lock in locks {
        let mut other = database.connect().await;
        raw(&mut other, &format!("BEGIN; {lock}")).await;
        let began = Instant::now();
        database.execute(CHECK_IN).await;
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{lock}: {:?}",
            began.elapsed()
        );
        raw(&mut other, "ROLLBACK").await;
        holders.push(other);
    }
    database.execute(CHECK_IN).await;
    assert_eq!(contents(&database).await, before, "at the first chance");
    // Without its own tables it does nothing, and says nothing.
    database
        .execute("ALTER TABLE metaferry.lease RENAME TO lost")
        .await;
    database.execute(CHECK_IN).await;
    database.execute("DROP SCHEMA metaferry CASCADE; SELECT 1").await;
    database.execute(CHECK_IN).await;
    database.drop().await;
}

#[tokio::test]
async fn it_is_gone_without_a_trace_and_may_be_armed_twice() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    for _ in 0..2 {
        assert_eq!(
            app_db.arm(token, &Cancellation::new()).await.unwrap(),
            SwitchStanding::Armed
        );
    }
    assert_eq!(database.rows(OURS).await.len(), 2);
    for _ in 0..2 {
        app_db.disarm(token).await.unwrap();
        assert_eq!(database.rows(OURS).await, [""; 0]);
    }
    database.drop().await;
}

#[tokio::test]
async fn who_lost_the_lease_arms_nothing() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    database.expire().await;
    assert!(app_db.arm(token, &Cancellation::new()).await.is_err());
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn a_user_that_does_not_own_the_check_ins_is_told() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let role = format!("{}_user", database.address.database);
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; GRANT USAGE ON SCHEMA public TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            database.address.database
        ))
        .await;
    let app_db = PostgresAppDb::open(database.of_user(&role).pool(2).await.unwrap())
        .await
        .unwrap();
    let why = app_db.obstacle().await.unwrap().unwrap();
    assert!(
        why.contains("does not own the table qrtz_scheduler_state"),
        "{why}"
    );
    let lease = app_db.acquire("node", 60_000).await.unwrap();
    assert_eq!(
        app_db.arm(lease.token, &Cancellation::new()).await.unwrap(),
        SwitchStanding::Impossible { why }
    );
    app_db.disarm(lease.token).await.unwrap();
    // As Metabase's own role does.
    database
        .execute(&format!("ALTER TABLE qrtz_scheduler_state OWNER TO {role}"))
        .await;
    assert_eq!(app_db.obstacle().await.unwrap(), None);
    assert_eq!(
        app_db.arm(lease.token, &Cancellation::new()).await.unwrap(),
        SwitchStanding::Armed
    );
    database.execute(CHECK_IN).await;
    app_db.disarm(lease.token).await.unwrap();
    assert_eq!(database.rows(OURS).await, [""; 0]);
    drop(app_db);
    database
        .execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"))
        .await;
    database.drop().await;
}
