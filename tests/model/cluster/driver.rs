//! The loop of one migration, as `run.rs` of the orchestrator has it: whatever is due is announced, performed, and its end
//! is told; between them the row is looked at. The domain decides.

use metaferry_domain::event::RowEnd;
use metaferry_domain::state::RowStanding;
use metaferry_domain::{Effect, ErrorKind};
use metaferry_test_kit::explore::Ways;

use super::{Breach, Cluster, Recorded, State, Step, bits, sorted};
use crate::coverage::Fault;
use crate::machine::{EffectId, Facts, Happened};
use crate::mutants::Broken;
use crate::node::{Does, Interrupt, Node, Stage};
use crate::outside::Half;
use crate::promises;
use crate::world::Upload;

impl<const N: usize> Cluster<N> {
    pub(super) fn drive(
        &mut self,
        state: &State<N>,
        at: usize,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let step = |what| Step::of(at, what);
        let node = state.nodes[at];
        let facts = *self.machine.facts(node.state);
        if facts.held_token > 0 && !state.world.lease.admits(node.token, self.broken) {
            ways.calm(step("notices that the lease is lost"), self.stopped(state, at));
        }
        for id in bits(facts.running) {
            self.act(state, at, id, &facts, ways)?;
        }
        if node.held_back != 0 && facts.token > 0 {
            let label = step("writes what was held back");
            let (happened, others) = self.machine.first_held_back(node.held_back).expect("not empty");
            let mut to = self.append(state, at, happened).map_err(|what| (label, what))?;
            if to.nodes[at].does == Does::Drives {
                to.nodes[at].held_back = others;
                if others == 0 {
                    let journal = to.world.of[node.slot()].journal;
                    promises::of_memory(journal, node.state).map_err(|what| (label, what))?;
                }
            }
            ways.calm(label, sorted(to));
            return Ok(());
        }
        if self.broken == Broken::ReleasesEarly
            && facts.is_terminal
            && facts.held_token > 0
            && !facts.is_settled
        {
            let label = step("gives the lease back early");
            let mut to = *state;
            to.world.lease.give_back(node.token);
            self.given_back(state, at).map_err(|what| (label, what))?;
            ways.calm(label, sorted(to));
        }
        if let Some(id) = bits(facts.running).find(|id| node.stages.of(*id) == Stage::Looked) {
            return self.outcome(state, at, id, ways);
        }
        // Also between two announcements: a write of progress may find the row ended.
        self.look(state, at, &facts, ways)?;
        if let Some(id) = facts.due {
            let happened = announced(id, node);
            let label = Step::about(at, "announces", id);
            match self.record(state, at, happened).map_err(|what| (label, what))? {
                Recorded::LeftOut => ways.calm(label, self.stopped(state, at)),
                Recorded::Now(to) => ways.calm(label, sorted(to)),
            }
            if state.faults > 0 {
                // What must be announced could not be found out.
                self.fail(state, at, id, ways)?;
            }
            return Ok(());
        }
        for id in bits(facts.running) {
            if node.stages.of(id) > Stage::Half {
                self.outcome(state, at, id, ways)?;
            }
        }
        if node.interrupt == Interrupt::Asked {
            let label = step("hears that it is to stop");
            let mut heard = *state;
            heard.nodes[at].interrupt = Interrupt::None;
            let to = match self
                .record(&heard, at, Happened::CancelRequested)
                .map_err(|what| (label, what))?
            {
                Recorded::LeftOut => heard,
                Recorded::Now(to) => to,
            };
            ways.calm(label, sorted(to));
        }
        if facts.running == 0 {
            if facts.is_settled {
                ways.calm(step("has ended"), self.stopped(state, at));
            } else {
                let label = step("tries to undo once more");
                if let Recorded::Now(to) = self
                    .record(state, at, Happened::UndoRequested)
                    .map_err(|what| (label, what))?
                {
                    ways.calm(label, sorted(to));
                    ways.calm(step("leaves it to whoever recovers"), self.stopped(state, at));
                }
            }
        }
        Ok(())
    }

