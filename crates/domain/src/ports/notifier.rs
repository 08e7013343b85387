//! Alerts.

use async_trait::async_trait;

use crate::PortError;
use crate::migration::{MigrationId, Phase};

/// Something a person wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of which migration.
    pub migration: MigrationId,
    /// Where it stands.
    pub phase: Phase,
    /// In words.
    pub message: String,
}

/// Tells people; failing to is logged and never fails a migration.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Sends one notice.
    async fn notify(&self, notice: &Notice) -> Result<(), PortError>;
}
