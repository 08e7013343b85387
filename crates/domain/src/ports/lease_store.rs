//! One actor at a time.

use async_trait::async_trait;

use crate::PortError;
use crate::lease::{HeldLease, Lease};

/// Gives, extends and takes back the lease, by the database's own clock.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes the lease for `term_ms` if nobody holds it, with a token above every token given before.
    /// [`Conflict`](crate::ErrorKind::Conflict), naming the holder, if somebody does.
    async fn acquire(&self, holder: &str, term_ms: u64) -> Result<Lease, PortError>;

    /// Extends the lease by its term from now; token unchanged.
    ///
    /// On [`Precondition`](crate::ErrorKind::Precondition) stop writing at once: another node may hold a newer token.
    async fn renew(&self, lease: &Lease) -> Result<(), PortError>;

    /// Gives it back, if it is still ours. Idempotent.
    async fn release(&self, lease: &Lease) -> Result<(), PortError>;

    /// The lease as it stands, if somebody holds it.
    async fn current(&self) -> Result<Option<HeldLease>, PortError>;
}
