//! Looking for writes to tables that had to be still.

use std::time::Duration;

use metaferry_domain::migration::ReadOnlyStrength::Flag;
use metaferry_domain::ports::{ReadOnlyGuard as _, ReadOnlyProof};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use tokio::task::JoinHandle;

use crate::database::{TestDatabase, lease, token};

/// A proof that takes ten minutes has begun.
async fn long_look(database: &TestDatabase) -> JoinHandle<Result<ReadOnlyProof, PortError>> {
    // So long showing its key takes.
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
    while !is_looking(database).await {
        assert!(!looking.is_finished());
    }
    looking
}

async fn is_looking(database: &TestDatabase) -> bool {
    let asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%txid_visible%' \
                  AND datname = current_database()";
    !database.rows(asleep).await.is_empty()
}

/// Until the server has ended it.
async fn ends(database: &TestDatabase) {
    let gone = async { while is_looking(database).await {} };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("the server has ended it");
}

/// Whoever looks through all tables keeps triggers from being taken away. A cancel no longer waits for him, but the server
/// went on.
#[tokio::test]
async fn a_look_that_nobody_waits_for_any_more_is_ended_on_the_server() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let looking = long_look(&database).await;
    looking.abort();
    ends(&database).await;
    database.drop().await;
}

#[tokio::test]
async fn whoever_takes_the_lease_ends_the_look_of_who_had_it() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let looking = long_look(&database).await;
    database.expire().await;
    lease(&database.open().await).await;
    ends(&database).await;
    let error = looking.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    database.drop().await;
}
