//! What is the same on every server about the triggers that guard tables: how long they are made and taken away, under
//! whose lease, and which are left behind.

use std::time::{Duration, Instant};

use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;

use crate::patience::GivenUp;

/// How long it is tried to make all triggers, before the whole is tried again.
pub(crate) const MAKE_MAX: Duration = Duration::from_secs(25);
/// How long it is tried to take one table's away, before they are left behind.
const REMOVE_MAX: Duration = Duration::from_secs(4);
/// The same for all together.
const REMOVE_ALL_MAX: Duration = Duration::from_secs(15);

/// Who is kept from taking the lease while a trigger goes: the next one's may have the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fence {
    /// Everybody, as long as this token is the lease's; then nothing goes.
    Lease(FencingToken),
    /// There is no lease: tables of ours are not there, and nobody migrates.
    NoTables,
}

/// Who switches the setting that shows read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Switched {
    /// We alone, each time under the lease.
    #[default]
    ByUs,
    /// Metabase too, because it was asked to: nobody can tell when its transaction ends.
    ByMetabase,
}

/// How much is done to take triggers away that do nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As much as can be without keeping anybody for more than a second at a time: somebody asked for it.
    Asked,
    /// One try that waits for nobody, and none after the first that finds its table in use.
    InPassing,
}

/// A trigger of ours that is there.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) table: String,
    pub(crate) name: String,
}

impl Standing {
    /// As people are told of it.
    pub(crate) fn shown(&self) -> String {
        format!("{} on {}", self.name, self.table)
    }
}

/// Taking triggers away one after the other, for so long at most that it can be done in one go.
pub(crate) struct Removal {
    effort: Effort,
    began: Instant,
    in_use: String,
    left: Vec<String>,
}

impl Removal {
    pub(crate) fn begin(effort: Effort) -> Self {
        Self {
            effort,
            began: Instant::now(),
            in_use: String::new(),
            left: Vec::new(),
        }
    }

    /// How long it may be tried to take this one away; `None` if it is left behind at once.
    pub(crate) fn limit(&mut self, trigger: &Standing) -> Option<Duration> {
        let left = REMOVE_ALL_MAX.saturating_sub(self.began.elapsed());
        let gives_up = self.effort == Effort::InPassing && !self.left.is_empty();
        // Who uses one table that long may use them all.
        if gives_up || trigger.table == self.in_use || left.is_zero() {
            self.left.push(trigger.shown());
            return None;
        }
        Some(match self.effort {
            Effort::Asked => REMOVE_MAX.min(left),
            Effort::InPassing => Duration::ZERO,
        })
    }

    /// How the try ended.
    ///
    /// # Errors
    /// If it ended by what is no reason to leave a trigger behind.
    pub(crate) fn tried(&mut self, trigger: Standing, ended: Result<(), GivenUp>) -> Result<(), PortError> {
        if let Err(error) = ended {
            let why = error.leaves_behind()?;
            if self.effort == Effort::Asked {
                tracing::warn!(target: "cloud_migration", error = why.chain(), "a trigger stays behind for now, and does nothing");
            }
            self.left.push(trigger.shown());
            self.in_use = trigger.table;
        }
        Ok(())
    }

    /// What was left behind.
    pub(crate) fn left(self) -> Vec<String> {
        self.left
    }
}
