//! The append-only record.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::PortError;
use crate::lease::FencingToken;
use crate::migration::MigrationId;

/// An entry as the store keeps it: the domain's JSON, opaque to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// 1, 2, 3 … within one migration.
    pub sequence: u64,
    /// The serialized [`JournalEntry`](crate::journal::JournalEntry).
    pub json: String,
}

/// One migration of the journal, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSummary {
    /// Whose.
    pub id: MigrationId,
    /// Has everything been undone or finished that had to be?
    pub settled: bool,
}

/// When entries were written, by one clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalTimes {
    /// What it shows now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Likewise, when an entry was written, by its sequence; of some it may not be known.
    pub written_ms: BTreeMap<u64, u64>,
}

/// Keeps the journal where the application's data are.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// Appends durably, under the token. [`Conflict`](crate::ErrorKind::Conflict) if that sequence number is
    /// taken by other content; asked again with the same content it answers `Ok`.
    async fn append(
        &self,
        token: FencingToken,
        id: MigrationId,
        record: &JournalRecord,
    ) -> Result<(), PortError>;

    /// Every record of a migration, in order.
    async fn read(&self, id: MigrationId) -> Result<Vec<JournalRecord>, PortError>;

    /// When a migration's records were written, by the database's own clock; `None` where it has none of its own.
    async fn times(&self, id: MigrationId) -> Result<Option<JournalTimes>, PortError> {
        let _ = id;
        Ok(None)
    }

    /// Marks a migration as settled, under the token.
    async fn settle(&self, token: FencingToken, id: MigrationId) -> Result<(), PortError>;

    /// Migrations, newest first, at most `limit`.
    async fn migrations(&self, limit: u32) -> Result<Vec<MigrationSummary>, PortError>;
}
