//! Looking for writes to tables that had to be still.

use metaferry_domain::Cancellation;
use metaferry_domain::migration::ReadOnlyStrength::Flag;
use metaferry_domain::ports::ReadOnlyGuard as _;

use crate::database::{TestDatabase, token};

/// Whoever looks through all tables keeps triggers from being taken away. A cancel no longer waits for him, but the server
/// went on.
#[tokio::test]
async fn a_look_that_nobody_waits_for_any_more_is_ended_on_the_server() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    // Showing its key takes ten minutes.
    database
        .execute(
            "CREATE TYPE slow AS (id int);
             CREATE FUNCTION shown(slow) RETURNS text LANGUAGE sql AS 'SELECT $1.id || pg_sleep(600)::text';
             CREATE CAST (slow AS text) WITH FUNCTION shown(slow);
             CREATE TABLE collection (id slow PRIMARY KEY)",
        )
        .await;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let before = app_db.before().await.unwrap();
    app_db
        .engage(token, Flag, &before, &Cancellation::new())
        .await
        .unwrap();
    app_db.watch(Flag).await.unwrap();
    database.execute("INSERT INTO collection VALUES (row(1))").await;
    let looking = tokio::spawn(async move { app_db.prove(Flag, &before).await });
    let is_looking = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%txid_visible%' \
                      AND datname = current_database()";
    while database.one(is_looking).await.unwrap() == "0" {
        assert!(!looking.is_finished());
    }
    looking.abort();
    let gone = async { while database.one(is_looking).await.unwrap() != "0" {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone)
        .await
        .expect("the server has ended it");
    database.drop().await;
}
