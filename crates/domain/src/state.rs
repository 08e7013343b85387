//! Where a migration stands: one variant per state, each with what only that state knows.
//!
//! The variant is what our row in `cloud_migration` says as far as we know: `Setup` begins when that was written.
//! [`MigrationState::RollingBack`] is the one that has no word in the row: an attempt failed, is being undone, and
//! its row still says where it failed, because `error` is written last.
//!
//! An attempt's *outcome* is the terminal variant; it is *settled* when nothing is owed any more
//! ([`MigrationState::is_settled`]).

mod run;

use std::collections::BTreeSet;

pub use run::{Row, RowStanding, Run, Shore, Tenure};

use crate::effect::Effect;
use crate::event::{Canceller, Failure, ObjectCheck, RowEnd, SnapshotFacts};
use crate::migration::{Attempt, MigrationId, Phase};
use crate::plan::MigrationPlan;
use crate::ports::{DumpFile, UploadReceipt};
use crate::progress::Progress;
use crate::undo::Undo;

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MigrationState {
    /// Begun.
    Init {
        /// What every state knows.
        run: Run,
        /// The effect that is due or runs.
        at: Effect,
    },
    /// Read-only and quiesce.
    Setup {
        /// What every state knows.
        run: Run,
        /// The effect that is due or runs.
        at: Effect,
        /// Where the script that undoes by hand is.
        undo_script: Option<String>,
    },
    /// The snapshot is being copied and checked.
    Dump {
        /// What every state knows.
        run: Run,
        /// The effect that is due or runs.
        at: Effect,
        /// What was read, once every source row was.
        snapshot: Option<SnapshotFacts>,
        /// The dump, once it is complete and verified.
        file: Option<DumpFile>,
    },
    /// The dump is on its way.
    Upload {
        /// What every state knows.
        run: Run,
        /// The effect that is due or runs.
        at: Effect,
        /// What was read.
        snapshot: SnapshotFacts,
        /// The complete, verified dump.
        file: DumpFile,
        /// What the store answered, once it has every byte.
        receipt: Option<UploadReceipt>,
        /// What could be seen of the object, once it was looked at.
        check: Option<ObjectCheck>,
    },
    /// Failed; being undone; the row still says `failed_in`.
    RollingBack {
        /// What every state knows.
        run: Run,
        /// What the row says.
        failed_in: Phase,
        /// Why.
        failure: Failure,
    },
    /// Arrived, verified, and the row says so.
    Done {
        /// What every state knows.
        run: Run,
        /// What arrived.
        arrived: Arrived,
    },
    /// Failed, and the row (where there is one) says so.
    Error {
        /// What every state knows.
        run: Run,
        /// Where.
        failed_in: Phase,
        /// Why.
        failure: Failure,
    },
    /// Ended by a person; the row says so at once, or is just about to.
    Cancelled {
        /// What every state knows.
        run: Run,
        /// Where it stood.
        cancelled_in: Phase,
        /// By whom.
        by: CancelledBy,
        /// The failure that was being undone when the cancel came.
        failure: Option<Failure>,
        /// What arrived, if all that was left was to write `done`.
        arrived: Option<Arrived>,
    },
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arrived {
    /// What was read.
    pub snapshot: SnapshotFacts,
    /// The dump.
    pub file: DumpFile,
    /// What the store answered.
    pub receipt: UploadReceipt,
    /// What could be seen of the object.
    pub check: ObjectCheck,
}

/// Who ended it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CancelledBy {
    /// Somebody asked this process.
    Asked(Canceller),
    /// Somebody ended the row.
    Row(RowEnd),
}

impl MigrationState {
    /// A migration that has just begun: attempt 1, nothing done.
    #[must_use]
    pub fn begun(id: MigrationId, plan: MigrationPlan) -> Self {
        Self::Init {
            run: Run {
                id,
                plan,
                attempt: Attempt(1),
                tenure: Tenure::NotYet,
                newest_token: None,
                row: Row {
                    id: None,
                    standing: RowStanding::Closed,
                    stuck: None,
                },
                shore: None,
                progress: Progress::default(),
                running: BTreeSet::new(),
                undo: Undo::default(),
                warnings: Vec::new(),
            },
            at: Effect::Preflight,
        }
    }

    /// What every state knows.
    #[must_use]
    pub fn run(&self) -> &Run {
        match self {
            Self::Init { run, .. }
            | Self::Setup { run, .. }
            | Self::Dump { run, .. }
            | Self::Upload { run, .. }
            | Self::RollingBack { run, .. }
            | Self::Done { run, .. }
            | Self::Error { run, .. }
            | Self::Cancelled { run, .. } => run,
        }
    }