    pub(super) fn fail(
        &mut self,
        state: &State<N>,
        at: usize,
        id: EffectId,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let label = Step::about(at, "cannot find out what to announce of", id);
        let mut charged = *state;
        charged.faults -= 1;
        self.coverage.hit(Fault::Fails, id);
        let happened = Happened::Failed(id, ErrorKind::Unavailable);
        if let Recorded::Now(to) = self
            .record(&charged, at, happened)
            .map_err(|what| (label, what))?
        {
            ways.fault(label, sorted(to));
        }
        Ok(())
    }

    /// The outside half of a running effect, with everything that may go wrong with it.
    pub(super) fn act(
        &mut self,
        state: &State<N>,
        at: usize,
        id: EffectId,
        facts: &Facts,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let effect = id.effect();
        let node = state.nodes[at];
        let stage = node.stages.of(id);
        if stage > Stage::Half {
            return Ok(());
        }
        let step = |what| Step::about(at, what, id);
        if effect == Effect::UploadDump && stage == Stage::Half && !facts.upload_begun {
            let label = step("remembers the upload of");
            if let Recorded::Now(mut to) = self
                .record(state, at, Happened::UploadBegun)
                .map_err(|what| (label, what))?
            {
                if to.nodes[at].does == Does::Drives {
                    let shore = &mut to.world.of[node.slot()].shores[usize::from(facts.attempt) - 1];
                    if shore.upload == Upload::Unknown {
                        shore.upload = Upload::Open;
                    }
                }
                ways.calm(label, sorted(to));
            }
        }
        let not_wanted = !facts.is_forward && !undoes(effect);
        if not_wanted {
            let mut to = *state;
            to.nodes[at].stages.set(id, Stage::Stopped);
            ways.calm(step("stops"), sorted(to));
        }
        if effect == Effect::UploadDump && stage == Stage::Half && !facts.upload_begun {
            return Ok(());
        }
        let mut to = *state;
        let after = Half {
            world: &mut to.world,
            node: &mut to.nodes[at],
            facts,
            machine: &self.machine,
            broken: self.broken,
        }
        .perform(effect, stage);
        let label = step("does");
        promises::of_an_act(&self.machine, state, &to, at, effect).map_err(|what| (label, what))?;
        if effect == Effect::ReleaseLease && stage == Stage::Half {
            self.given_back(state, at).map_err(|what| (label, what))?;
        }
        let changed = to.world != state.world;
        to.nodes[at].stages.set(id, after);
        ways.calm(label, sorted(to));
        if state.faults == 0 {
            return Ok(());
        }
        let mut failed = *state;
        failed.faults -= 1;
        self.coverage.hit(Fault::Fails, id);
        failed.nodes[at].stages.set(id, Stage::Failed);
        ways.fault(step("fails to do"), sorted(failed));
        // An answer that is lost to what changed nothing and is given up is the failure above.
        self.coverage.hit(Fault::LostAnswer, id);
        if changed {
            // Once more it is asked, and the second call finds what the first one did; or it is given up.
            let mut lost = State {
                world: to.world,
                ..failed
            };
            ways.fault(step("does, and never hears of,"), sorted(lost));
            lost.nodes[at].stages.set(id, stage);
            ways.fault(step("does, hears nothing of, and does again"), sorted(lost));
        }
        Ok(())
    }

