//! What is taken away while others use the tables, and what stays for now.

use std::time::Duration;

use metaferry_app_db::Effort;
use metaferry_app_db::mysql::MySqlAppDb;
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyGuard as _};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_test_kit::contract::still_tables::MANY;
use sqlx::MySqlConnection;

use super::{Enforced, all_pass, engage, is_guarded, ours, pool, raw};
use crate::database::TestDatabase;
use crate::own_rows::open;
use crate::stillness::app_db;

/// As long as the orchestrator waits for the app DB; then it begins again from the start.
const ONE_TRY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn behind_a_long_reader_it_is_disarmed_at_once_and_removed_later_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let refused = MySqlAppDb::remove_leftovers(pool(&database).await, Effort::Asked)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "somebody migrates");
    assert!(is_guarded(&database).await);
    let mut reader = database.connect().await;
    raw(&mut reader, "START TRANSACTION; SELECT * FROM collection")
        .await
        .unwrap();
    app_db.restore(token, &before).await.unwrap();
    all_pass(&database, "disarmed").await;
    let kept = ["delete", "insert", "update"].map(|event| format!("metaferry_guard_{event}_collection"));
    assert_eq!(ours(&database).await, kept);
    // As after the end of a process.
    database
        .execute("UPDATE metaferry_lease SET expires_at_micros = 0")
        .await;
    let refused = MySqlAppDb::uninstall(pool(&database).await).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains(&kept[0]), "{}", refused.what);
    let shown: Vec<String> = kept.iter().map(|name| format!("{name} on collection")).collect();
    assert_eq!(
        MySqlAppDb::leftovers(&pool(&database).await).await.unwrap(),
        shown
    );
    raw(&mut reader, "ROLLBACK").await.unwrap();
    let swept = MySqlAppDb::remove_leftovers(pool(&database).await, Effort::Asked)
        .await
        .unwrap();
    assert_eq!((swept.removed, swept.left), (shown, Vec::new()));
    assert_eq!(ours(&database).await, [""; 0]);
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

async fn read_many(database: &TestDatabase) -> MySqlConnection {
    let mut reader = database.connect().await;
    let reads = MANY.map(|table| format!("SELECT * FROM {table}")).join("; ");
    raw(&mut reader, &format!("START TRANSACTION; {reads}"))
        .await
        .unwrap();
    reader
}

#[tokio::test]
async fn behind_who_reads_many_tables_all_is_given_back_in_one_try_mariadb() {
    let Some(database) = many().await else { return };
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let mut reader = read_many(&database).await;
    let one_try = tokio::time::timeout(ONE_TRY, app_db.restore(token, &before));
    one_try.await.unwrap().unwrap();
    all_pass(&database, "disarmed").await;
    assert_ne!(ours(&database).await, [""; 0], "the reader kept none");
    raw(&mut reader, "ROLLBACK").await.unwrap();
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(ours(&database).await, [""; 0]);
    database.drop().await;
}

/// A session that tries to take a trigger away.
async fn removing(connection: &mut MySqlConnection) -> Option<i64> {
    sqlx::query_scalar(
        "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
         WHERE db = database() AND info LIKE 'DROP TRIGGER%' LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .unwrap()
}

/// Before, whoever stood still in the middle of it took the next one's triggers away; and where it was the begin of
/// `enforced`, nobody could take the lease until it had ended.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_in_the_middle_of_it_removes_nothing_more_mariadb() {
    for begins in [false, true] {
        let Some(database) = many().await else { return };
        let app_db = open(&database).await;
        let (token, before) = engage(&app_db).await;
        // Of another process, which guards nothing.
        let worker = open(&database).await;
        app_db
            .release(&app_db.current().await.unwrap().unwrap().lease)
            .await
            .unwrap();
        drop(app_db);
        let token = if begins {
            worker.acquire("node", 60_000).await.unwrap().token
        } else {
            database
                .execute("UPDATE metaferry_lease SET expires_at_micros = expires_at_micros + 1000000 * (unix_timestamp() + 60)")
                .await;
            token
        };
        let mut reader = read_many(&database).await;
        let working = tokio::spawn({
            let worker = worker.clone();
            async move {
                if begins {
                    worker
                        .engage(token, Enforced, &before, &Cancellation::new())
                        .await
                } else {
                    worker.restore(token, &before).await
                }
            }
        });
        let mut other = database.connect().await;
        while removing(&mut other).await.is_none() {
            assert!(!working.is_finished(), "nobody removed anything");
        }
        database
            .execute("UPDATE metaferry_lease SET expires_at_micros = 0")
            .await;
        worker.acquire("next", 60_000).await.unwrap();
        let there = ours(&database).await;
        assert!(!there.is_empty());
        raw(&mut reader, "ROLLBACK").await.unwrap();
        let lost = working.await.unwrap().unwrap_err();
        assert_eq!(lost.kind, ErrorKind::Precondition, "{lost:?}");
        assert_eq!(ours(&database).await, there);
        database.drop().await;
    }
}

/// Before, a broken connection was taken for a table in use, and everything stayed behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_an_error_and_a_retry_removes_all_mariadb() {
    let Some(database) = many().await else { return };
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let mut reader = read_many(&database).await;
    let restoring = tokio::spawn({
        let (app_db, before) = (app_db.clone(), before.clone());
        async move { app_db.restore(token, &before).await }
    });
    let mut other = database.connect().await;
    let id = loop {
        assert!(!restoring.is_finished(), "nobody removed anything");
        if let Some(id) = removing(&mut other).await {
            break id;
        }
    };
    raw(&mut other, &format!("KILL {id}")).await.unwrap();
    let broken = restoring.await.unwrap().unwrap_err();
    assert_eq!(broken.kind, ErrorKind::Unavailable, "{broken:?}");
    raw(&mut reader, "ROLLBACK").await.unwrap();
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(ours(&database).await, [""; 0]);
    database.drop().await;
}
