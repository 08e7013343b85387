//! Entries of the journal, under the token and under their number; and how a node stops.

use metaferry_domain::Effect;

use super::driver::announced;
use super::{Cluster, Recorded, State, sorted};
use crate::machine::{EffectId, Happened, StateId};
use crate::mutants::Broken;
use crate::node::{Beginning, Does, Journal, Node};
use crate::promises;
use crate::world::Mark;

impl<const N: usize> Cluster<N> {
    pub(super) fn record(
        &mut self,
        state: &State<N>,
        at: usize,
        happened: Happened,
    ) -> Result<Recorded<N>, String> {
        let node = state.nodes[at];
        let Some(next) = self.machine.next(node.state, happened) else {
            return Ok(Recorded::LeftOut);
        };
        let facts = *self.machine.facts(next);
        let ends = |id: EffectId| id.effect() == Effect::ReleaseLease;
        let of_release = matches!(happened, Happened::Done(id, _) | Happened::Failed(id, _) if ends(id));
        let unwritten = self.broken == Broken::ActsFirst && matches!(happened, Happened::Started(..))
            || self.broken == Broken::OutcomeUnwritten && matches!(happened, Happened::Done(..));
        let mut to = if facts.token == 0 || node.held_back != 0 {
            let mut to = *state;
            to.nodes[at].held_back = self.machine.held_back_and(node.held_back, happened);
            to
        } else if of_release || unwritten {
            *state
        } else {
            let to = self.append(state, at, happened)?;
            if to.nodes[at].does != Does::Drives {
                return Ok(Recorded::Now(to));
            }
            promises::of_memory(to.world.of[node.slot()].journal, next)?;
            to
        };
        to.nodes[at].state = next;
        Ok(Recorded::Now(to))
    }

    /// One entry, under the token and under its number; who may not write it stops.
    pub(super) fn append(
        &mut self,
        state: &State<N>,
        at: usize,
        happened: Happened,
    ) -> Result<State<N>, String> {
        let node = state.nodes[at];
        let slot = node.slot();
        if !state.world.lease.admits(node.token, self.broken) {
            return Ok(self.stopped_unsorted(state, at));
        }
        if node.journal == Journal::Moved && self.broken != Broken::JournalUnnumbered {
            return Ok(self.stopped_unsorted(state, at));
        }
        promises::lawful(state, at, "writes an entry")?;
        let before = state.world.of[slot].journal;
        let after = match (before, happened) {
            (StateId::NONE, Happened::Begun) => Some(self.machine.begun()),
            (StateId::NONE, _) => None,
            (before, Happened::Done(id, _)) if self.broken == Broken::ActsFirst && node.held_back == 0 => {
                let late = announced(id, node);
                let started = self.machine.next(before, late);
                started.and_then(|started| self.machine.next(started, happened))
            }
            (before, happened) => self.machine.next(before, happened),
        };
        let Some(after) = after else {
            return Err("the journal cannot be replayed any more".to_owned());
        };
        promises::of_an_entry(&self.machine, before, after, happened)?;
        let mut to = *state;
        to.world.of[slot].journal = after;
        to.world.of[slot].mark = Mark::None;
        if self.broken == Broken::MarksEarly && self.machine.facts(after).is_terminal {
            to.world.of[slot].mark = Mark::Settled;
        }
        to.nodes[at].beginning = Beginning::Counted;
        for (other, node) in to.nodes.iter_mut().enumerate() {
            if other != at && node.does == Does::Drives && node.slot() == slot {
                node.journal = Journal::Moved;
            }
        }
        Ok(to)
    }

    pub(super) fn given_back(&self, state: &State<N>, at: usize) -> Result<(), String> {
        if state.world.lease.token != state.nodes[at].token {
            // Somebody else has it: nothing happens.
            return Ok(());
        }
        let journal = state.world.of[state.nodes[at].slot()].journal;
        if journal != StateId::NONE && !self.machine.facts(journal).is_settled {
            return Err("the lease is given back before everything is settled".to_owned());
        }
        Ok(())
    }

    pub(super) fn stopped_unsorted(&self, state: &State<N>, at: usize) -> State<N> {
        let mut to = *state;
        if to.nodes[at].beginning == Beginning::WithoutTrace {
            to.beginnings += 1;
        }
        to.nodes[at] = Node::default();
        to
    }

    pub(super) fn stopped(&self, state: &State<N>, at: usize) -> State<N> {
        sorted(self.stopped_unsorted(state, at))
    }
}
