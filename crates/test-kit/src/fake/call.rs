//! Every port call, and what may go wrong with it.

use std::time::Duration;

use metaferry_domain::ErrorKind;
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
    Propagation,
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
            Effect::AwaitReadOnly => Self::Propagation,
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

/// Where a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Of which process, counted from 1.
    pub process: u32,
    /// The how-manieth call of this process, from 1.
    pub number: u64,
    /// Which call.
    pub call: Call,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes well.
    Nothing,
    /// It fails, and nothing took place.
    Fail(ErrorKind),
    /// It took place, and the caller gets [`ErrorKind::Unavailable`].
    LoseAnswer,
    /// The process ends.
    Crash(When),
    /// It takes so long, then goes well.
    Slow(Duration),
    /// It takes place at once, and its answer takes so long.
    SlowAnswer(Duration),
    /// Somebody writes `cancelled` into every open row just before.
    CancelOutside,
    /// The lease ends just before, whoever holds it.
    EndLease,
    /// The adapter has a bug.
    Panic,
}

/// When a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the call took place.
    Before,
    /// After it took place, before its answer arrived.
    After,
}
