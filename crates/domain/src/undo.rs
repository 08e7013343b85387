//! What an attempt owes: one debt per thing that was done, or may have been done, and must be undone. A debt is
//! made when the effect is announced and ends when its undoing is done.

use std::path::PathBuf;

use crate::ErrorKind;
use crate::effect::Effect;
use crate::ports::{PartReceipt, PausedBefore, ReadOnlyBefore};

/// Something to undo, with what undoing it needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Debt<T> {
    /// What was remembered before acting.
    pub remembered: T,
    /// The last try to undo it failed beyond its retries: it rests until somebody asks again or takes over.
    pub stuck: Option<Stuck>,
}

impl<T> Debt<T> {
    /// A fresh debt.
    pub fn new(remembered: T) -> Self {
        Self {
            remembered,
            stuck: None,
        }
    }
}

/// Why something could not be undone yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stuck {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// The whole chain of messages.
    pub message: String,
}

/// What is known of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadMemory {
    /// The store's id.
    pub upload_id: String,
    /// Bytes of every part but the last.
    pub part_size_bytes: u64,
    /// Parts that arrived, by number.
    pub parts: Vec<PartReceipt>,
}

impl UploadMemory {
    /// Takes a receipt; one of the same part replaces the earlier one.
    pub(crate) fn take(&mut self, receipt: &PartReceipt) {
        match self
            .parts
            .binary_search_by_key(&receipt.number, |part| part.number)
        {
            Ok(at) => self.parts[at] = receipt.clone(),
            Err(at) => self.parts.insert(at, receipt.clone()),
        }
    }
}

/// Everything an attempt owes, but for the row and the lease.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Undo {
    /// Read-only, as it was before.
    pub read_only: Option<Debt<ReadOnlyBefore>>,
    /// The scheduler, as it was before.
    pub scheduler: Option<Debt<PausedBefore>>,
    /// The dead man's switch. It is the last to go of these three: until then it guards the other two.
    pub switch: Option<Debt<()>>,
    /// The dump and every unfinished file of it.
    pub dump: Option<Debt<PathBuf>>,
    /// The upload; `None` inside until a multipart upload was begun.
    pub upload: Option<Debt<Option<UploadMemory>>>,
}

impl Undo {
    /// The effects that undo what is owed, the last thing done first, each with what keeps it from being tried.
    #[must_use]
    pub fn owed(&self) -> Vec<(Effect, Option<&Stuck>)> {
        let mut owed = Vec::new();
        if let Some(debt) = &self.upload {
            owed.push((Effect::AbortUpload, debt.stuck.as_ref()));
        }
        if let Some(debt) = &self.dump {
            owed.push((Effect::DeleteDump, debt.stuck.as_ref()));
        }
        if let Some(debt) = &self.scheduler {
            owed.push((Effect::RestoreScheduler, debt.stuck.as_ref()));
        }
        if let Some(debt) = &self.read_only {
            owed.push((Effect::RestoreReadOnly, debt.stuck.as_ref()));
        }
        if let Some(debt) = &self.switch {
            owed.push((Effect::DisarmSwitch, debt.stuck.as_ref()));
        }
        owed
    }

    /// Whether `undoing` must wait until something else is undone.
    #[must_use]
    pub fn waits(&self, undoing: Effect) -> bool {
        undoing == Effect::DisarmSwitch && (self.scheduler.is_some() || self.read_only.is_some())
    }

    /// Nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owed().is_empty()
    }

    /// Everything that could be undone is undone: what is left is stuck, or waits for what is.
    #[must_use]
    pub fn is_rested(&self) -> bool {
        self.owed()
            .iter()
            .all(|(undoing, stuck)| stuck.is_some() || self.waits(*undoing))
    }

    /// `undoing` was done: its debt is paid. Other effects change nothing.
    pub(crate) fn paid(&mut self, undoing: Effect) {
        if undoing == Effect::AbortUpload {
            self.upload = None;
        } else if undoing == Effect::DeleteDump {
            self.dump = None;
        } else if undoing == Effect::RestoreScheduler {
            self.scheduler = None;
        } else if undoing == Effect::RestoreReadOnly {
            self.read_only = None;
        } else if undoing == Effect::DisarmSwitch {
            self.switch = None;
        }
    }

    /// `undoing` failed beyond its retries. Other effects change nothing.
    pub(crate) fn failed(&mut self, undoing: Effect, stuck: Stuck) {
        if let Some(slot) = self.slot(undoing) {
            *slot = Some(stuck);
        }
    }

    /// Everything that is stuck is to be tried again.
    pub(crate) fn try_again(&mut self) {
        for undoing in [
            Effect::AbortUpload,
            Effect::DeleteDump,
            Effect::RestoreScheduler,
            Effect::RestoreReadOnly,
            Effect::DisarmSwitch,
        ] {
            if let Some(slot) = self.slot(undoing) {
                *slot = None;
            }
        }
    }

    fn slot(&mut self, undoing: Effect) -> Option<&mut Option<Stuck>> {
        if undoing == Effect::AbortUpload {
            self.upload.as_mut().map(|debt| &mut debt.stuck)
        } else if undoing == Effect::DeleteDump {
            self.dump.as_mut().map(|debt| &mut debt.stuck)
        } else if undoing == Effect::RestoreScheduler {
            self.scheduler.as_mut().map(|debt| &mut debt.stuck)
        } else if undoing == Effect::RestoreReadOnly {
            self.read_only.as_mut().map(|debt| &mut debt.stuck)
        } else if undoing == Effect::DisarmSwitch {
            self.switch.as_mut().map(|debt| &mut debt.stuck)
        } else {
            None
        }
    }
}
