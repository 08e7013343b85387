//! What was chosen before a migration began, and which effects follow from it, phase by phase.

use std::fmt;

use crate::effect::Effect;
use crate::migration::{Phase, ReadOnlyStrength};

/// What a person chose. Fixed when the migration begins, the same in every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct MigrationPlan {
    /// How strongly writes are held off.
    pub strength: ReadOnlyStrength,
    /// Is there a scheduler to quiesce?
    pub scheduler: SchedulerPlan,
    /// What becomes of the dump after it arrived.
    pub retention: DumpRetention,
    /// What a write during the dump means.
    pub strictness: Strictness,
    /// Which rows go along, and how long writes may be refused. `None` in a journal of before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Which rows go along, and how long writes may be refused: what an adapter is made for, so that another attempt must be made
/// for the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// Tables whose rows stay behind because somebody said so.
    pub exclude: Vec<String>,
    /// Tables that go along because somebody said so.
    pub include: Vec<String>,
    /// When [`ReadOnlyStrength::Enforced`] ends, whatever has become of us, in seconds.
    pub read_only_max_seconds: u64,
}

impl Default for MigrationPlan {
    fn default() -> Self {
        Self {
            strength: ReadOnlyStrength::Flag,
            scheduler: SchedulerPlan::Quiesce,
            retention: DumpRetention::Delete,
            strictness: Strictness::Lenient,
            scope: None,
        }
    }
}

impl fmt::Display for Scope {
    /// As it is said on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.exclude {
            write!(f, "--exclude {table} ")?;
        }
        for table in &self.include {
            write!(f, "--include {table} ")?;
        }
        write!(f, "--read-only-max {}s", self.read_only_max_seconds)
    }
}

/// Whether jobs are held off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerPlan {
    /// Paused before the snapshot, as it was after it.
    Quiesce,
    /// Left alone: the source has none, or nobody is to be disturbed.
    LeaveAlone,
}

/// What becomes of the dump once it arrived. A dump that did not arrive is always deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DumpRetention {
    /// Deleted.
    Delete,
    /// Kept.
    Keep,
}

/// What it means when a table that should have been still was written to during the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// An error under [`ReadOnlyStrength::Enforced`], else a warning.
    Lenient,
    /// An error.
    Strict,
}

impl MigrationPlan {
    /// The scope that another attempt must have, if one made for `other` would carry other rows, or refuse writes for another
    /// time.
    #[must_use]
    pub fn scope_unlike(&self, other: &Self) -> Option<&Scope> {
        let planned = self.scope.as_ref()?;
        let is_same = other.scope.as_ref().is_some_and(|other| {
            let same_end = planned.read_only_max_seconds == other.read_only_max_seconds;
            planned.exclude == other.exclude
                && planned.include == other.include
                && (same_end || self.strength != ReadOnlyStrength::Enforced)
        });
        (!is_same).then_some(planned)
    }

    /// The effects of a phase in order, ending with the write that leads to the next phase. Terminal phases have
    /// none: what is still to do there follows from what is owed.
    #[must_use]
    pub fn effects(&self, phase: Phase) -> Vec<Effect> {
        let all: &[Effect] = match phase {
            Phase::Init => &[
                Effect::Preflight,
                Effect::AcquireLease,
                Effect::CreateAtStore,
                Effect::InsertRow,
                Effect::WriteState(Phase::Setup),
            ],
            Phase::Setup => &[
                Effect::StoreUndoScript,
                Effect::ArmSwitch,
                Effect::ReadOnlyOn,
                Effect::AwaitReadOnly,
                Effect::QuiesceScheduler,
                Effect::AwaitRunningJobs,
                Effect::WriteState(Phase::Dump),
            ],
            Phase::Dump => &[
                Effect::CopySnapshot,
                Effect::ProveReadOnlyHeld,
                Effect::RestoreScheduler,
                Effect::RestoreReadOnly,
                Effect::DisarmSwitch,
                Effect::FinishDump,
                Effect::WriteState(Phase::Upload),
            ],
            Phase::Upload => &[
                Effect::UploadDump,
                Effect::VerifyObject,
                Effect::TellStore,
                Effect::WriteState(Phase::Done),
            ],
            Phase::Done | Phase::Error | Phase::Cancelled => &[],
        };
        all.iter().copied().filter(|effect| self.wants(*effect)).collect()
    }

    /// The first effect of a phase.
    #[must_use]
    pub fn first(&self, phase: Phase) -> Option<Effect> {
        self.effects(phase).first().copied()
    }

    /// The effect after `effect` within a phase.
    #[must_use]
    pub fn after(&self, phase: Phase, effect: Effect) -> Option<Effect> {
        self.effects(phase)
            .into_iter()
            .skip_while(|earlier| *earlier != effect)
            .nth(1)
    }

    fn wants(&self, effect: Effect) -> bool {
        match effect {
            Effect::ReadOnlyOn
            | Effect::AwaitReadOnly
            | Effect::ProveReadOnlyHeld
            | Effect::RestoreReadOnly => self.strength != ReadOnlyStrength::None,
            Effect::QuiesceScheduler | Effect::AwaitRunningJobs | Effect::RestoreScheduler => {
                self.scheduler == SchedulerPlan::Quiesce
            }
            Effect::ArmSwitch | Effect::DisarmSwitch => {
                self.strength != ReadOnlyStrength::None || self.scheduler == SchedulerPlan::Quiesce
            }
            Effect::Preflight
            | Effect::AcquireLease
            | Effect::CreateAtStore
            | Effect::InsertRow
            | Effect::StoreUndoScript
            | Effect::CopySnapshot
            | Effect::FinishDump
            | Effect::UploadDump
            | Effect::VerifyObject
            | Effect::TellStore
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::WriteProgress
            | Effect::ReleaseLease => true,
        }
    }
}
