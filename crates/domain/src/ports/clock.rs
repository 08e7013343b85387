//! Time and ids come from outside, so that a test decides them.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

/// Wall-clock time and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 by this machine's clock: for logs and pacing, never for leases.
    fn now_ms(&self) -> u64;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// Unique ids.
pub trait IdSource: Send + Sync {
    /// A new random id.
    fn new_id(&self) -> Uuid;
}
