//! Asks running work to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{ErrorKind, PortError};

/// A flag that is raised once and seen by every clone. Work that runs long looks at it at least every 100 ms;
/// work that waits is dropped by its caller instead.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// A flag that is down.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Is it raised?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// `Err` of kind [`ErrorKind::Cancelled`] once the flag is raised.
    ///
    /// # Errors
    /// If cancelled.
    pub fn check(&self) -> Result<(), PortError> {
        if self.is_cancelled() {
            Err(PortError::new(ErrorKind::Cancelled, "cancelled"))
        } else {
            Ok(())
        }
    }
}
