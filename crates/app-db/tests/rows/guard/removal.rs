//! What is taken away while others use the tables, and what stays for now.

use std::time::{Duration, Instant};

use metaferry_app_db::Effort;
use metaferry_app_db::postgres::PostgresAppDb;
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyGuard as _};
use metaferry_test_kit::contract::still_tables::{HELD_OFF, MANY};
use sqlx::PgConnection;

use super::{OURS, all_pass, app_db, engage, tried};
use crate::database::{TestDatabase, raw};

/// As long as the orchestrator waits for the app DB; then it begins again from the start.
const ONE_TRY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn behind_a_long_reader_it_is_disarmed_at_once_and_removed_later() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    let mut reader = database.connect().await;
    raw(&mut reader, "BEGIN; SELECT * FROM collection").await;
    let began = Instant::now();
    app_db.restore(token, &before).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let mut other = database.connect().await;
    for sql in HELD_OFF {
        assert_eq!(tried(&mut other, sql).await, None, "{sql}");
    }
    let left = database.rows(OURS).await;
    assert!(
        left.iter()
            .all(|name| name.contains("collection") || name.contains("guard")),
        "{left:?}"
    );
    assert!(!left.is_empty());
    raw(&mut reader, "ROLLBACK").await;
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}

/// What a reader of [`MANY`] keeps from being taken away is tried for a quarter of a minute.
async fn many() -> Option<TestDatabase> {
    let database = app_db().await?;
    for table in MANY {
        database
            .execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY)"))
            .await;
    }
    Some(database)
}

async fn read_many(database: &TestDatabase) -> PgConnection {
    let mut reader = database.connect().await;
    raw(
        &mut reader,
        &format!("BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE", MANY.join(", ")),
    )
    .await;
    reader
}

#[tokio::test]
async fn behind_who_reads_many_tables_all_is_given_back_in_one_try() {
    let Some(database) = many().await else { return };
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    let mut reader = read_many(&database).await;
    let one_try = tokio::time::timeout(ONE_TRY, app_db.restore(token, &before));
    one_try.await.unwrap().unwrap();
    all_pass(&database, "disarmed").await;
    assert_ne!(database.rows(OURS).await, [""; 0], "the reader kept none");
    raw(&mut reader, "ROLLBACK").await;
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}

/// Before, whoever stood still in the middle of it took the next one's triggers away.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_in_the_middle_of_it_removes_nothing_more() {
    let Some(database) = many().await else { return };
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    let mut reader = read_many(&database).await;
    let restoring = tokio::spawn({
        let app_db = app_db.clone();
        async move { app_db.restore(token, &before).await }
    });
    database.until_one_waits("query LIKE 'DROP TRIGGER%'").await;
    database.expire().await;
    app_db.acquire("next", 60_000).await.unwrap();
    let there = database.rows(OURS).await;
    raw(&mut reader, "ROLLBACK").await;
    let lost = restoring.await.unwrap().unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Precondition, "{lost:?}");
    assert_eq!(database.rows(OURS).await, there);
    database.drop().await;
}

/// Before, a broken connection was taken for a table in use, and everything stayed behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_an_error_and_a_retry_removes_all() {
    let Some(database) = many().await else { return };
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    let mut reader = read_many(&database).await;
    let restoring = tokio::spawn({
        let (app_db, before) = (app_db.clone(), before.clone());
        async move { app_db.restore(token, &before).await }
    });
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DROP TRIGGER%'";
    while database.rows(ended).await.is_empty() {
        assert!(!restoring.is_finished(), "nobody waited");
    }
    let broken = restoring.await.unwrap().unwrap_err();
    assert_eq!(broken.kind, ErrorKind::Unavailable, "{broken:?}");
    raw(&mut reader, "ROLLBACK").await;
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}

/// A node that serves does so by itself, and must not keep people waiting for triggers that do nothing.
#[tokio::test]
async fn in_passing_it_gives_up_at_the_first_table_in_use() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    engage(&app_db).await;
    database.expire().await;
    let mut reader = database.connect().await;
    raw(&mut reader, "BEGIN; SELECT * FROM collection").await;
    let is_free = |trigger: &String| !trigger.ends_with(" on collection");
    let in_passing = PostgresAppDb::remove_leftovers(database.pool().await, Effort::InPassing)
        .await
        .unwrap();
    assert!(in_passing.left.iter().any(is_free), "{in_passing:?}");
    // Whoever asks for it gets all that is free.
    let swept = PostgresAppDb::remove_leftovers(database.pool().await, Effort::Asked)
        .await
        .unwrap();
    assert!(
        !swept.left.is_empty() && !swept.left.iter().any(is_free),
        "{swept:?}"
    );
    raw(&mut reader, "ROLLBACK").await;
    database.drop().await;
}
