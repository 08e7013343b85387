//! What undoes everything when nobody of ours is left.

use async_trait::async_trait;

use crate::event::SwitchStanding;
use crate::lease::FencingToken;
use crate::{Cancellation, PortError};

/// A switch in the application's own database that its own processes trip: once the lease has run out, it puts back what
/// [`ReadOnlyGuard::engage`](super::ReadOnlyGuard::engage) and [`Scheduler::quiesce`](super::Scheduler::quiesce) have
/// changed, which they tell it in the same transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DeadMansSwitch: Send + Sync {
    /// Why there can be none here, if so.
    async fn obstacle(&self) -> Result<Option<String>, PortError>;

    /// Arms it, before anything is changed. Idempotent. That there can be none here is no error.
    ///
    /// Others may keep the table in use that it needs: once `cancel` is raised it waits for them no longer, and ends as
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    async fn arm(&self, token: FencingToken, cancel: &Cancellation) -> Result<SwitchStanding, PortError>;

    /// Takes it away, after everything was put back. Idempotent; what cannot be removed because somebody uses it is made
    /// to do nothing, and goes with the next call.
    async fn disarm(&self, token: FencingToken) -> Result<(), PortError>;
}
