//! Every port call, and who is asked by it.

use metaferry_domain::effect::Effect;
use metaferry_domain::migration::Phase;

/// One call of a port, or one step within a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named for the method it stands for")]
pub enum Call {
    Acquire,
    Renew,
    Release,
    CurrentLease,
    Append,
    ReadJournal,
    Settle,
    Migrations,
    Insert,
    Reopen,
    Update(Phase),
    GetRow,
    NewestRows,
    CancelAll,
    ReadOnlyBefore,
    Engage,
    Nodes,
    StillWriting,
    WatchWrites,
    Prove,
    RestoreReadOnly,
    SchedulerBefore,
    Quiesce,
    RunningJobs,
    RestoreScheduler,
    Preflight,
    StoreUndoScript,
    ArmSwitch,
    DisarmSwitch,
    CopySnapshot,
    CopyRows,
    FinishDump,
    SyncDump,
    NameDump,
    SyncFolder,
    DescribeDump,
    DiscardDump,
    CreateUpload,
    PutPart,
    CompleteUpload,
    VerifyObject,
    AbortUpload,
    CreateAtStore,
    TellStore,
    Notify,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 51] = [
        Self::Acquire,
        Self::Renew,
        Self::Release,
        Self::CurrentLease,
        Self::Append,
        Self::ReadJournal,
        Self::Settle,
        Self::Migrations,
        Self::Insert,
        Self::Reopen,
        Self::Update(Phase::Init),
        Self::Update(Phase::Setup),
        Self::Update(Phase::Dump),
        Self::Update(Phase::Upload),
        Self::Update(Phase::Done),
        Self::Update(Phase::Error),
        Self::Update(Phase::Cancelled),
        Self::GetRow,
        Self::NewestRows,
        Self::CancelAll,
        Self::ReadOnlyBefore,
        Self::Engage,
        Self::Nodes,
        Self::StillWriting,
        Self::WatchWrites,
        Self::Prove,
        Self::RestoreReadOnly,
        Self::SchedulerBefore,
        Self::Quiesce,
        Self::RunningJobs,
        Self::RestoreScheduler,
        Self::Preflight,
        Self::StoreUndoScript,
        Self::ArmSwitch,
        Self::DisarmSwitch,
        Self::CopySnapshot,
        Self::CopyRows,
        Self::FinishDump,
        Self::SyncDump,
        Self::NameDump,
        Self::SyncFolder,
        Self::DescribeDump,
        Self::DiscardDump,
        Self::CreateUpload,
        Self::PutPart,
        Self::CompleteUpload,
        Self::VerifyObject,
        Self::AbortUpload,
        Self::CreateAtStore,
        Self::TellStore,
        Self::Notify,
    ];

    /// Who is asked. A new call must be sorted in here, and belongs into [`Call::ALL`].
    #[must_use]
    pub fn reach(self) -> Reach {
        match self {
            Self::CurrentLease
            | Self::ReadJournal
            | Self::Migrations
            | Self::GetRow
            | Self::NewestRows
            | Self::ReadOnlyBefore
            | Self::Nodes
            | Self::StillWriting
            | Self::WatchWrites
            | Self::Prove
            | Self::SchedulerBefore
            | Self::RunningJobs
            | Self::Preflight
            | Self::VerifyObject => Reach::Question,
            Self::Acquire
            | Self::Renew
            | Self::Release
            | Self::Append
            | Self::Settle
            | Self::Insert
            | Self::Reopen
            | Self::Update(_)
            | Self::CancelAll
            | Self::Engage
            | Self::RestoreReadOnly
            | Self::Quiesce
            | Self::RestoreScheduler
            | Self::ArmSwitch
            | Self::DisarmSwitch
            | Self::CreateUpload
            | Self::PutPart
            | Self::CompleteUpload
            | Self::AbortUpload
            | Self::CreateAtStore
            | Self::TellStore
            | Self::Notify => Reach::Server,
            Self::StoreUndoScript
            | Self::CopySnapshot
            | Self::CopyRows
            | Self::FinishDump
            | Self::SyncDump
            | Self::NameDump
            | Self::SyncFolder
            | Self::DescribeDump
            | Self::DiscardDump => Reach::Disk,
        }
    }

    /// The call by which an effect changes or learns what it is for.
    #[must_use]
    pub fn of(effect: Effect) -> Self {
        match effect {
            Effect::Preflight => Self::Preflight,
            Effect::AcquireLease => Self::Acquire,
            Effect::CreateAtStore => Self::CreateAtStore,
            Effect::InsertRow => Self::Insert,
            Effect::StoreUndoScript => Self::StoreUndoScript,
            Effect::ArmSwitch => Self::ArmSwitch,
            Effect::DisarmSwitch => Self::DisarmSwitch,
            Effect::ReadOnlyOn => Self::Engage,
            Effect::AwaitReadOnly => Self::Nodes,
            Effect::QuiesceScheduler => Self::Quiesce,
            Effect::AwaitRunningJobs => Self::RunningJobs,
            Effect::CopySnapshot => Self::CopySnapshot,
            Effect::ProveReadOnlyHeld => Self::Prove,
            Effect::RestoreScheduler => Self::RestoreScheduler,
            Effect::RestoreReadOnly => Self::RestoreReadOnly,
            Effect::FinishDump => Self::FinishDump,
            Effect::UploadDump => Self::PutPart,
            Effect::VerifyObject => Self::VerifyObject,
            Effect::TellStore => Self::TellStore,
            Effect::DeleteDump => Self::DiscardDump,
            Effect::AbortUpload => Self::AbortUpload,
            Effect::WriteState(phase) => Self::Update(phase),
            Effect::WriteProgress => Self::Update(Phase::Dump),
            Effect::ReleaseLease => Self::Release,
        }
    }
}

/// Who is asked by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A server, which goes on by itself with what it was asked for.
    Server,
    /// A server, for something that changes nothing there.
    Question,
    /// The disk of the machine that the process runs on.
    Disk,
}
