//! Every trigger paused under Quartz's own lock, and exactly what ran before running again.

use std::time::{Duration, Instant};

use metaferry_app_db::postgres::PostgresQuartz;
use metaferry_domain::ports::Scheduler as _;
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_metabase::quartz::Concurrency::{self, Concurrent, NonConcurrent};

use crate::database::{TestDatabase, raw, token};

/// A trigger with a job of its own. A job that must not overlap and is blocked is running; what is acquired is claimed.
pub(crate) async fn add_trigger(
    database: &TestDatabase,
    group: &str,
    name: &str,
    state: &str,
    concurrency: Concurrency,
) {
    let nonconcurrent = concurrency == NonConcurrent;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (group, name) = (quoted(group), quoted(name));
    let job = format!("'job of ' || {group} || {name}");
    database
        .execute(&format!(
            "INSERT INTO qrtz_job_details (sched_name, job_name, job_group, job_class_name, is_durable,
                 is_nonconcurrent, is_update_data, requests_recovery)
             VALUES ('MetabaseScheduler', {job}, 'DEFAULT', 'metabase.Job', true, {nonconcurrent}, false, false);
             INSERT INTO qrtz_triggers (sched_name, trigger_name, trigger_group, job_name, job_group, trigger_state,
                 trigger_type, start_time, next_fire_time)
             VALUES ('MetabaseScheduler', {name}, {group}, {job}, 'DEFAULT', '{state}', 'CRON', 1, 1000)"
        ))
        .await;
    if nonconcurrent && state.ends_with("BLOCKED") {
        database
            .execute(&format!(
                "INSERT INTO qrtz_fired_triggers (sched_name, entry_id, trigger_name, trigger_group, instance_name,
                     fired_time, priority, state, job_name, job_group)
                 VALUES ('MetabaseScheduler', left({group} || {name}, 95), {name}, {group}, 'n1', 1, 5, 'EXECUTING',
                     {job}, 'DEFAULT')"
            ))
            .await;
    }
    if state == "ACQUIRED" {
        database
            .execute(&format!(
                "INSERT INTO qrtz_fired_triggers (sched_name, entry_id, trigger_name, trigger_group, instance_name,
                     fired_time, sched_time, priority, state)
                 VALUES ('MetabaseScheduler', left({group} || {name}, 95), {name}, {group}, 'n1', 1, 1000, 5, 'ACQUIRED')"
            ))
            .await;
    }
}

/// Schedules of every kind; another scheduler's, which is none of our business; names that want quoting.
pub(crate) async fn mixed(database: &TestDatabase) {
    for (group, name, state, concurrency) in [
        ("DEFAULT", "waiting", "WAITING", Concurrent),
        ("DEFAULT", "blocked", "BLOCKED", NonConcurrent),
        ("DEFAULT", "paused by an operator", "PAUSED", Concurrent),
        ("DEFAULT", "claimed", "ACQUIRED", Concurrent),
        ("DEFAULT", "claimed, then released", "ACQUIRED", Concurrent),
        ("DEFAULT", "claimed, then stored again", "ACQUIRED", Concurrent),
        ("DEFAULT", "claimed by one then gone", "ACQUIRED", NonConcurrent),
        ("DEFAULT", "in error", "ERROR", Concurrent),
        ("DEFAULT", "complete", "COMPLETE", Concurrent),
        ("it's \\ $metaferry$", "O'Neil \"x\"", "WAITING", NonConcurrent),
        ("paused group", "paused", "PAUSED", Concurrent),
        ("paused group", "runs all the same", "WAITING", Concurrent),
        (
            "paused group",
            "paused while it runs",
            "PAUSED_BLOCKED",
            NonConcurrent,
        ),
    ] {
        add_trigger(database, group, name, state, concurrency).await;
    }
    database
        .execute(
            "INSERT INTO qrtz_paused_trigger_grps VALUES ('MetabaseScheduler', 'paused group'), ('Other', 'DEFAULT');
             INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', 1, 7500), ('MetabaseScheduler', 'n2', 1, 7500);
             UPDATE qrtz_fired_triggers SET instance_name = 'n2' WHERE trigger_name = 'claimed by one then gone';
             INSERT INTO qrtz_fired_triggers (sched_name, entry_id, trigger_name, trigger_group, instance_name, fired_time,
                 sched_time, priority, state)
             VALUES ('MetabaseScheduler', 'claimed before it was blocked', 'blocked', 'DEFAULT', 'n1', 1, 1000, 5, 'ACQUIRED')",
        )
        .await;
}

const STATES: &str =
    "SELECT trigger_group || '|' || trigger_name || '|' || trigger_state FROM qrtz_triggers ORDER BY 1";

