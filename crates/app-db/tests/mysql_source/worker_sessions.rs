//! Whoever takes the lease is rid of the sessions of who had it, judged by what the server lets others do.

use metaferry_app_db::mysql::{MySqlServer, MySqlSource};
use metaferry_domain::Cancellation;
use metaferry_domain::migration::ReadOnlyStrength::Enforced;
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyGuard as _, Source as _};

use crate::database::TestDatabase;
use crate::own_rows::open;

#[tokio::test]
async fn who_takes_the_lease_ends_the_sessions_of_who_had_it_and_nobody_elses() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute("CREATE TABLE setting (`key` varchar(99) PRIMARY KEY, value text); CREATE TABLE report_card (id int PRIMARY KEY)")
        .await;
    let (lost, next) = (open(&database).await, open(&database).await);
    let lease = lost.acquire("lost", 60_000).await.unwrap();
    let before = lost.before().await.unwrap();
    lost.engage(lease.token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    lost.watch(Enforced).await.unwrap();
    let server = MySqlServer::new(&database.address);
    let source = MySqlSource::new(server.clone().of_worker());
    let snapshot = source.snapshot().await.unwrap();
    let dump = MySqlSource::new(server).snapshot().await.unwrap();
    database
        .execute("UPDATE metaferry_lease SET expires_at_micros = 0 WHERE id = 1")
        .await;
    next.acquire("next", 60_000).await.unwrap();
    snapshot.count("report_card").await.unwrap_err();
    dump.count("report_card").await.unwrap();
    dump.close().await.unwrap();
    // Nobody refuses, and nobody holds a definition.
    database
        .execute("SET SESSION lock_wait_timeout = 10; INSERT INTO report_card VALUES (1); ALTER TABLE report_card ADD x int")
        .await;
    drop((snapshot, lost));
    database.drop().await;
}
