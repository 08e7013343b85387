//! Time, and everything that may go wrong.

use metaferry_test_kit::explore::Ways;

use super::{Cluster, State, Step, bits, sorted};
use crate::coverage::Fault;
use crate::node::{Does, Interrupt, Node};
use crate::world::{MIGRATIONS, Setting, Term};

impl<const N: usize> Cluster<N> {
    pub(super) fn time_passes(&mut self, state: &State<N>, ways: &mut Ways<State<N>, Step>) {
        let step = Step::outside;
        if let Some(world) = state.world.tripped() {
            ways.calm(
                step("the dead man's switch puts everything back"),
                State { world, ..*state },
            );
        }
        if state.world.lease.term == Term::Lasts {
            let holder = state.nodes.iter().position(|node| {
                let renews = node.does == Does::Drives && self.machine.facts(node.state).held_token > 0;
                let is_quick = node.does == Does::TakesOver || node.does == Does::Drives;
                (renews || is_quick) && node.given == state.world.lease.given
            });
            let mut to = *state;
            to.world.lease.term = Term::Over;
            match holder {
                // Nobody renews it.
                None => ways.calm(step("the lease runs out"), to),
                Some(at) if state.faults > 0 => {
                    to.faults -= 1;
                    self.hit_running(Fault::LeaseEnds, state.nodes[at]);
                    ways.fault(step("the lease ends under its holder"), to);
                }
                Some(_) => {}
            }
        }
        if state.world.lease.term == Term::Over && state.faults > 0 {
            let mut to = *state;
            to.world.lease.term = Term::Lasts;
            to.faults -= 1;
            for node in state.nodes {
                if node.given == state.world.lease.given {
                    self.hit_running(Fault::DatabaseClockBack, node);
                }
            }
            ways.fault(step("the database's clock goes back: the lease lasts again"), to);
        }
    }

    pub(super) fn strikes(&mut self, state: &State<N>, ways: &mut Ways<State<N>, Step>) {
        let mut charged = *state;
        charged.faults -= 1;
        for at in 0..N {
            let node = state.nodes[at];
            if node.does == Does::Nothing {
                continue;
            }
            let step = |what| Step::of(at, what);
            // Memory is all that is lost: a node that was restarted is one that does nothing.
            self.hit_running(Fault::Crash, node);
            ways.fault(step("crashes"), self.stopped(&charged, at));
            if node.does != Does::Drives {
                continue;
            }
            if self.machine.facts(node.state).held_token > 0 {
                // Its own clock jumps: it counts the term as over and stops, which looks like a crash from outside.
                self.hit_running(Fault::OwnClock, node);
                ways.fault(step("counts its lease as over"), self.stopped(&charged, at));
            }
            if node.interrupt == Interrupt::None {
                self.hit_running(Fault::Cancel, node);
                let mut asked = charged;
                asked.nodes[at].interrupt = Interrupt::Asked;
                ways.fault(step("gets a signal"), sorted(asked));
                if let Some(world) = asked.world.rows_cancelled() {
                    ways.fault(
                        step("is asked by its API to cancel"),
                        sorted(State { world, ..asked }),
                    );
                }
            }
        }
        let step = Step::outside;
        if let Some(world) = charged.world.rows_cancelled() {
            for node in state.nodes {
                self.hit_running(Fault::CancelByRow, node);
            }
            ways.fault(
                step("somebody sets the row to cancelled"),
                State { world, ..charged },
            );
        }
        for slot in 0..MIGRATIONS {
            if charged.world.of[slot].row.is_open() {
                let world = charged.world.row_deleted(slot);
                ways.fault(step("somebody deletes the row"), State { world, ..charged });
            }
        }
        if charged.world.setting != Setting::Theirs {
            let mut to = charged;
            to.world.setting = Setting::Theirs;
            to.world.wanted = Setting::Theirs;
            for node in state.nodes {
                self.hit_running(Fault::SettingChanged, node);
            }
            ways.fault(step("somebody changes read-only"), to);
        }
    }

    pub(super) fn hit_running(&mut self, fault: Fault, node: Node) {
        if node.does == Does::Drives {
            for id in bits(self.machine.facts(node.state).running) {
                self.coverage.hit(fault, id);
            }
        }
    }
}