    pub(crate) fn run_mut(&mut self) -> &mut Run {
        match self {
            Self::Init { run, .. }
            | Self::Setup { run, .. }
            | Self::Dump { run, .. }
            | Self::Upload { run, .. }
            | Self::RollingBack { run, .. }
            | Self::Done { run, .. }
            | Self::Error { run, .. }
            | Self::Cancelled { run, .. } => run,
        }
    }

    pub(crate) fn into_run(self) -> Run {
        match self {
            Self::Init { run, .. }
            | Self::Setup { run, .. }
            | Self::Dump { run, .. }
            | Self::Upload { run, .. }
            | Self::RollingBack { run, .. }
            | Self::Done { run, .. }
            | Self::Error { run, .. }
            | Self::Cancelled { run, .. } => run,
        }
    }

    /// The phase that people are shown: what the row says, or is just about to.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Init { .. } => Phase::Init,
            Self::Setup { .. } => Phase::Setup,
            Self::Dump { .. } => Phase::Dump,
            Self::Upload { .. } => Phase::Upload,
            Self::RollingBack { failed_in, .. } => *failed_in,
            Self::Done { .. } => Phase::Done,
            Self::Error { .. } => Phase::Error,
            Self::Cancelled { .. } => Phase::Cancelled,
        }
    }

    /// The name of the variant.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "Init",
            Self::Setup { .. } => "Setup",
            Self::Dump { .. } => "Dump",
            Self::Upload { .. } => "Upload",
            Self::RollingBack { .. } => "RollingBack",
            Self::Done { .. } => "Done",
            Self::Error { .. } => "Error",
            Self::Cancelled { .. } => "Cancelled",
        }
    }

    /// The progress that a write of `phase` carries, in whole percents.
    #[must_use]
    pub fn progress_written(&self, phase: Phase) -> u8 {
        let reached = self.run().progress;
        Progress::at_start_of(phase)
            .map_or(reached, |start| reached.raised_to(start))
            .percent()
    }

    /// The failure, where there was one.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::RollingBack { failure, .. } | Self::Error { failure, .. } => Some(failure),
            Self::Cancelled { failure, .. } => failure.as_ref(),
            Self::Init { .. }
            | Self::Setup { .. }
            | Self::Dump { .. }
            | Self::Upload { .. }
            | Self::Done { .. } => None,
        }
    }

    /// The outcome is written (or there is no row to write it to): nothing but a retry changes it any more.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.phase().is_terminal() && self.run().row.standing == RowStanding::Closed
    }

    /// Terminal, nothing is owed, nothing runs, and the lease is given back or being given back. Until then no other
    /// migration may begin, and a process that starts must recover this one.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let run = self.run();
        let lease_over = match run.tenure {
            Tenure::NotYet | Tenure::Released(_) => true,
            Tenure::Held(_) | Tenure::Lost(_) => false,
        };
        self.is_terminal()
            && lease_over
            && run.undo.is_empty()
            && run.running.iter().all(|effect| *effect == Effect::ReleaseLease)
    }

    /// Everything that is due now, in order. Until an effect is announced it stays due.
    #[must_use]
    pub fn due(&self) -> Vec<Effect> {
        let run = self.run();
        let mut due = Vec::new();
        match run.tenure {
            Tenure::Lost(_) | Tenure::Released(_) => return due,
            Tenure::NotYet | Tenure::Held(_) => {}
        }
        match self {
            Self::Init { at, .. }
            | Self::Setup { at, .. }
            | Self::Dump { at, .. }
            | Self::Upload { at, .. } => {
                if run.row.stuck.is_none() {
                    due.push(*at);
                }
            }
            Self::RollingBack { .. } => {
                due.extend(run.undoing());
                if run.undo.is_rested() {
                    due.extend(run.row_end(Phase::Error));
                }
            }
            // The row first: an outside cancel is visible at once, while undoing still runs.
            Self::Cancelled { arrived, .. } => {
                due.extend(run.row_end(Phase::Cancelled));
                due.extend(run.undoing());
                // `done` may have been written after all, and then the dump may be one to keep.
                if arrived.is_some() && run.row.standing != RowStanding::Closed {
                    due.retain(|effect| *effect != Effect::DeleteDump);
                }
                due.extend(run.release());
            }
            Self::Done { .. } | Self::Error { .. } => {
                due.extend(run.undoing());
                due.extend(run.release());
            }
        }
        due.retain(|effect| run.may_start(*effect));
        due
    }
}
