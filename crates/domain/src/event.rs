//! What has happened. Events are all that is remembered of a migration: the journal holds them, and everything
//! that must be known to undo an effect is in the event that announces it.

use std::path::PathBuf;

use crate::effect::Effect;
use crate::lease::FencingToken;
use crate::migration::{Attempt, MigrationId, Phase, RowId};
use crate::plan::MigrationPlan;
use crate::ports::{
    Destination, DumpFile, LeftOut, PartReceipt, PausedBefore, ReadOnlyBefore, SnapshotReport, TableReport,
    UploadReceipt,
};
use crate::quiesce::Wait;
use crate::{ErrorClass, ErrorKind};

/// One thing that has happened.
///
/// Each [`Event::EffectStarted`] is followed by exactly one [`Event::EffectDone`] or [`Event::EffectFailed`] of the
/// same effect, unless the process ends or the lease is lost between them. Other events may come at any time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The migration begins; always and only the first entry of a journal.
    Begun {
        /// Whose journal this is.
        id: MigrationId,
        /// What was chosen.
        plan: MigrationPlan,
    },
    /// An effect is about to be performed.
    EffectStarted(Intent),
    /// An effect was performed.
    EffectDone(Fact),
    /// An effect failed, after every retry that its policy allows. If it was announced, it may have been performed
    /// all the same; if it was only due, what must be announced could not be found out, and nothing was done.
    EffectFailed {
        /// Which.
        effect: Effect,
        /// What kind of failure.
        kind: ErrorKind,
        /// The whole chain of messages, without secrets.
        message: String,
    },
    /// A running effect is so far.
    Progressed {
        /// `CopySnapshot`, `FinishDump` or `UploadDump`.
        effect: Effect,
        /// 0 to 100 of that effect's own work.
        percent: u8,
    },
    /// A running effect waits, or waits for something else than before.
    Waiting {
        /// `AwaitReadOnly` or `AwaitRunningJobs`.
        effect: Effect,
        /// What for, and how long at most.
        wait: Wait,
    },
    /// A multipart upload was begun; whatever was remembered of another one is void.
    UploadBegun {
        /// The store's id.
        upload_id: String,
        /// Bytes of every part but the last.
        part_size_bytes: u64,
    },
    /// The store has taken a part.
    PartArrived {
        /// Of which upload.
        upload_id: String,
        /// What it answered.
        receipt: PartReceipt,
    },
    /// Somebody asks this process to stop.
    CancelRequested {
        /// Who.
        by: Canceller,
    },
    /// The row in `cloud_migration` was found ended, and not by us.
    RowEndedOutside {
        /// How.
        end: RowEnd,
    },
    /// The lease is no longer ours. Never in a journal: who lost the lease cannot write.
    LeaseLost,
    /// A process takes over what another one left: it holds the lease now.
    Recovered {
        /// Of which attempt.
        attempt: Attempt,
        /// Its token, above every earlier one.
        token: FencingToken,
    },
    /// Another attempt of a settled migration is wanted.
    RetryRequested,
    /// Whatever could not be undone is to be tried again.
    UndoRequested,
}

/// What is announced before an effect, with what must be known to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Read-only goes on.
    ReadOnlyOn {
        /// What was there before.
        before: ReadOnlyBefore,
    },
    /// The scheduler is about to be quiesced.
    QuiesceScheduler {
        /// What was paused before.
        before: PausedBefore,
    },
    /// The snapshot is about to be copied.
    CopySnapshot {
        /// The file to be.
        file: PathBuf,
    },
    /// Any other effect; of the three above it is illegal.
    Plain(Effect),
}

impl Intent {
    /// Which effect.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::ReadOnlyOn { .. } => Effect::ReadOnlyOn,
            Self::QuiesceScheduler { .. } => Effect::QuiesceScheduler,
            Self::CopySnapshot { .. } => Effect::CopySnapshot,
            Self::Plain(effect) => *effect,
        }
    }
}

/// What an effect brought about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The lease was given.
    AcquireLease {
        /// With this token.
        token: FencingToken,
    },
    /// The other shore is ready.
    CreateAtStore {
        /// Where the dump goes.
        destination: Destination,
        /// The id that goes into the row: the store's, or a new UUID of ours for a bucket.
        external_id: String,
    },
    /// The row is there and open.
    InsertRow {
        /// Its key.
        row: RowId,
    },
    /// The script is where a person finds it.
    StoreUndoScript {
        /// Where.
        location: String,
    },
    /// Whether the dead man's switch is armed.
    ArmSwitch {
        /// How it stands.
        standing: SwitchStanding,
    },
    /// Every source row was read.
    CopySnapshot {
        /// What was read.
        snapshot: SnapshotFacts,
    },
    /// Whether read-only held.
    ProveReadOnlyHeld {
        /// What was found.
        found: StillnessProof,
    },
    /// The dump is complete and verified.
    FinishDump {
        /// The file.
        file: DumpFile,
    },
    /// The store has every byte.
    UploadDump {
        /// What it answered.
        receipt: UploadReceipt,
    },
    /// The object was looked at.
    VerifyObject {
        /// With this result.
        check: ObjectCheck,
    },
    /// Any other effect; of those above it is illegal.
    Plain(Effect),
}