    /// An effect has ended: the journal is told.
    pub(super) fn outcome(
        &mut self,
        state: &State<N>,
        at: usize,
        id: EffectId,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let node = state.nodes[at];
        let label = Step::about(at, "tells the journal how it ended:", id);
        let happened = match node.stages.of(id) {
            Stage::Begun | Stage::Half => return Ok(()),
            Stage::Done => Happened::Done(
                id,
                if id.effect() == Effect::AcquireLease {
                    node.token
                } else {
                    0
                },
            ),
            Stage::SwitchedOff => Happened::SwitchedOff,
            Stage::Failed => Happened::Failed(id, ErrorKind::Unavailable),
            Stage::Stopped => Happened::Failed(id, ErrorKind::Cancelled),
            Stage::Looked => Happened::Failed(id, ErrorKind::Precondition),
            Stage::Refused => return self.refused(state, at, id, ways),
        };
        let mut ended = *state;
        ended.nodes[at].stages.set(id, Stage::Begun);
        match self.record(&ended, at, happened).map_err(|what| (label, what))? {
            // The driver forgets it all the same; if the domain does not, nobody will ever end it.
            Recorded::LeftOut => ways.calm(label, sorted(ended)),
            Recorded::Now(to) => ways.calm(label, sorted(to)),
        }
        Ok(())
    }

    /// A lost lease and an ended row look alike: the lease is asked first, then the row.
    pub(super) fn refused(
        &mut self,
        state: &State<N>,
        at: usize,
        id: EffectId,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let label = Step::about(at, "asks why it was refused:", id);
        let node = state.nodes[at];
        let facts = *self.machine.facts(node.state);
        if facts.held_token > 0 && !state.world.lease.admits(node.token, self.broken) {
            ways.calm(label, self.stopped(state, at));
            return Ok(());
        }
        let mut looked = *state;
        looked.nodes[at].stages.set(id, Stage::Looked);
        let mut others = facts.running & !(1 << id.0);
        others &= facts.running;
        let to = match self.row_end(state, at, &facts, others) {
            Some(end) => match self
                .record(&looked, at, Happened::RowEnded(end))
                .map_err(|what| (label, what))?
            {
                Recorded::LeftOut => looked,
                Recorded::Now(to) => to,
            },
            None => looked,
        };
        ways.calm(label, sorted(to));
        Ok(())
    }

    pub(super) fn look(
        &mut self,
        state: &State<N>,
        at: usize,
        facts: &Facts,
        ways: &mut Ways<State<N>, Step>,
    ) -> Result<(), Breach> {
        let label = Step::of(at, "sees that the row has ended");
        let Some(end) = self.row_end(state, at, facts, facts.running) else {
            return Ok(());
        };
        if let Recorded::Now(to) = self
            .record(state, at, Happened::RowEnded(end))
            .map_err(|what| (label, what))?
        {
            ways.calm(label, sorted(to));
        }
        Ok(())
    }

    /// What a look at the row shows, if it has ended.
    pub(super) fn row_end(
        &self,
        state: &State<N>,
        at: usize,
        facts: &Facts,
        performed: u32,
    ) -> Option<RowEnd> {
        if facts.standing == RowStanding::Closed {
            return None;
        }
        let writes_end =
            |id: EffectId| matches!(id.effect(), Effect::WriteState(phase) if phase.is_terminal());
        if bits(performed).any(writes_end) {
            return None;
        }
        let row = state.world.of[state.nodes[at].slot()].row;
        match row.says {
            Some(phase) if row.attempt == facts.attempt || self.broken == Broken::OldEndTakenForNew => {
                RowEnd::of(phase)
            }
            // Not inserted or opened yet.
            Some(_) => None,
            None => facts.knows_row.then_some(RowEnd::Deleted),
        }
    }
}

/// The announcement of an effect. Two of them say what was there before.
pub(super) fn announced(id: EffectId, node: Node) -> Happened {
    let effect = id.effect();
    Happened::Started(
        id,
        node.setting_before.filter(|_| effect == Effect::ReadOnlyOn),
        node.jobs_before.filter(|_| effect == Effect::QuiesceScheduler),
    )
}

/// As the orchestrator has it: a cancel does not stop these.
fn undoes(effect: Effect) -> bool {
    matches!(
        effect,
        Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::DisarmSwitch
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::ReleaseLease
    )
}
