//! Jobs paused and resumed exactly.

use async_trait::async_trait;

use crate::lease::FencingToken;
use crate::quiesce::RunningJobs;
use crate::{Cancellation, PortError};

/// What was paused before we paused everything: what restoring must leave paused. The adapter's own JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PausedBefore {
    /// Opaque to everyone but the adapter.
    pub json: String,
}

/// The application's job scheduler, over all its nodes.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// What is paused now; written to the journal before [`Scheduler::quiesce`].
    async fn before(&self) -> Result<PausedBefore, PortError>;

    /// Pauses every trigger on every node. Idempotent. Waiting for whoever keeps them locked ends once `cancel` is raised.
    async fn quiesce(
        &self,
        token: FencingToken,
        before: &PausedBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError>;

    /// Jobs that still run on nodes that live, or may; nothing of a node without any.
    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError>;

    /// Everything runs again that ran before, and nothing else. Idempotent. Waits for nobody where nothing was paused.
    async fn restore(&self, token: FencingToken, before: &PausedBefore) -> Result<(), PortError>;
}
