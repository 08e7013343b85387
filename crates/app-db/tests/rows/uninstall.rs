//! Everything of ours removed, but never what is still needed.

use metaferry_app_db::postgres::PostgresAppDb;
use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::{DeadMansSwitch as _, JournalRecord, JournalStore, LeaseStore};
use metaferry_domain::{Cancellation, ErrorKind};

use crate::database::{TestDatabase, lease};

const ID: MigrationId = MigrationId(uuid::Uuid::from_u128(7));

fn record() -> JournalRecord {
    JournalRecord {
        sequence: 1,
        json: "{}".to_owned(),
    }
}

#[tokio::test]
async fn nothing_of_ours_is_left_in_a_postgres_and_all_of_metabases() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let objects = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE nspname NOT LIKE 'pg\\_%' UNION ALL SELECT nspname::text FROM pg_namespace
        UNION ALL SELECT proname::text FROM pg_proc WHERE oid > 16384 UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
        ORDER BY 1";
    let before = (database.rows(objects).await, database.contents().await);
    assert_eq!(
        PostgresAppDb::uninstall(database.pool().await).await.unwrap(),
        [""; 0]
    );
    let app_db = database.open().await;
    let held = lease(&app_db).await;
    app_db.arm(held.token, &Cancellation::new()).await.unwrap();
    app_db.append(held.token, ID, &record()).await.unwrap();

    let refused = PostgresAppDb::uninstall(database.pool().await).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "somebody is at it");
    app_db.release(&held).await.unwrap();
    let refused = PostgresAppDb::uninstall(database.pool().await).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(
        refused.what.contains("metaferry recover"),
        "something is left to undo: {}",
        refused.what
    );
    let held = lease(&app_db).await;
    app_db.settle(held.token, ID).await.unwrap();
    app_db.release(&held).await.unwrap();
    let removed = PostgresAppDb::uninstall(database.pool().await).await.unwrap();
    assert!(removed.contains(&"metaferry".to_owned()), "{removed:?}");
    assert_eq!((database.rows(objects).await, database.contents().await), before);
    database.drop().await;
}

#[tokio::test]
async fn the_file_of_an_h2_source_goes_when_all_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.sqlite");
    assert_eq!(SqliteState::uninstall(&file).await.unwrap(), [""; 0]);
    let state = SqliteState::open(&file).await.unwrap();
    let held = state.acquire("node", 60_000).await.unwrap();
    state.append(held.token, ID, &record()).await.unwrap();
    state.release(&held).await.unwrap();
    let refused = SqliteState::uninstall(&file).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    let held = state.acquire("node", 60_000).await.unwrap();
    state.settle(held.token, ID).await.unwrap();
    state.release(&held).await.unwrap();
    drop(state);
    assert!(!SqliteState::uninstall(&file).await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
