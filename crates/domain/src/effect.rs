//! What must be done next. An effect is performed through one port call, and is announced in the journal before.

use std::fmt;

use crate::migration::Phase;

/// One thing to do. Effects of the way forward first, then those that undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Find every reason why the migration would fail. Touches nothing.
    Preflight,
    /// Take the right to act.
    AcquireLease,
    /// Create the migration at the store, or pick bucket and key.
    CreateAtStore,
    /// Insert the row in `cloud_migration` (a retry re-opens it under the guard).
    InsertRow,
    /// Store and print the SQL that undoes everything by hand.
    StoreUndoScript,
    /// Arm the dead man's switch: should every process of ours be gone once the lease has run out, the application's own
    /// check-ins undo what follows.
    ArmSwitch,
    /// Read-only on; remembers the value before.
    ReadOnlyOn,
    /// Wait until read-only holds on every node.
    AwaitReadOnly,
    /// Pause the scheduler; remembers what was paused before.
    QuiesceScheduler,
    /// Wait for executing jobs of live nodes.
    AwaitRunningJobs,
    /// Take the snapshot and copy every source row.
    CopySnapshot,
    /// Prove that read-only held while rows were read.
    ProveReadOnlyHeld,
    /// Scheduler as it was before.
    RestoreScheduler,
    /// Read-only as it was before, if the value is still ours.
    RestoreReadOnly,
    /// Take the dead man's switch away: nothing is left that it would have to undo.
    DisarmSwitch,
    /// Finish the dump file, read it again, compare rows and digests, check foreign keys, write the manifest.
    FinishDump,
    /// Carry the file to the store.
    UploadDump,
    /// See that what arrived is what was sent, wherever it can be seen.
    VerifyObject,
    /// Tell the store that the upload is finished.
    TellStore,
    /// Delete the dump and its manifest, unless they are kept.
    DeleteDump,
    /// Abort the upload where the store can; drop what is known of its parts.
    AbortUpload,
    /// Write state and progress under the guard: the row must not be terminal.
    WriteState(Phase),
    /// Write the progress of the present state under the guard. The one effect that the journal is not told of:
    /// if it fails, the next write makes up for it.
    WriteProgress,
    /// Give the right to act back.
    ReleaseLease,
}

impl Effect {
    /// Every effect, with every phase that is ever written.
    pub const ALL: [Self; 28] = [
        Self::Preflight,
        Self::AcquireLease,
        Self::CreateAtStore,
        Self::InsertRow,
        Self::StoreUndoScript,
        Self::ArmSwitch,
        Self::ReadOnlyOn,
        Self::AwaitReadOnly,
        Self::QuiesceScheduler,
        Self::AwaitRunningJobs,
        Self::CopySnapshot,
        Self::ProveReadOnlyHeld,
        Self::RestoreScheduler,
        Self::RestoreReadOnly,
        Self::DisarmSwitch,
        Self::FinishDump,
        Self::UploadDump,
        Self::VerifyObject,
        Self::TellStore,
        Self::DeleteDump,
        Self::AbortUpload,
        Self::WriteState(Phase::Setup),
        Self::WriteState(Phase::Dump),
        Self::WriteState(Phase::Upload),
        Self::WriteState(Phase::Done),
        Self::WriteState(Phase::Error),
        Self::WriteState(Phase::Cancelled),
        Self::ReleaseLease,
    ];

    /// While this effect runs, `undoing` must not begin: it would undo what is still being done, or take away
    /// what is being read. Everything else that is owed need not wait.
    #[must_use]
    pub fn holds_up(self, undoing: Self) -> bool {
        match self {
            Self::ArmSwitch => undoing == Self::DisarmSwitch,
            Self::ReadOnlyOn => undoing == Self::RestoreReadOnly,
            Self::QuiesceScheduler => undoing == Self::RestoreScheduler,
            Self::CopySnapshot | Self::FinishDump => undoing == Self::DeleteDump,
            Self::UploadDump => matches!(undoing, Self::AbortUpload | Self::DeleteDump),
            Self::InsertRow => matches!(undoing, Self::WriteState(_)),
            // Whether the migration arrived is being decided: a cancel must not take the dump away meanwhile.
            Self::WriteState(Phase::Done) => matches!(undoing, Self::WriteState(_) | Self::DeleteDump),
            // Two writes at once could end in either order.
            Self::WriteState(_) => matches!(undoing, Self::WriteState(_)),
            Self::Preflight
            | Self::AcquireLease
            | Self::CreateAtStore
            | Self::StoreUndoScript
            | Self::AwaitReadOnly
            | Self::AwaitRunningJobs
            | Self::ProveReadOnlyHeld
            | Self::RestoreScheduler
            | Self::RestoreReadOnly
            | Self::DisarmSwitch
            | Self::VerifyObject
            | Self::TellStore
            | Self::DeleteDump
            | Self::AbortUpload
            | Self::WriteProgress
            | Self::ReleaseLease => false,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::WriteState(phase) = self {
            write!(f, "WriteState({phase})")
        } else {
            fmt::Debug::fmt(self, f)
        }
    }
}
