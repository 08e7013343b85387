//! What must be done next. An effect is performed through one port call, and is announced in the journal before.

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
    /// Give the right to act back.
    ReleaseLease,
}
