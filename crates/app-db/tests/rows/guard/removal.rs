//! What is taken away while others use the tables, and what stays for now.

use std::time::{Duration, Instant};

use metaferry_domain::ports::ReadOnlyGuard as _;
use metaferry_test_kit::contract::still_tables::{HELD_OFF, MANY};

use super::{OURS, all_pass, app_db, engage, tried};
use crate::database::raw;

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

#[tokio::test]
async fn behind_who_reads_many_tables_all_is_given_back_in_one_try() {
    let Some(database) = app_db().await else { return };
    for table in MANY {
        database
            .execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY)"))
            .await;
    }
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    let mut reader = database.connect().await;
    raw(
        &mut reader,
        &format!("BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE", MANY.join(", ")),
    )
    .await;
    let one_try = tokio::time::timeout(ONE_TRY, app_db.restore(token, &before));
    one_try.await.unwrap().unwrap();
    all_pass(&database, "disarmed").await;
    assert_ne!(database.rows(OURS).await, [""; 0], "the reader kept none");
    raw(&mut reader, "ROLLBACK").await;
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}
