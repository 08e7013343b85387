//! What the rows of a lease, a journal and `cloud_migration` mean, whichever database they are in; and what is said when
//! a write was not to be. The statements are the databases' work.

use metaferry_domain::lease::{FencingToken, HeldLease, Lease};
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::ports::{GuardedUpdate, JournalRecord, JournalTimes, MigrationRow};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::{ErrorKind, PortError};
use uuid::Uuid;

use crate::error::{Busy, busy, failed};

/// Tokens are counted from 1 in steps of 1 by the database itself.
pub(crate) fn database_token(token: FencingToken) -> Result<i64, PortError> {
    i64::try_from(token.0).map_err(|_| {
        PortError::new(
            ErrorKind::Precondition,
            format!("token {token} was never given by a database"),
        )
    })
}

/// A lease of its columns.
pub(crate) fn lease(token: i64, holder: String, term_ms: i64) -> Lease {
    Lease {
        token: FencingToken(token.unsigned_abs()),
        holder,
        term_ms: term_ms.unsigned_abs(),
    }
}

/// The lease of its columns, and what is left of it: less than nothing where it ended while it was read.
pub(crate) fn held(lease: Lease, left_ms: i64) -> HeldLease {
    HeldLease {
        lease,
        left_ms: u64::try_from(left_ms).unwrap_or(0),
    }
}

/// The lease that was asked for is somebody's.
pub(crate) fn held_by(held: Option<&HeldLease>) -> PortError {
    let by = held.map_or_else(
        || "another process".to_owned(),
        |held| {
            format!(
                "{}, for {} s more if that process is gone",
                held.lease.holder,
                held.left_ms.div_ceil(1000)
            )
        },
    );
    PortError::new(
        ErrorKind::Conflict,
        format!("the lease is held by {by}; try again then"),
    )
}

/// A write under a token that is no longer the lease's.
pub(crate) fn no_longer_held(token: FencingToken) -> PortError {
    PortError::new(
        ErrorKind::Precondition,
        format!("the lease with token {token} is no longer held: nothing was written"),
    )
}

/// A lease that cannot be renewed.
pub(crate) fn lease_is_lost(token: FencingToken) -> PortError {
    PortError::new(
        ErrorKind::Precondition,
        format!("the lease with token {token} is lost"),
    )
}

/// Another entry stands where one was to be written. The same content is the same entry: the answer to an earlier try
/// may have been lost.
pub(crate) fn same_entry(id: MigrationId, record: &JournalRecord, there: &str) -> Result<(), PortError> {
    if there == record.json {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Conflict,
        format!(
            "entry {} of migration {id} was written by somebody else",
            record.sequence
        ),
    ))
}

/// When entries were written, by sequence, as a database gives it.
pub(crate) fn journal_times(now_ms: i64, written: Vec<(i64, i64)>) -> JournalTimes {
    let written = written.into_iter();
    JournalTimes {
        now_ms: now_ms.unsigned_abs(),
        written_ms: written
            .map(|(sequence, at_ms)| (sequence.unsigned_abs(), at_ms.unsigned_abs()))
            .collect(),
    }
}

/// A migration's id as our tables hold it.
pub(crate) fn migration_id(id: &str) -> Result<MigrationId, PortError> {
    Uuid::parse_str(id).map(MigrationId).map_err(|error| {
        PortError::new(ErrorKind::Corrupt, format!("{id:?} is no migration's id")).because(error)
    })
}

/// A row of `cloud_migration` as a database gives it.
pub(crate) struct RawMigrationRow {
    pub(crate) id: i64,
    pub(crate) external_id: String,
    pub(crate) upload_url: String,
    pub(crate) state: String,
    pub(crate) progress: i64,
    pub(crate) created_at_micros: i64,
    pub(crate) updated_at_micros: i64,
}

impl RawMigrationRow {
    pub(crate) fn read(self) -> Result<MigrationRow, PortError> {
        let instant = |micros| Instant { micros, nanos: 0 };
        Ok(MigrationRow {
            id: RowId(self.id),
            phase: phase(&self.state)?,
            external_id: self.external_id,
            upload_url: self.upload_url,
            progress: u8::try_from(self.progress.clamp(0, 100)).unwrap_or(100),
            created_at: instant(self.created_at_micros),
            updated_at: instant(self.updated_at_micros),
        })
    }
}

/// How a guarded update ended that wrote nothing, by the state that the row is in.
pub(crate) fn not_written(state: Option<&str>) -> Result<GuardedUpdate, PortError> {
    state.map_or(Ok(GuardedUpdate::Missing), |state| {
        Ok(GuardedUpdate::Ended(phase(state)?))
    })
}

/// Why rows could not be cancelled.
pub(crate) fn not_cancelled(error: sqlx::Error) -> PortError {
    const WHAT: &str = "cancel in cloud_migration";
    match busy(&error) {
        Some(Busy::InUse { find }) => PortError::new(
            ErrorKind::Unavailable,
            format!(
                "{WHAT}: another session keeps the row locked; find it {find} and end it, or interrupt the metaferry that \
                 migrates"
            ),
        )
        .because(error),
        Some(Busy::Deadlock) | None => failed(WHAT, error),
    }
}

/// `cloud_migration.id` is an integer.
pub(crate) fn i32_id(id: RowId) -> Result<i32, PortError> {
    i32::try_from(id.0).map_err(|_| {
        PortError::new(
            ErrorKind::NotFound,
            format!("cloud_migration has no row {}", id.0),
        )
    })
}

fn phase(state: &str) -> Result<Phase, PortError> {
    Phase::parse(state).ok_or_else(|| {
        PortError::new(
            ErrorKind::Corrupt,
            format!("cloud_migration holds the unknown state {state:?}"),
        )
    })
}
