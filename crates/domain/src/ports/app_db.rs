//! The rows of `cloud_migration`.

use async_trait::async_trait;

use crate::lease::FencingToken;
use crate::migration::{Phase, RowId};
use crate::row_batch::Instant;
use crate::{Cancellation, PortError};

/// A row of `cloud_migration`, which Metabase shows and anybody may end.
#[derive(Clone, PartialEq, Eq)]
pub struct MigrationRow {
    /// Key.
    pub id: RowId,
    /// The id that the store gave.
    pub external_id: String,
    /// Presigned: a secret in its query.
    pub upload_url: String,
    /// State.
    pub phase: Phase,
    /// 0 to 100.
    pub progress: u8,
    /// When the row was inserted.
    pub created_at: Instant,
    /// When it was last written.
    pub updated_at: Instant,
}

impl std::fmt::Debug for MigrationRow {
    /// Without the upload URL, whose query is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MigrationRow")
            .field("id", &self.id)
            .field("external_id", &self.external_id)
            .field("phase", &self.phase)
            .field("progress", &self.progress)
            .field("created_at", &self.created_at)
            .field("updated_at", &self.updated_at)
            .finish_non_exhaustive()
    }
}

/// What a new row holds; it begins in `init` at 0.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMigrationRow {
    /// The id that the store gave.
    pub external_id: String,
    /// Presigned: a secret in its query.
    pub upload_url: String,
}

impl std::fmt::Debug for NewMigrationRow {
    /// Without the upload URL, whose query is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMigrationRow")
            .field("external_id", &self.external_id)
            .finish_non_exhaustive()
    }
}

/// How a guarded update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardedUpdate {
    /// The row was not terminal and holds the new values.
    Written,
    /// The row had ended: nothing was written.
    Ended(Phase),
    /// The row is gone: nothing was written.
    Missing,
}

/// `cloud_migration`, exactly in Metabase's shape.
///
/// Every write first proves `token` against the lease in the same transaction and fails with
/// [`Precondition`](crate::ErrorKind::Precondition) if it is no longer the lease's.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MigrationRows: Send + Sync {
    /// Inserts a row in `init`. Asked again with the same `external_id` it answers the row that is there.
    ///
    /// Once `cancel` is raised, waiting for whoever keeps the table or a row locked ends, and it is known that nothing was
    /// written; where nobody can, as in a file of our own, it is not looked at.
    async fn insert(
        &self,
        token: FencingToken,
        row: &NewMigrationRow,
        cancel: &Cancellation,
    ) -> Result<MigrationRow, PortError>;

    /// Takes a row from `error` or `cancelled` back to `init` at 0 with a new external id, if it is the newest one.
    /// `cancel` as for [`MigrationRows::insert`].
    async fn reopen(
        &self,
        token: FencingToken,
        id: RowId,
        row: &NewMigrationRow,
        cancel: &Cancellation,
    ) -> Result<GuardedUpdate, PortError>;

    /// Writes state and progress if the row is not terminal. One statement, atomic.
    async fn update_guarded(
        &self,
        token: FencingToken,
        id: RowId,
        phase: Phase,
        progress: u8,
    ) -> Result<GuardedUpdate, PortError>;

    /// The row, or `None`.
    async fn get(&self, id: RowId) -> Result<Option<MigrationRow>, PortError>;

    /// The newest rows by `created_at`, newest first, at most `limit`.
    async fn newest(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError>;

    /// Sets every row that is not terminal to `cancelled`, as Metabase's own cancel does; answers how many.
    /// Needs no lease: anybody may cancel.
    async fn cancel_all(&self) -> Result<u64, PortError>;
}
