//! A worker that lost its lease changes nothing any more; one that still works under it is waited for.

use std::time::Duration;

use metaferry_app_db::postgres::{
    PostgresAppDb, PostgresQuartz, PostgresServer, PostgresSource, PostgresUndoScript,
};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, ReadOnlyStrength};
use metaferry_domain::ports::{
    DeadMansSwitch as _, GuardedUpdate, LeaseStore as _, MigrationRows as _, NewMigrationRow,
    ReadOnlyGuard as _, Scheduler as _, Source as _, UndoScript as _,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::quartz::Concurrency::Concurrent;

use crate::database::{TestDatabase, lease, raw, token};
use crate::quartz::add_trigger;

/// Everything that Metabase's tables are changed by, under that token.
async fn every_change(
    app_db: &PostgresAppDb,
    token: FencingToken,
) -> Vec<(&'static str, Result<(), PortError>)> {
    let folder = tempfile::tempdir().unwrap();
    let quartz = PostgresQuartz::new(app_db.clone());
    let (flag, paused) = (app_db.before().await.unwrap(), quartz.before().await.unwrap());
    let script = PostgresUndoScript::new(app_db.clone(), folder.path().to_owned());
    let stored = script.store(token).await.map(|_| ());
    if stored.is_err() {
        assert!(
            !folder.path().join("undo.sql").exists(),
            "a file of a worker without a lease"
        );
    }
    vec![
        (
            "read-only on",
            app_db
                .engage(token, ReadOnlyStrength::Flag, &flag, &Cancellation::new())
                .await,
        ),
        ("read-only restored", app_db.restore(token, &flag).await),
        (
            "triggers paused",
            quartz.quiesce(token, &paused, &Cancellation::new()).await,
        ),
        ("triggers resumed", quartz.restore(token, &paused).await),
        ("undo.sql", stored),
    ]
}

#[tokio::test]
async fn a_worker_without_its_lease_changes_nothing() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    let app_db = database.open().await;
    let lost = token(&app_db).await;
    database.expire().await;
    let (before, bumped) = (database.contents().await, database.last_updated().await);
    let ours = database.rows("SELECT sql FROM metaferry.undo_script").await;
    let mut stale = vec![("after its term", lost)];
    for (whose, token) in stale.clone() {
        for (what, result) in every_change(&app_db, token).await {
            assert_eq!(
                result.unwrap_err().kind,
                ErrorKind::Precondition,
                "{what}, {whose}"
            );
        }
    }
    let present = lease(&app_db).await;
    stale.extend([
        ("superseded", lost),
        ("never given", FencingToken(present.token.0 + 1)),
    ]);
    for (whose, token) in stale {
        for (what, result) in every_change(&app_db, token).await {
            assert_eq!(
                result.unwrap_err().kind,
                ErrorKind::Precondition,
                "{what}, {whose}"
            );
        }
    }
    assert_eq!(database.contents().await, before);
    assert_eq!(database.last_updated().await, bumped);
    assert_eq!(database.rows("SELECT sql FROM metaferry.undo_script").await, ours);
    for (what, result) in every_change(&app_db, present.token).await {
        result.unwrap_or_else(|error| panic!("{what} under the lease: {}", error.chain()));
    }
    database.drop().await;
}

/// Before, taking the lease did not wait where only its end had been rewritten, and renewing it waited for the
/// transactions under it, so that a long one could lose it.
#[tokio::test(flavor = "multi_thread")]
async fn taking_the_lease_waits_for_work_under_it_and_renewing_does_not() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    add_trigger(&database, "g", "t", "WAITING", Concurrent).await;
    let app_db = database.open().await;
    let first = lease(&app_db).await;
    let mut other = database.connect().await;
    raw(
        &mut other,
        "BEGIN; SELECT 1 FROM qrtz_locks WHERE lock_name = 'TRIGGER_ACCESS' FOR UPDATE",
    )
    .await;
    let quartz = PostgresQuartz::new(app_db.clone());
    let paused = quartz.before().await.unwrap();
    let work = tokio::spawn(async move { quartz.quiesce(first.token, &paused, &Cancellation::new()).await });
    database.until_one_waits("query LIKE '%qrtz_locks%'").await;
    tokio::time::timeout(Duration::from_secs(5), app_db.renew(&first))
        .await
        .expect("renewing waits for nobody")
        .unwrap();
    database.expire().await;
    let second = tokio::spawn({
        let app_db = app_db.clone();
        async move { app_db.acquire("second", 60_000).await }
    });
    database.until_one_waits("query LIKE '%holder = $1%'").await;
    raw(&mut other, "ROLLBACK").await;
    work.await.unwrap().expect("what was proved in time is done");
    assert!(second.await.unwrap().unwrap().token > first.token);
    assert_eq!(
        database
            .one("SELECT trigger_state FROM qrtz_triggers")
            .await
            .as_deref(),
        Some("PAUSED"),
        "done before the second began"
    );
    database.drop().await;
}

