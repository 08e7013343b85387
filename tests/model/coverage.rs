//! Which fault struck which effect: a check in which something never happens proves nothing of it.

use metaferry_domain::Effect;

use crate::machine::{EFFECTS, EffectId};

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process ends, and may start again.
    Crash,
    /// It took place, and nobody hears of it.
    LostAnswer,
    /// It does not take place.
    Fails,
    /// The database's clock passes the end of the lease, and its holder does not know.
    LeaseEnds,
    /// It goes back.
    DatabaseClockBack,
    /// The holder's own clock jumps: it stops, and the lease lasts.
    OwnClock,
    /// The process is asked to stop, by a signal or by its API.
    Cancel,
    /// Somebody writes `cancelled` into the row: SQL, Metabase, another node.
    CancelByRow,
    /// Somebody changes read-only.
    SettingChanged,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault::Crash,
    Fault::LostAnswer,
    Fault::Fails,
    Fault::LeaseEnds,
    Fault::DatabaseClockBack,
    Fault::OwnClock,
    Fault::Cancel,
    Fault::CancelByRow,
    Fault::SettingChanged,
];

/// What happened, over all states.
#[derive(Debug, Default)]
pub(crate) struct Coverage([[bool; EFFECTS]; FAULTS.len()]);

impl Coverage {
    pub(crate) fn hit(&mut self, fault: Fault, id: EffectId) {
        self.0[fault as usize][usize::from(id.0)] = true;
    }

    /// Effects that a fault never struck.
    pub(crate) fn missed(&self, fault: Fault) -> Vec<Effect> {
        let hit = self.0[fault as usize];
        Effect::ALL
            .into_iter()
            .zip(hit)
            .filter(|(_, hit)| !hit)
            .map(|(effect, _)| effect)
            .collect()
    }

    /// Pairs of fault and effect that happened.
    pub(crate) fn pairs(&self) -> usize {
        self.0.iter().flatten().filter(|hit| **hit).count()
    }
}
