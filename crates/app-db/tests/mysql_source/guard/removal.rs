//! What is taken away while others use the tables, and what stays for now.

use std::time::Duration;

use metaferry_app_db::mysql::MySqlAppDb;
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::ReadOnlyGuard as _;
use metaferry_test_kit::contract::still_tables::MANY;

use super::{all_pass, engage, is_guarded, ours, pool, raw};
use crate::own_rows::open;
use crate::stillness::app_db;

/// As long as the orchestrator waits for the app DB; then it begins again from the start.
const ONE_TRY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn behind_a_long_reader_it_is_disarmed_at_once_and_removed_later_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let refused = MySqlAppDb::remove_leftovers(pool(&database).await)
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
    let swept = MySqlAppDb::remove_leftovers(pool(&database).await).await.unwrap();
    assert_eq!((swept.removed, swept.left), (shown, Vec::new()));
    assert_eq!(ours(&database).await, [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn behind_who_reads_many_tables_all_is_given_back_in_one_try_mariadb() {
    let Some(database) = app_db().await else { return };
    for table in MANY {
        database
            .execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY)"))
            .await;
    }
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let mut reader = database.connect().await;
    let reads = MANY.map(|table| format!("SELECT * FROM {table}")).join("; ");
    raw(&mut reader, &format!("START TRANSACTION; {reads}"))
        .await
        .unwrap();
    let one_try = tokio::time::timeout(ONE_TRY, app_db.restore(token, &before));
    one_try.await.unwrap().unwrap();
    all_pass(&database, "disarmed").await;
    assert_ne!(ours(&database).await, [""; 0], "the reader kept none");
    raw(&mut reader, "ROLLBACK").await.unwrap();
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(ours(&database).await, [""; 0]);
    database.drop().await;
}
