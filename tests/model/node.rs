//! A node's memory: what it does, what it knows of its migration, and how far its effects are.

use std::hash::{Hash, Hasher};

use crate::machine::{EFFECTS, EffectId, StateId};
use crate::world::{Bits, Jobs, Setting};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Node {
    pub(crate) does: Does,
    /// Which migration.
    pub(crate) slot: u8,
    pub(crate) state: StateId,
    /// Entries from before the lease, by their number in the machine.
    pub(crate) held_back: u16,
    pub(crate) stages: Stages,
    /// The token that it was given, and the how-manieth lease that was.
    pub(crate) token: u8,
    pub(crate) given: u8,
    /// The newest row when it began.
    pub(crate) newest_row: u8,
    pub(crate) journal: Journal,
    pub(crate) setting_before: Option<Setting>,
    pub(crate) jobs_before: Option<Jobs>,
    pub(crate) interrupt: Interrupt,
    pub(crate) beginning: Beginning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Does {
    /// Nothing; it may have crashed and been restarted.
    #[default]
    Nothing,
    /// Has looked at the rows, and is about to look for what others left.
    Launches,
    /// Has taken the lease for what another one left.
    TakesOver,
    /// Has marked it as settled, and is about to give the lease back.
    GivesBack,
    /// Steers a migration.
    Drives,
}

/// Whether the journal is as the node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Journal {
    #[default]
    Known,
    /// Somebody else has written since: the next number is taken.
    Moved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Interrupt {
    #[default]
    None,
    Asked,
}

/// Beginnings are bounded; one that leaves no trace does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Beginning {
    #[default]
    Counted,
    WithoutTrace,
}

/// How far an announced effect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Announced.
    Begun,
    /// The first of its two outside halves is done.
    Half,
    /// Done; the node knows, the journal does not.
    Done,
    /// Done, and read-only was found switched off.
    SwitchedOff,
    /// Failed beyond its retries.
    Failed,
    /// Refused: a lost lease, or a row that somebody ended.
    Refused,
    /// The same, and the row was looked at.
    Looked,
    /// Stopped, since it was no longer wanted.
    Stopped,
}

const STAGES: [Stage; 8] = [
    Stage::Begun,
    Stage::Half,
    Stage::Done,
    Stage::SwitchedOff,
    Stage::Failed,
    Stage::Refused,
    Stage::Looked,
    Stage::Stopped,
];

/// The stage of every effect, two to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Stages([u8; EFFECTS.div_ceil(2)]);

impl Stages {
    pub(crate) fn of(self, id: EffectId) -> Stage {
        let byte = self.0[usize::from(id.0 / 2)];
        STAGES[usize::from(byte >> (4 * (id.0 % 2)) & 0xf)]
    }

    fn words(self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, others @ ..] = self.0;
        let [i, j, k, l, m, n] = others;
        [
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u64::from_le_bytes([i, j, k, l, m, n, 0, 0]),
        ]
    }

    pub(crate) fn set(&mut self, id: EffectId, stage: Stage) {
        let byte = &mut self.0[usize::from(id.0 / 2)];
        let shift = 4 * (id.0 % 2);
        *byte = *byte & !(0xf << shift) | (stage as u8) << shift;
    }
}

/// As of the world: in a few words.
impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bits = Bits(u64::from(self.state.number()) << 16 | u64::from(self.held_back))
            .and(self.does as u8, 3)
            .and(self.slot, 1)
            .and(self.token, 6)
            .and(self.given, 6)
            .and(self.newest_row, 2)
            .and(self.journal as u8, 1)
            .and(self.setting_before.map_or(0, |setting| setting as u8 + 1), 2)
            .and(self.jobs_before.map_or(0, |jobs| jobs as u8 + 1), 2)
            .and(self.interrupt as u8, 1)
            .and(self.beginning as u8, 1);
        state.write_u64(bits.0);
        let [low, high] = self.stages.words();
        state.write_u64(low);
        state.write_u64(high);
    }
}

impl Node {
    pub(crate) fn slot(self) -> usize {
        usize::from(self.slot)
    }
}