/// Before, whoever stood still while it was disarmed took the next one's switch away, which nobody noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_lease_leaves_the_next_ones_switch_alone() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let first = token(&app_db).await;
    app_db.arm(first, &Cancellation::new()).await.unwrap();
    let mut reader = database.connect().await;
    raw(&mut reader, "BEGIN; SELECT * FROM qrtz_scheduler_state").await;
    let disarming = tokio::spawn({
        let app_db = app_db.clone();
        async move { app_db.disarm(first).await }
    });
    database.until_one_waits("query LIKE 'DROP TRIGGER%'").await;
    database.expire().await;
    let next = token(&app_db).await;
    app_db.arm(next, &Cancellation::new()).await.unwrap();
    raw(&mut reader, "ROLLBACK").await;
    let lost = disarming.await.unwrap().unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Precondition, "{lost:?}");
    let switch = "SELECT tgname FROM pg_trigger WHERE tgname = 'metaferry_switch'";
    assert!(database.one(switch).await.is_some());
    app_db.disarm(next).await.unwrap();
    assert_eq!(database.one(switch).await, None);
    database.drop().await;
}

/// It proves the lease once it has the row.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_row_keeps_nobody_from_the_lease_and_writes_nothing_once_it_is_lost() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let first = token(&app_db).await;
    let new = NewMigrationRow {
        external_id: "a".to_owned(),
        upload_url: "https://store.example/a".to_owned(),
    };
    let row = app_db.insert(first, &new, &Cancellation::new()).await.unwrap();
    let mut other = database.connect().await;
    raw(&mut other, "BEGIN; SELECT 1 FROM cloud_migration FOR UPDATE").await;
    let writing = tokio::spawn({
        let app_db = app_db.clone();
        async move { app_db.update_guarded(first, row.id, Phase::Setup, 1).await }
    });
    database.until_one_waits("query LIKE '%cloud_migration%'").await;
    database.expire().await;
    let taken = tokio::time::timeout(Duration::from_secs(5), app_db.acquire("second", 60_000)).await;
    assert!(taken.expect("nobody is waited for").unwrap().token > first);
    raw(&mut other, "ROLLBACK").await;
    let refused = writing.await.unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Precondition, "{refused:?}");
    let state = database.one("SELECT state FROM cloud_migration").await;
    assert_eq!(state.as_deref(), Some("init"));
    database.drop().await;
}

#[tokio::test]
async fn a_cancel_by_plain_sql_wins() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let new = NewMigrationRow {
        external_id: "a".to_owned(),
        upload_url: "https://store.example/a".to_owned(),
    };
    let row = app_db.insert(token, &new, &Cancellation::new()).await.unwrap();
    let update = async |phase, progress| {
        app_db
            .update_guarded(token, row.id, phase, progress)
            .await
            .unwrap()
    };
    assert_eq!(update(Phase::Dump, 30).await, GuardedUpdate::Written);
    // As Metabase itself does it.
    database
        .execute(
            "UPDATE cloud_migration SET state = 'cancelled', updated_at = now()
             WHERE state NOT IN ('done', 'error', 'cancelled')",
        )
        .await;
    assert_eq!(
        update(Phase::Upload, 51).await,
        GuardedUpdate::Ended(Phase::Cancelled)
    );
    assert_eq!(
        database
            .one("SELECT state || progress FROM cloud_migration")
            .await
            .as_deref(),
        Some("cancelled30")
    );
    database.execute("DELETE FROM cloud_migration").await;
    assert_eq!(update(Phase::Upload, 51).await, GuardedUpdate::Missing);
    database.drop().await;
}

#[tokio::test]
async fn who_takes_the_lease_ends_the_sessions_of_who_had_it_and_nobody_elses() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    token(&app_db).await;
    let server = PostgresServer::new(&database.address);
    let source = PostgresSource::new(server.clone().of_worker());
    let lost = source.snapshot().await.unwrap();
    let dump = PostgresSource::new(server).snapshot().await.unwrap();
    database.expire().await;
    token(&app_db).await;
    lost.count("setting").await.unwrap_err();
    dump.count("setting").await.unwrap();
    dump.close().await.unwrap();
    let mut somebody = database.connect().await;
    raw(
        &mut somebody,
        "SET lock_timeout = '10s'; ALTER TABLE setting ADD nobody_holds_it int",
    )
    .await;
    drop(lost);
    database.drop().await;
}

#[tokio::test]
async fn who_comes_too_early_is_told_how_long_the_lease_still_lasts() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    app_db.acquire("node", 60_000).await.unwrap();
    database
        .execute("UPDATE metaferry.lease SET expires_at = clock_timestamp() + interval '20 seconds'")
        .await;
    let said = app_db.acquire("other", 60_000).await.unwrap_err().chain();
    assert!(
        (1..=20).any(|left| said.contains(&format!("node, for {left} s more"))),
        "{said}"
    );
    database.drop().await;
}

/// One that waits for a setting that somebody else is changing kept the lease's row meanwhile, and lost the lease by it.
#[tokio::test]
async fn the_lease_is_renewed_while_read_only_waits_for_a_setting() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let held = lease(&app_db).await;
    let mut other = database.connect().await;
    raw(
        &mut other,
        "BEGIN; SELECT * FROM setting WHERE key = 'settings-last-updated' FOR UPDATE",
    )
    .await;
    let (engaging, token) = (app_db.clone(), held.token);
    let engaging = tokio::spawn(async move {
        let flag = engaging.before().await.unwrap();
        engaging
            .engage(token, ReadOnlyStrength::Enforced, &flag, &Cancellation::new())
            .await
    });
    database
        .until_one_waits("query LIKE '%FROM setting%FOR UPDATE'")
        .await;
    tokio::time::timeout(Duration::from_secs(5), app_db.renew(&held))
        .await
        .expect("nobody stands in the way")
        .unwrap();
    assert!(!engaging.is_finished(), "it waits still");
    raw(&mut other, "ROLLBACK").await;
    engaging.await.unwrap().unwrap();
    database.drop().await;
}
