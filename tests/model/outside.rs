//! The outside half of every effect, as `perform.rs` of the orchestrator and the adapters do it: what goes into the app DB
//! proves the token in the same step, what goes to the disk or the other shore cannot.

use metaferry_domain::Effect;
use metaferry_domain::migration::Phase;

use crate::machine::{Facts, Machine, StateId};
use crate::mutants::Broken;
use crate::node::{Node, Stage};
use crate::world::{
    File, Jobs, Made, Maker, Mark, Object, Row, Setting, Stillness, Switch, Told, Upload, World, number,
};

/// One outside half: what it does to the world and to the node's memory, and how far the effect is then.
pub(crate) struct Half<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) node: &'a mut Node,
    pub(crate) facts: &'a Facts,
    pub(crate) machine: &'a Machine,
    pub(crate) broken: Broken,
}

impl Half<'_> {
    pub(crate) fn perform(&mut self, effect: Effect, stage: Stage) -> Stage {
        let slot = self.node.slot();
        let attempt = usize::from(self.facts.attempt) - 1;
        match effect {
            Effect::Preflight | Effect::CreateAtStore | Effect::AwaitRunningJobs | Effect::WriteProgress => {
                return Stage::Done;
            }
            Effect::AcquireLease => return self.acquire(stage),
            Effect::InsertRow => return self.insert(stage),
            Effect::WriteState(phase) => return self.write(phase),
            Effect::ReleaseLease => return self.release(stage),
            Effect::UploadDump => return self.upload(stage),
            Effect::AwaitReadOnly => self.node.jobs_before = Some(self.world.jobs),
            Effect::CopySnapshot => {
                let is_still = self.world.setting == Setting::Ours && self.world.jobs == Jobs::Paused;
                let is_late = !self.world.lease.admits(self.node.token, Broken::Nothing);
                let file = &mut self.world.of[slot].file;
                // What another attempt makes there is compared with its source before it counts.
                if is_late && file.made != Made::None {
                    return Stage::Failed;
                }
                *file = File {
                    made: Made::Partly,
                    snapshot: if is_still {
                        Stillness::Still
                    } else {
                        Stillness::Disturbed
                    },
                    made_by: if is_late { Maker::Late } else { Maker::Holder },
                };
            }
            Effect::ProveReadOnlyHeld => {
                let held = self.world.setting == Setting::Ours;
                return if held { Stage::Done } else { Stage::SwitchedOff };
            }
            Effect::FinishDump => {
                let file = &mut self.world.of[slot].file;
                if file.made != Made::Partly {
                    return Stage::Failed;
                }
                file.made = Made::Whole;
            }
            Effect::VerifyObject => {
                let migration = &mut self.world.of[slot];
                let shore = &mut migration.shores[attempt];
                if shore.upload != Upload::Complete {
                    return Stage::Failed;
                }
                shore.object = Object::Verified(migration.file.snapshot);
            }
            Effect::TellStore => self.world.of[slot].shores[attempt].told = Told::Yes,
            Effect::DeleteDump => self.world.of[slot].file = File::default(),
            Effect::AbortUpload => {
                let shore = &mut self.world.of[slot].shores[attempt];
                if self.facts.upload_begun && shore.upload == Upload::Open {
                    shore.upload = Upload::Aborted;
                }
            }
            Effect::StoreUndoScript => {
                return self.in_app_db(|world, node| {
                    node.setting_before = Some(world.setting);
                    node.jobs_before = Some(world.jobs);
                });
            }
            Effect::ArmSwitch => return self.in_app_db(|world, _| world.switch.armed = true),
            Effect::DisarmSwitch => return self.in_app_db(|world, _| world.switch = Switch::default()),
            Effect::ReadOnlyOn => return self.engage(),
            Effect::RestoreReadOnly => {
                let before = self.facts.setting_before;
                let always = self.broken == Broken::RestoresAlways;
                return self.in_app_db(|world, _| {
                    if world.setting == Setting::Ours || always {
                        world.setting = before.unwrap_or(world.setting);
                    }
                    world.switch.setting = None;
                });
            }
            Effect::QuiesceScheduler => {
                let before = self.facts.jobs_before;
                return self.in_app_db(|world, _| {
                    world.jobs = Jobs::Paused;
                    world.switch.jobs = before;
                });
            }
            Effect::RestoreScheduler => {
                let before = self.facts.jobs_before;
                return self.in_app_db(|world, _| {
                    world.jobs = before.unwrap_or(world.jobs);
                    world.switch.jobs = None;
                });
            }
        }
        Stage::Done
    }

    fn admitted(&self) -> bool {
        self.world.lease.admits(self.node.token, self.broken)
    }

    /// One transaction: it proves the token, then changes something.
    fn in_app_db(&mut self, change: impl FnOnce(&mut World, &mut Node)) -> Stage {
        if !self.admitted() {
            return Stage::Refused;
        }
        change(self.world, self.node);
        Stage::Done
    }

    /// Read-only on, but over nothing that somebody else has set since it was looked at.
    fn engage(&mut self) -> Stage {
        let before = self.facts.setting_before;
        let now = self.world.setting;
        let theirs = now != Setting::Ours && before.is_some_and(|before| before != now);
        if theirs && self.admitted() && self.broken != Broken::EngagesAlways {
            return Stage::Failed;
        }
        self.in_app_db(|world, _| {
            world.setting = Setting::Ours;
            world.switch.setting = before;
        })
    }

    /// Takes the lease; then looks whether something was left behind that comes first.
    fn acquire(&mut self, stage: Stage) -> Stage {
        if stage == Stage::Begun {
            if !self.world.lease.take(self.broken) {
                return Stage::Failed;
            }
            self.node.token = self.world.lease.token;
            self.node.given = self.world.lease.given;
            return Stage::Half;
        }
        let own = self.node.slot();
        let left_behind = (0..self.world.of.len()).any(|slot| slot != own && self.is_orphan(slot));
        if left_behind && self.broken != Broken::OrphansOverlooked {
            self.world.lease.give_back(self.node.token);
            (self.node.token, self.node.given) = (0, 0);
            return Stage::Failed;
        }
        Stage::Done
    }

    fn is_orphan(&self, slot: usize) -> bool {
        let migration = self.world.of[slot];
        migration.journal != StateId::NONE
            && migration.mark == Mark::None
            && !self.machine.facts(migration.journal).is_settled
    }

    /// Looks whether somebody began one meanwhile; then inserts the row, or opens it again.
    fn insert(&mut self, stage: Stage) -> Stage {
        let slot = self.node.slot();
        let newest = self.world.newest_row;
        let attempt = self.facts.attempt;
        if !self.facts.knows_row {
            if stage == Stage::Begun {
                let is_other = newest != 0 && newest != number(slot);
                let in_the_way = is_other
                    && (self.world.of[usize::from(newest) - 1].row.is_open()
                        || newest != self.node.newest_row);
                return if in_the_way && self.broken != Broken::RowsOverlooked {
                    Stage::Failed
                } else {
                    Stage::Half
                };
            }
            if !self.admitted() {
                return Stage::Refused;
            }
            if self.world.of[slot].row.says.is_none() {
                self.world.of[slot].row = Row {
                    says: Some(Phase::Init),
                    attempt,
                };
                self.world.newest_row = number(slot);
            }
            return Stage::Done;
        }
        if !self.admitted() {
            return Stage::Refused;
        }
        let row = &mut self.world.of[slot].row;
        let may = match row.says {
            None => return Stage::Failed,
            Some(Phase::Error | Phase::Cancelled) => true,
            Some(Phase::Init) => row.attempt == attempt,
            Some(Phase::Setup | Phase::Dump | Phase::Upload | Phase::Done) => false,
        };
        if (!may || newest != number(slot)) && self.broken != Broken::ReopensUnguarded {
            return Stage::Refused;
        }
        *row = Row {
            says: Some(Phase::Init),
            attempt,
        };
        Stage::Done
    }

    /// Writes a state under the guard: the row must not have ended.
    fn write(&mut self, phase: Phase) -> Stage {
        let slot = self.node.slot();
        let row = self.world.of[slot].row;
        let says = match row.says {
            Some(says) if row.attempt == self.facts.attempt => says,
            None if self.facts.knows_row => return Stage::Refused,
            Some(_) | None => return Stage::Done,
        };
        if !self.admitted() {
            return Stage::Refused;
        }
        if says.is_terminal() && self.broken != Broken::RowUnguarded {
            return if says == phase {
                Stage::Done
            } else {
                Stage::Refused
            };
        }
        self.world.of[slot].row.says = Some(phase);
        Stage::Done
    }

    /// Marks the journal, which may fail without harm; then gives the lease back.
    fn release(&mut self, stage: Stage) -> Stage {
        if stage == Stage::Begun {
            if self.admitted() {
                self.world.of[self.node.slot()].mark = Mark::Settled;
            }
            return Stage::Half;
        }
        self.world.lease.give_back(self.node.token);
        Stage::Done
    }

    /// Begins an upload, unless one is remembered; completes it.
    fn upload(&mut self, stage: Stage) -> Stage {
        let migration = &mut self.world.of[self.node.slot()];
        let shore = &mut migration.shores[usize::from(self.facts.attempt) - 1];
        if migration.file.made != Made::Whole {
            return Stage::Failed;
        }
        if !self.facts.upload_begun {
            if stage == Stage::Begun && shore.upload != Upload::Complete {
                shore.upload = Upload::Unknown;
            }
            return Stage::Half;
        }
        match shore.upload {
            Upload::Open | Upload::Complete => {
                shore.upload = Upload::Complete;
                Stage::Done
            }
            Upload::None | Upload::Unknown | Upload::Aborted => Stage::Failed,
        }
    }
}
