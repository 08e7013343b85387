//! What every state of one migration knows: its lease, its row, the other shore, what runs and what is owed.

use std::collections::BTreeSet;

use crate::effect::Effect;
use crate::lease::FencingToken;
use crate::migration::{Attempt, MigrationId, Phase, RowId};
use crate::plan::MigrationPlan;
use crate::ports::Destination;
use crate::progress::Progress;
use crate::undo::{Stuck, Undo};

/// What every state knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// Whose.
    pub id: MigrationId,
    /// What was chosen.
    pub plan: MigrationPlan,
    /// Which attempt.
    pub attempt: Attempt,
    /// The lease.
    pub tenure: Tenure,
    /// The highest token that any attempt had: the next lease comes with a higher one.
    pub newest_token: Option<FencingToken>,
    /// Our row.
    pub row: Row,
    /// The other shore of this attempt, once it is ready.
    pub shore: Option<Shore>,
    /// Of this attempt; it never falls.
    pub progress: Progress,
    /// Announced, and not yet told how they ended.
    pub running: BTreeSet<Effect>,
    /// What is owed.
    pub undo: Undo,
    /// Things a person should know, which did not fail the attempt.
    pub warnings: Vec<String>,
}

/// How it stands with the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tenure {
    /// Not taken yet in this attempt.
    NotYet,
    /// Held with this token.
    Held(FencingToken),
    /// No longer ours; nothing may be changed until somebody recovers.
    Lost(FencingToken),
    /// Being given back, or given back: nothing is owed any more. That it was given back cannot be written to the
    /// journal, so this is where a settled journal ends.
    Released(FencingToken),
}

impl Tenure {
    /// The token of the lease that this attempt has or had.
    #[must_use]
    pub fn token(self) -> Option<FencingToken> {
        match self {
            Self::NotYet => None,
            Self::Held(token) | Self::Lost(token) | Self::Released(token) => Some(token),
        }
    }
}

/// Our row in `cloud_migration`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its key, if it is known. In [`RowStanding::Unsure`] without a key: look for the row by the shore's
    /// `external_id`; if there is none, a write of its end is done without doing anything.
    pub id: Option<RowId>,
    /// Whether it must still be ended.
    pub standing: RowStanding,
    /// Why `done`, `error` or `cancelled` could not be written yet.
    pub stuck: Option<Stuck>,
}

impl Row {
    pub(crate) fn close(&mut self) {
        self.standing = RowStanding::Closed;
        self.stuck = None;
    }
}

/// Whether our row must still be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowStanding {
    /// There is none, or it is terminal: nothing to write.
    Closed,
    /// It may be open: an insert began, and how that ended is not known.
    Unsure,
    /// It is open.
    Open,
}

/// The other shore of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shore {
    /// Where the dump goes.
    pub destination: Destination,
    /// The id in the row.
    pub external_id: String,
}

impl Run {
    /// The lease is held with `token`; refused (`None`) if an earlier one was as high.
    pub(crate) fn hold(&mut self, token: FencingToken) -> Option<()> {
        if self.newest_token.is_some_and(|newest| token <= newest) {
            return None;
        }
        self.newest_token = Some(token);
        self.tenure = Tenure::Held(token);
        Some(())
    }

    /// Another end is to be written: that the former could not be is of no interest any more.
    pub(crate) fn unstuck(mut self) -> Self {
        self.row.stuck = None;
        self
    }

    pub(super) fn undoing(&self) -> impl Iterator<Item = Effect> {
        self.undo
            .owed()
            .into_iter()
            .filter(|(undoing, stuck)| stuck.is_none() && !self.undo.waits(*undoing))
            .map(|(effect, _)| effect)
    }

    pub(super) fn row_end(&self, phase: Phase) -> Option<Effect> {
        match self.row.standing {
            RowStanding::Closed => None,
            RowStanding::Unsure | RowStanding::Open => {
                self.row.stuck.is_none().then_some(Effect::WriteState(phase))
            }
        }
    }

    pub(super) fn release(&self) -> Option<Effect> {
        let held = match self.tenure {
            Tenure::Held(_) => true,
            Tenure::NotYet | Tenure::Lost(_) | Tenure::Released(_) => false,
        };
        let nothing_left =
            self.undo.is_empty() && self.row.standing == RowStanding::Closed && self.running.is_empty();
        (held && nothing_left).then_some(Effect::ReleaseLease)
    }

    pub(super) fn may_start(&self, effect: Effect) -> bool {
        !self.running.contains(&effect) && !self.running.iter().any(|running| running.holds_up(effect))
    }

    /// Whether something could not be undone and rests.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.row.stuck.is_some() || self.undo.owed().iter().any(|(_, stuck)| stuck.is_some())
    }
}
