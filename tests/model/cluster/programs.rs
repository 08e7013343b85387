//! What a node that does nothing may begin: a migration, another attempt, or what was left behind. As `launch`, `relaunch`
//! and `take_over` of the orchestrator do it, each read and each write a step of its own.

use metaferry_domain::Effect;
use metaferry_domain::migration::Phase;
use metaferry_test_kit::explore::Ways;

use super::{Breach, Cluster, Recorded, State, Step, sorted};
use crate::coverage::Fault;
use crate::machine::{EffectId, Happened, StateId};
use crate::mutants::Broken;
use crate::node::{Beginning, Does, Node};
use crate::promises;
use crate::world::{MIGRATIONS, Mark, number};

impl<const N: usize> Cluster<N> {
    pub(super) fn programs(
        &mut self,
        state: &State<N>,
        at: usize,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let step = |what| Step::of(at, what);
        let newest = state.world.newest_row;
        let newest_slot = usize::from(newest).checked_sub(1);
        let is_open = newest_slot.is_some_and(|slot| state.world.of[slot].row.is_open());
        if state.beginnings > 0 && !is_open {
            let mut to = *state;
            to.beginnings -= 1;
            to.nodes[at] = Node {
                does: Does::Launches,
                newest_row: newest,
                beginning: Beginning::WithoutTrace,
                ..Node::default()
            };
            ways.calm(step("looks at the rows"), sorted(to));
        }
        if state.beginnings > 0
            && let Some(slot) = newest_slot
            && let Some(again) = self.again(state, slot)
        {
            let held_back = self.machine.held_back_and(0, Happened::RetryRequested);
            let mut to = *state;
            to.beginnings -= 1;
            to.nodes[at] = Node {
                does: Does::Drives,
                slot: number(slot) - 1,
                state: again,
                held_back,
                newest_row: newest,
                beginning: Beginning::WithoutTrace,
                ..Node::default()
            };
            ways.calm(step("tries again"), sorted(to));
        }
        for slot in 0..MIGRATIONS {
            if self.is_left_behind(state, slot) {
                self.take_over(state, at, slot, ways)?;
            }
        }
        Ok(())
    }

    /// The other attempt of a migration, if its row and its journal allow one.
    pub(super) fn again(&mut self, state: &State<N>, slot: usize) -> Option<StateId> {
        let migration = state.world.of[slot];
        let ended = matches!(migration.row.says, Some(Phase::Error | Phase::Cancelled));
        if !ended || migration.journal == StateId::NONE {
            return None;
        }
        let facts = self.machine.facts(migration.journal);
        // A bound of the model: no more attempts than shores.
        if !facts.is_settled || usize::from(facts.attempt) >= MIGRATIONS {
            return None;
        }
        self.machine.next(migration.journal, Happened::RetryRequested)
    }

    pub(super) fn is_left_behind(&self, state: &State<N>, slot: usize) -> bool {
        let migration = state.world.of[slot];
        if self.broken == Broken::RecoversByRow {
            return migration.journal != StateId::NONE && migration.row.is_open();
        }
        migration.journal != StateId::NONE && migration.mark == Mark::None
    }

    pub(super) fn take_over(
        &mut self,
        state: &State<N>,
        at: usize,
        slot: usize,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let lease = EffectId::of(Effect::AcquireLease);
        let step = |what| Step::about(at, what, lease);
        let mut to = *state;
        if !to.world.lease.take(self.broken) {
            return Ok(());
        }
        let label = step("takes the lease for what was left:");
        promises::of_taking(state, &to).map_err(|what| (label, what))?;
        if state.faults > 0 {
            let mut lost = to;
            lost.faults -= 1;
            self.coverage.hit(Fault::LostAnswer, lease);
            ways.fault(
                step("asks for the lease of what was left, and gets no answer:"),
                sorted(lost),
            );
        }
        to.nodes[at] = Node {
            does: Does::TakesOver,
            slot: number(slot) - 1,
            token: to.world.lease.token,
            given: to.world.lease.given,
            ..Node::default()
        };
        ways.calm(label, sorted(to));
        Ok(())
    }

    /// Has looked at the rows: looks for what others left, then begins.
    pub(super) fn launch(&mut self, state: &State<N>, at: usize, ways: &mut Ways<State<N>, Step>) {
        let in_use = |slot: usize| {
            state.world.of[slot].journal != StateId::NONE
                || state
                    .nodes
                    .iter()
                    .any(|node| node.does == Does::Drives && node.slot() == slot)
        };
        let unsettled = (0..MIGRATIONS).any(|slot| {
            let migration = state.world.of[slot];
            migration.journal != StateId::NONE
                && migration.mark == Mark::None
                && !self.machine.facts(migration.journal).is_settled
        });
        let free = (0..MIGRATIONS).find(|slot| !in_use(*slot));
        let step = |what| Step::of(at, what);
        let (Some(slot), false) = (free, unsettled) else {
            ways.calm(step("may not begin"), self.stopped(state, at));
            return;
        };
        let mut to = *state;
        to.nodes[at] = Node {
            does: Does::Drives,
            slot: number(slot) - 1,
            state: self.machine.begun(),
            held_back: self.machine.held_back_and(0, Happened::Begun),
            ..state.nodes[at]
        };
        ways.calm(step("begins"), sorted(to));
    }

    /// Holds the lease of what was left: reads the journal again, and goes on.
    pub(super) fn taken_over(
        &mut self,
        state: &State<N>,
        at: usize,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let step = |what| Step::of(at, what);
        let node = state.nodes[at];
        let journal = state.world.of[node.slot()].journal;
        if self.machine.facts(journal).is_settled {
            let mut to = *state;
            if to.world.lease.admits(node.token, self.broken) {
                to.world.of[node.slot()].mark = Mark::Settled;
            }
            to.nodes[at].does = Does::GivesBack;
            ways.calm(step("marks what was left as settled"), sorted(to));
            return Ok(());
        }
        let goes_on = self.machine.facts(journal).goes_on;
        let happened = Happened::Recovered(node.token);
        let mut loaded = *state;
        loaded.nodes[at] = Node {
            does: Does::Drives,
            state: journal,
            ..node
        };
        let label = step("goes on with what was left");
        match self.record(&loaded, at, happened).map_err(|what| (label, what))? {
            // A token that does not grow is refused by the domain: the driver begins all the same, as it was.
            Recorded::LeftOut => ways.calm(label, sorted(loaded)),
            Recorded::Now(to) => {
                if to.nodes[at].does == Does::Drives {
                    let facts = self.machine.facts(to.nodes[at].state);
                    if goes_on != (facts.is_forward && facts.phase == Phase::Upload) {
                        return Err((label, "it is not gone on with as was foretold".to_owned()));
                    }
                    ways.calm(label, sorted(to));
                } else {
                    // Refused: what was taken is given back.
                    let mut to = to;
                    to.world.lease.give_back(node.token);
                    ways.calm(label, sorted(to));
                }
            }
        }
        Ok(())
    }
}
