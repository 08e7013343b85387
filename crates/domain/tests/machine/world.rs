//! A tiny model of everything that a migration touches, and what each effect does to it.

use metaferry_domain::Effect;
use metaferry_domain::event::RowEnd;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::Phase;

/// What is out there. Everything is as before where it says so by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct World {
    pub(crate) read_only: Switch,
    pub(crate) triggers: Switch,
    /// The dead man's.
    pub(crate) switch: Switch,
    pub(crate) file: File,
    pub(crate) upload: Upload,
    pub(crate) verified: bool,
    pub(crate) told: bool,
    pub(crate) lease: Option<FencingToken>,
    pub(crate) tokens_given: u64,
    pub(crate) row: Row,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Switch {
    #[default]
    AsBefore,
    Ours,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum File {
    #[default]
    None,
    Partial,
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Upload {
    #[default]
    None,
    Open,
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Row {
    #[default]
    None,
    Is(Phase),
    Deleted,
}

impl Row {
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Is(phase) if !phase.is_terminal())
    }

    pub(crate) fn end(self) -> Option<RowEnd> {
        match self {
            Self::None => None,
            Self::Is(phase) => RowEnd::of(phase),
            Self::Deleted => Some(RowEnd::Deleted),
        }
    }
}

/// How performing an effect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Performed {
    Well,
    /// The guard found the row ended.
    RowEnded(RowEnd),
    /// The world did not allow it.
    Refused,
}

impl World {
    /// Performs an effect, as an adapter would.
    pub(crate) fn perform(&mut self, effect: Effect) -> Performed {
        match effect {
            Effect::AcquireLease => {
                if self.lease.is_some() {
                    return Performed::Refused;
                }
                self.tokens_given += 1;
                self.lease = Some(FencingToken(self.tokens_given));
            }
            Effect::InsertRow => self.row = Row::Is(Phase::Init),
            Effect::ArmSwitch => self.switch = Switch::Ours,
            Effect::DisarmSwitch => self.switch = Switch::AsBefore,
            Effect::ReadOnlyOn => self.read_only = Switch::Ours,
            Effect::RestoreReadOnly => self.read_only = Switch::AsBefore,
            Effect::QuiesceScheduler => self.triggers = Switch::Ours,
            Effect::RestoreScheduler => self.triggers = Switch::AsBefore,
            Effect::CopySnapshot => self.file = File::Partial,
            Effect::FinishDump => {
                if self.file != File::Partial {
                    return Performed::Refused;
                }
                self.file = File::Complete;
            }
            Effect::UploadDump => {
                if self.file != File::Complete {
                    return Performed::Refused;
                }
                self.upload = Upload::Complete;
            }
            Effect::VerifyObject => {
                if self.upload != Upload::Complete {
                    return Performed::Refused;
                }
                self.verified = true;
            }
            Effect::TellStore => self.told = true,
            Effect::DeleteDump => self.file = File::None,
            Effect::AbortUpload => {
                if self.upload == Upload::Open {
                    self.upload = Upload::None;
                }
            }
            Effect::WriteState(phase) => return self.write(phase),
            Effect::ReleaseLease => self.lease = None,
            Effect::Preflight
            | Effect::CreateAtStore
            | Effect::StoreUndoScript
            | Effect::AwaitReadOnly
            | Effect::AwaitRunningJobs
            | Effect::ProveReadOnlyHeld
            | Effect::WriteProgress => {}
        }
        Performed::Well
    }

    /// What an effect may have left behind when it failed half-way or its process ended: nothing, a part of its
    /// work, or all of it with the answer lost.
    pub(crate) fn left_behind(self, effect: Effect) -> Vec<Self> {
        let mut worlds = vec![self];
        let mut after = self;
        if after.perform(effect) == Performed::Well && after != self {
            worlds.push(after);
        }
        if effect == Effect::UploadDump && self.upload != Upload::Open {
            worlds.push(Self {
                upload: Upload::Open,
                ..self
            });
        }
        worlds
    }

    fn write(&mut self, phase: Phase) -> Performed {
        match self.row {
            Row::Is(now) if now == phase => Performed::Well,
            Row::Is(now) if now.is_terminal() => Performed::RowEnded(RowEnd::of(now).expect("terminal")),
            Row::Is(_) => {
                self.row = Row::Is(phase);
                Performed::Well
            }
            // Never inserted: there is nothing to end.
            Row::None => Performed::Well,
            Row::Deleted => Performed::RowEnded(RowEnd::Deleted),
        }
    }
}