#[tokio::test]
async fn everything_is_paused_and_then_as_it_was() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    mixed(&database).await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let contents = database.contents().await;
    let before = quartz.before().await.unwrap();
    for _ in 0..2 {
        quartz
            .quiesce(token, &before, &Cancellation::new())
            .await
            .unwrap();
        let running = "SELECT trigger_name FROM qrtz_triggers WHERE trigger_state IN ('WAITING', 'ACQUIRED', 'BLOCKED')";
        assert_eq!(database.rows(running).await, [""; 0], "nothing can fire");
        let groups = "SELECT trigger_group FROM qrtz_paused_trigger_grps WHERE sched_name = 'MetabaseScheduler' ORDER BY 1";
        assert_eq!(
            database.rows(groups).await.len(),
            4,
            "three groups and the marker for those to come"
        );
        let kept = "SELECT trigger_state FROM qrtz_triggers WHERE trigger_name IN ('in error', 'complete') ORDER BY 1";
        assert_eq!(database.rows(kept).await, ["(COMPLETE)", "(ERROR)"]);
    }
    for _ in 0..2 {
        quartz.restore(token, &before).await.unwrap();
        assert_eq!(database.contents().await, contents);
    }
    database.drop().await;
}

/// What a node does while all groups are paused: it lists the group of a new trigger, and stores it paused; it releases what
/// it has claimed and finds paused. Another node's row goes without its claims, which no Quartz does.
pub(crate) async fn meanwhile(database: &TestDatabase) {
    add_trigger(database, "new group", "new", "PAUSED", Concurrent).await;
    add_trigger(database, "paused group", "new", "PAUSED", Concurrent).await;
    database
        .execute(
            "INSERT INTO qrtz_paused_trigger_grps VALUES ('MetabaseScheduler', 'new group');
             DELETE FROM qrtz_fired_triggers WHERE trigger_name = 'blocked';
             UPDATE qrtz_triggers SET trigger_state = 'PAUSED' WHERE trigger_name = 'blocked';
             DELETE FROM qrtz_fired_triggers WHERE trigger_name = 'claimed, then released';
             UPDATE qrtz_triggers SET next_fire_time = 2000 WHERE trigger_name = 'claimed, then stored again';
             DELETE FROM qrtz_scheduler_state WHERE instance_name = 'n2'",
        )
        .await;
}

/// How it is then to be: as if nobody had paused anything, but that a claim which nobody would ever release is none.
pub(crate) async fn expect_meanwhile(database: &TestDatabase) {
    let mut states = database.rows(STATES).await;
    let is_of_meanwhile = |state: &String| {
        ["new|", "|blocked|", "|claimed"]
            .iter()
            .any(|part| state.contains(part))
    };
    states.retain(is_of_meanwhile);
    assert_eq!(
        states,
        [
            "(DEFAULT|blocked|WAITING)",
            "(\"DEFAULT|claimed by one then gone|WAITING\")",
            "(\"DEFAULT|claimed, then released|WAITING\")",
            "(\"DEFAULT|claimed, then stored again|WAITING\")",
            "(DEFAULT|claimed|ACQUIRED)",
            "(\"new group|new|WAITING\")",
            "(\"paused group|new|PAUSED\")"
        ]
    );
    let groups = "SELECT trigger_group FROM qrtz_paused_trigger_grps WHERE sched_name = 'MetabaseScheduler'";
    assert_eq!(database.rows(groups).await, ["(\"paused group\")"]);
}

#[tokio::test]
async fn what_came_and_ended_meanwhile_is_as_without_us() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    mixed(&database).await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap();
    meanwhile(&database).await;
    quartz.restore(token, &before).await.unwrap();
    expect_meanwhile(&database).await;
    database.drop().await;
}

#[tokio::test]
async fn only_jobs_of_nodes_that_may_live_are_waited_for() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let quartz = PostgresQuartz::new(database.open().await);
    assert_eq!(jobs(&quartz).await, 0);
    database
        .execute(
            "INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', 1000, 7500),
                 ('MetabaseScheduler', 'n2', 5, 7500), ('Other', 'n3', 5, 7500);
             INSERT INTO qrtz_fired_triggers (sched_name, entry_id, trigger_name, trigger_group, instance_name,
                 fired_time, priority, state)
             SELECT sched, instance || state, 't', 'g', instance, 1, 5, state FROM (VALUES
                 ('MetabaseScheduler', 'n1', 'EXECUTING'), ('MetabaseScheduler', 'n1', 'ACQUIRED'),
                 ('MetabaseScheduler', 'n2', 'EXECUTING'), ('MetabaseScheduler', 'of old', 'EXECUTING'),
                 ('Other', 'n3', 'EXECUTING')) AS fired (sched, instance, state)",
        )
        .await;
    assert_eq!(jobs(&quartz).await, 2, "nodes that were seen once may live");
    database
        .execute(
            "UPDATE qrtz_scheduler_state SET last_checkin_time = last_checkin_time + 7500 WHERE instance_name = 'n1';
             DELETE FROM qrtz_scheduler_state WHERE instance_name = 'n2'",
        )
        .await;
    assert_eq!(jobs(&quartz).await, 1, "one checks in, the other is gone");
    database
        .execute("DELETE FROM qrtz_fired_triggers WHERE instance_name = 'n1'")
        .await;
    assert_eq!(jobs(&quartz).await, 0);
    database.drop().await;
}