impl Fact {
    /// Which effect.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::AcquireLease { .. } => Effect::AcquireLease,
            Self::CreateAtStore { .. } => Effect::CreateAtStore,
            Self::InsertRow { .. } => Effect::InsertRow,
            Self::StoreUndoScript { .. } => Effect::StoreUndoScript,
            Self::ArmSwitch { .. } => Effect::ArmSwitch,
            Self::CopySnapshot { .. } => Effect::CopySnapshot,
            Self::ProveReadOnlyHeld { .. } => Effect::ProveReadOnlyHeld,
            Self::FinishDump { .. } => Effect::FinishDump,
            Self::UploadDump { .. } => Effect::UploadDump,
            Self::VerifyObject { .. } => Effect::VerifyObject,
            Self::Plain(effect) => *effect,
        }
    }
}

/// What was read from the source, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, Hash)]
pub struct SnapshotFacts {
    /// When the snapshot was taken, in microseconds since 1970 by the source's clock.
    pub taken_at_us: i64,
    /// Milliseconds from the snapshot to the last source row.
    pub snapshot_ms: u64,
    /// Per table.
    pub tables: Vec<TableReport>,
    /// Left out.
    pub left_out: Vec<LeftOut>,
    /// Things a person should know.
    pub notes: Vec<String>,
}

impl SnapshotFacts {
    /// What the journal keeps of a report.
    #[must_use]
    pub fn of(report: &SnapshotReport) -> Self {
        // A duration that is no number or negative cannot come from a clock; it counts as nothing.
        let lasted = std::time::Duration::try_from_secs_f64(report.snapshot_seconds).unwrap_or_default();
        Self {
            taken_at_us: report.taken_at.micros,
            snapshot_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            tables: report.tables.clone(),
            left_out: report.left_out.clone(),
            notes: report.notes.clone(),
        }
    }
}

/// Whether there is a dead man's switch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchStanding {
    /// It is armed.
    Armed,
    /// There can be none: what a dead process leaves stays until a metaferry starts, or `undo.sql` is run.
    Impossible {
        /// Why.
        why: String,
    },
}

/// What was found when read-only was to be proved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StillnessProof {
    /// It held, and nothing that should have been still was written.
    Held,
    /// Somebody switched it off: rolled back.
    SwitchedOff {
        /// What is there now.
        value: Option<String>,
    },
    /// It held, and tables were written to all the same: an error or a warning, by strength and strictness.
    WrittenTo {
        /// The tables, with counts, in words.
        tables: Vec<String>,
    },
}

/// What could be seen of the object at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectCheck {
    /// Size and checksum are those of the dump.
    Verified,
    /// The store does not let us look; every part's answer was checked on the way.
    CannotBeSeen,
}

/// Who asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Canceller {
    /// A caller of the API or of the command line, in words.
    Caller(String),
    /// An interrupt of the process that migrates.
    Interrupt,
}

/// How a row was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowEnd {
    /// The row says `cancelled`.
    Cancelled,
    /// The row says `error`.
    Error,
    /// The row says `done`.
    Done,
    /// The row is gone.
    Deleted,
}

impl RowEnd {
    /// The end that a terminal phase means; `None` if it is not terminal.
    #[must_use]
    pub fn of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Cancelled => Some(Self::Cancelled),
            Phase::Error => Some(Self::Error),
            Phase::Done => Some(Self::Done),
            Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload => None,
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// Where it came from.
    pub cause: FailureCause,
    /// What kind.
    pub kind: ErrorKind,
    /// The whole chain of messages.
    pub message: String,
}

/// Where a failure came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// An effect failed.
    Effect(Effect),
    /// The process that migrated ended, or lost its lease, in this phase.
    Crash(Phase),
}

impl Failure {
    /// The class shown to a person; `None` if nothing is wrong but that a process ended.
    #[must_use]
    pub fn class(&self) -> Option<ErrorClass> {
        match self.cause {
            FailureCause::Effect(_) => self.kind.class(),
            FailureCause::Crash(_) => None,
        }
    }

    /// What to do next, in a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.class() {
            Some(class) => class.remedy(),
            None => "everything is undone as soon as this migration is settled; then retry",
        }
    }
}

impl Event {
    /// A short name with the effect it is about, for messages and tables.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Begun { .. } => "Begun".into(),
            Self::EffectStarted(intent) => format!("EffectStarted({})", intent.effect()),
            Self::EffectDone(fact) => format!("EffectDone({})", fact.effect()),
            Self::EffectFailed { effect, .. } => format!("EffectFailed({effect})"),
            Self::Progressed { effect, .. } => format!("Progressed({effect})"),
            Self::Waiting { effect, .. } => format!("Waiting({effect})"),
            Self::UploadBegun { .. } => "UploadBegun".into(),
            Self::PartArrived { .. } => "PartArrived".into(),
            Self::CancelRequested { .. } => "CancelRequested".into(),
            Self::RowEndedOutside { .. } => "RowEndedOutside".into(),
            Self::LeaseLost => "LeaseLost".into(),
            Self::Recovered { .. } => "Recovered".into(),
            Self::RetryRequested => "RetryRequested".into(),
            Self::UndoRequested => "UndoRequested".into(),
        }
    }
}
