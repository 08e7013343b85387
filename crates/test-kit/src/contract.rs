//! What every adapter of a port must do, one suite per port: run by the fakes here and by each adapter's own tests.
//!
//! A suite panics with the promise that was broken. It begins each of its cases with a fresh app DB.

mod journal_store;
mod lease_store;
mod migration_rows;
pub mod still_tables;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::lease::{FencingToken, Lease};
use metaferry_domain::ports::{JournalStore, LeaseStore, MigrationRows};
use metaferry_domain::{ErrorKind, PortError};

pub use journal_store::journal_store;
pub use lease_store::lease_store;
pub use migration_rows::migration_rows;

/// Terms of the suites' leases, in milliseconds: long enough never to run out on a slow machine.
const TERM_MS: u64 = 60_000;

/// An app DB with nothing of ours in it: no lease was ever given, no journal, no row in `cloud_migration`.
#[async_trait]
pub trait AppDbUnderTest: Send + Sync {
    /// Its lease.
    fn lease(&self) -> Arc<dyn LeaseStore>;

    /// Its journal.
    fn journal(&self) -> Arc<dyn JournalStore>;

    /// Its rows.
    fn rows(&self) -> Arc<dyn MigrationRows>;

    /// Lets time pass for the lease: the clock that it ends by goes on, or (where that cannot be set) its end is moved
    /// back by as much.
    async fn pass(&self, duration: Duration);
}

async fn take(db: &dyn AppDbUnderTest, holder: &str) -> Lease {
    db.lease()
        .acquire(holder, TERM_MS)
        .await
        .expect("the lease is free")
}

/// Tokens that may write nothing, each with how it came to that.
async fn stale_tokens(db: &dyn AppDbUnderTest) -> Vec<(&'static str, FencingToken)> {
    let lost = take(db, "lost").await;
    db.pass(Duration::from_millis(TERM_MS)).await;
    let given_back = take(db, "given back").await;
    db.lease().release(&given_back).await.unwrap_or_else(broken);
    let holder = take(db, "holder").await;
    vec![
        ("an earlier holder's", lost.token),
        ("one that was given back", given_back.token),
        ("one that was never given", FencingToken(holder.token.0 + 1)),
    ]
}

fn broken(error: PortError) {
    panic!("{error:?}");
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, PortError>, kind: ErrorKind, what: &str) -> PortError {
    match result {
        Ok(done) => panic!("{what}: expected {kind:?}, but it was done: {done:?}"),
        Err(error) => {
            assert_eq!(error.kind, kind, "{what}: {error:?}");
            error
        }
    }
}
