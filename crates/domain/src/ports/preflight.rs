//! Reasons against starting, and the way back by hand.

use async_trait::async_trait;

use crate::PortError;
use crate::lease::FencingToken;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Wants a decision by a person.
    Warning,
    /// The migration would fail.
    Blocker,
}

/// One thing that preflight found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// Weight.
    pub severity: Severity,
    /// A stable code such as `target_exists`.
    pub code: String,
    /// In words, with what to do.
    pub message: String,
}

/// Looks for every reason why a migration would fail. Touches nothing.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Preflight: Send + Sync {
    /// Everything found, worst first.
    async fn check(&self) -> Result<Vec<Finding>, PortError>;
}

/// Plain SQL that undoes everything with the database's own client alone.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UndoScript: Send + Sync {
    /// Writes the script for the state as it is before anything is changed, and answers where it is.
    async fn store(&self, token: FencingToken) -> Result<String, PortError>;
}
