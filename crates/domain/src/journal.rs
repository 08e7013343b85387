//! Append-only record of events; replaying it gives the state.
//!
//! An entry is written under the lease's token. What happens before the lease is taken (preflight, taking it) is
//! held back and written right after it was taken; that the lease was given back cannot be written any more: a
//! settled journal ends with the announcement of [`Effect::ReleaseLease`](crate::Effect::ReleaseLease).

use thiserror::Error;

use crate::event::Event;
use crate::lease::FencingToken;
use crate::migration::Attempt;
use crate::state::MigrationState;
use crate::transition::{IllegalEvent, next, without_switch};

/// The version of entries that this code writes. It grows when an older reader would misunderstand an entry.
pub const VERSION: u32 = 1;

/// One entry.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JournalEntry {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// 1, 2, 3 … within one migration.
    pub sequence: u64,
    /// When, in milliseconds since 1970 by the writer's clock; for people, never for decisions.
    pub at_ms: u64,
    /// The attempt that the event belongs to; of [`Event::RetryRequested`] the one that it begins.
    pub attempt: Attempt,
    /// The writer's token; `None` for what happened before the lease was taken.
    pub token: Option<FencingToken>,
    /// What happened.
    pub event: Event,
}

/// Why a journal cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is nothing.
    #[error("the journal is empty")]
    Empty,
    /// The first entry is another event.
    #[error("the journal begins with {event}, not with Begun")]
    NotBegun {
        /// Which.
        event: String,
    },
    /// A newer program wrote it.
    #[error("entry {sequence} has version {version}, and this program knows {VERSION}: use a newer one")]
    Version {
        /// Where.
        sequence: u64,
        /// The entry's.
        version: u32,
    },
    /// An entry is missing or there twice.
    #[error("entry {found} stands where {expected} belongs: the journal is incomplete")]
    Gap {
        /// The number that was to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry of another attempt.
    #[error("entry {sequence} is about attempt {found}, but attempt {expected} was on")]
    Attempt {
        /// Where.
        sequence: u64,
        /// The state's attempt.
        expected: u32,
        /// The entry's.
        found: u32,
    },
    /// An entry under an older token than one before it: a writer that had lost its lease.
    #[error(
        "entry {sequence} was written under token {found} after token {newest}: its writer had lost the lease"
    )]
    StaleToken {
        /// Where.
        sequence: u64,
        /// The highest before.
        newest: FencingToken,
        /// The entry's.
        found: FencingToken,
    },
    /// An event that cannot happen there.
    #[error("entry {sequence} cannot be: {illegal}")]
    Illegal {
        /// Where.
        sequence: u64,
        /// Why.
        illegal: IllegalEvent,
    },
}

/// The state that a journal's entries lead to.
///
/// # Errors
/// [`ReplayError`], naming the entry, if they are no journal of this program.
pub fn replay<'a>(
    entries: impl IntoIterator<Item = &'a JournalEntry>,
) -> Result<MigrationState, ReplayError> {
    replay_watched(entries, |_, _| {})
}

/// The same; `watch` is shown each entry with the state that it leads to.
pub(crate) fn replay_watched<'a>(
    entries: impl IntoIterator<Item = &'a JournalEntry>,
    mut watch: impl FnMut(&JournalEntry, &MigrationState),
) -> Result<MigrationState, ReplayError> {
    let mut replay = Replay::default();
    for entry in entries {
        watch(entry, replay.add(entry)?);
    }
    replay.state.ok_or(ReplayError::Empty)
}

/// A journal that is replayed while its entries come, one by one.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    state: Option<MigrationState>,
    newest: Option<FencingToken>,
    /// Entries so far.
    entries: u64,
}

impl Replay {
    /// The state that the entries so far lead to.
    ///
    /// # Errors
    /// [`ReplayError::Empty`] if there were none.
    pub fn state(&self) -> Result<&MigrationState, ReplayError> {
        self.state.as_ref().ok_or(ReplayError::Empty)
    }

    /// The next entry, and the state that it leads to. After an error everything is as before.
    ///
    /// # Errors
    /// [`ReplayError`] if it cannot stand there.
    pub fn add(&mut self, entry: &JournalEntry) -> Result<&MigrationState, ReplayError> {
        let sequence = entry.sequence;
        if entry.version != VERSION {
            return Err(ReplayError::Version {
                sequence,
                version: entry.version,
            });
        }
        let expected = self.entries.saturating_add(1);
        if sequence != expected {
            return Err(ReplayError::Gap {
                expected,
                found: sequence,
            });
        }
        if let (Some(newest), Some(found)) = (self.newest, entry.token)
            && found < newest
        {
            return Err(ReplayError::StaleToken {
                sequence,
                newest,
                found,
            });
        }
        let state = match (&self.state, &entry.event) {
            (None, Event::Begun { id, plan }) => MigrationState::begun(*id, plan.clone()),
            (None, other) => return Err(ReplayError::NotBegun { event: other.name() }),
            (Some(state), event) => {
                next_of_any_age(state, event).map_err(|illegal| ReplayError::Illegal { sequence, illegal })?
            }
        };
        if state.run().attempt != entry.attempt {
            return Err(ReplayError::Attempt {
                sequence,
                expected: state.run().attempt.0,
                found: entry.attempt.0,
            });
        }
        self.newest = self.newest.max(entry.token);
        self.entries = expected;
        Ok(self.state.insert(state))
    }
}

/// The next state, also of a journal written before there was a dead man's switch: there it was neither armed nor taken
/// away, and what comes after was due at once.
fn next_of_any_age(state: &MigrationState, event: &Event) -> Result<MigrationState, IllegalEvent> {
    next(state, event)
        .map(|transition| transition.state)
        .or_else(|illegal| {
            let older = without_switch(state).and_then(|state| next(&state, event).ok());
            older.map(|transition| transition.state).ok_or(illegal)
        })
}