/// Such a trigger kept its state, and fired on while everything else was paused.
#[tokio::test]
async fn what_a_node_claims_while_it_is_being_paused_is_paused() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    // As Quartz does it, without its lock.
    let mut node = database.connect().await;
    raw(
        &mut node,
        "BEGIN; UPDATE qrtz_triggers SET trigger_state = 'ACQUIRED' WHERE trigger_state = 'WAITING'",
    )
    .await;
    let pausing = tokio::spawn(async move { quartz.quiesce(token, &before, &Cancellation::new()).await });
    database
        .until_one_waits("query LIKE 'UPDATE qrtz_triggers%'")
        .await;
    raw(&mut node, "COMMIT").await;
    pausing.await.unwrap().unwrap();
    assert_eq!(database.rows(STATES).await, ["(g|t|PAUSED)"]);
    database.drop().await;
}

/// Its answer was lost while the server had not committed it: who looks without the lock then finds nothing paused.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_committed_after_nobody_listens_any_more_is_taken_back() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    database
        .execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON qrtz_paused_trigger_grps DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    let mut other = database.connect().await;
    raw(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(7)").await;
    let pausing = tokio::spawn({
        let (quartz, before) = (quartz.clone(), before.clone());
        async move { quartz.quiesce(token, &before, &Cancellation::new()).await }
    });
    database.until_one_waits("query LIKE 'COMMIT%'").await;
    pausing.abort();
    assert_eq!(
        database.rows(STATES).await,
        ["(g|t|WAITING)"],
        "it is not seen yet"
    );
    let restoring = tokio::spawn(async move { quartz.restore(token, &before).await });
    database.until_one_waits("query LIKE '%qrtz_locks%'").await;
    raw(&mut other, "COMMIT").await;
    restoring.await.unwrap().unwrap();
    assert_eq!(database.rows(STATES).await, ["(g|t|WAITING)"]);
    let groups = "SELECT trigger_group FROM qrtz_paused_trigger_grps";
    assert_eq!(database.rows(groups).await, [""; 0]);
    database.drop().await;
}

/// Nodes that found nothing to fire looked again only after half a minute.
#[tokio::test]
async fn nodes_are_woken_when_schedules_run_again_and_not_otherwise() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let check_ins = "SELECT instance_name, last_checkin_time FROM qrtz_scheduler_state ORDER BY 1";
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap();
    quartz.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(check_ins).await, [""; 0], "there is nobody to wake");
    database
        .execute("INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', 7, 7500)")
        .await;
    for _ in 0..2 {
        quartz
            .quiesce(token, &before, &Cancellation::new())
            .await
            .unwrap();
        quartz.restore(token, &before).await.unwrap();
        assert_eq!(database.rows(check_ins).await, ["(metaferry,0)", "(n1,7)"]);
    }
    // A node has recovered it; nothing is resumed any more.
    database
        .execute("DELETE FROM qrtz_scheduler_state WHERE instance_name = 'metaferry'")
        .await;
    quartz.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(check_ins).await, ["(n1,7)"]);
    database.drop().await;
}

#[tokio::test]
async fn without_rows_to_lock_pausing_makes_them() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    database.execute("DELETE FROM qrtz_locks").await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(
        database.rows("SELECT lock_name FROM qrtz_locks").await,
        ["(TRIGGER_ACCESS)"]
    );
    quartz.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(STATES).await, ["(g|t|WAITING)"]);
    database.drop().await;
}

#[tokio::test]
async fn a_lock_that_another_session_keeps_is_waited_for_and_then_named() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    let mut other = database.connect().await;
    raw(
        &mut other,
        "BEGIN; SELECT 1 FROM qrtz_locks WHERE lock_name = 'TRIGGER_ACCESS' FOR UPDATE",
    )
    .await;
    let began = Instant::now();
    let error = quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.chain().contains("TRIGGER_ACCESS is held"),
        "{}",
        error.chain()
    );
    assert_eq!(database.rows(STATES).await, ["(g|t|WAITING)"]);
    raw(&mut other, "ROLLBACK").await;
    quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(database.rows(STATES).await, ["(g|t|PAUSED)"]);
    database.drop().await;
}

#[tokio::test]
async fn without_quartz_there_is_nothing_to_pause() {
    let Some(database) = TestDatabase::bare().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let quartz = PostgresQuartz::new(app_db);
    let before = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &before, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(jobs(&quartz).await, 0);
    quartz.restore(token, &before).await.unwrap();
    database.drop().await;
}

/// How many jobs are waited for.
async fn jobs(quartz: &PostgresQuartz) -> usize {
    let running = quartz.running_jobs().await.unwrap();
    running.iter().map(|on| on.jobs.len()).sum()
}
