//! After a crash: journals that are not settled are replayed, and gone on with or undone to the end.

use metaferry_domain::effect::Effect;
use metaferry_domain::event::Event;
use metaferry_domain::journal::{JournalEntry, replay};
use metaferry_domain::migration::{MigrationId, RowId};
use metaferry_domain::ports::{JournalRecord, JournalStore};
use metaferry_domain::state::MigrationState;
use metaferry_domain::{ErrorKind, PortError};

use crate::run::Ended;

/// Migrations looked through for unsettled ones; only the newest can be, because nothing begins before it is settled.
const MIGRATIONS_LOOKED_AT: u32 = 16;

/// A migration that some process left behind.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Whose.
    pub id: MigrationId,
    /// Where its journal ends.
    pub state: MigrationState,
}

/// What became of an orphan.
#[derive(Debug, Clone)]
pub enum Recovery {
    /// It was done or undone already; only the mark was missing, and is there now.
    Marked {
        /// Whose.
        id: MigrationId,
    },
    /// It was taken over and steered to its end.
    Steered {
        /// Whose.
        id: MigrationId,
        /// How it ended.
        ended: Ended,
        /// What was done, in order.
        done: Vec<Effect>,
        /// What failed, and why.
        failed: Vec<(Effect, String)>,
    },
    /// Somebody else holds the lease: nothing was touched.
    Held {
        /// Whose.
        id: MigrationId,
    },
}

/// Every migration that is not marked as settled. Its journal may still say that it is: then only marking it failed.
///
/// # Errors
/// If the journal cannot be read. That there is none, because our tables are not there, is no error.
pub async fn orphans(journal: &dyn JournalStore) -> Result<Vec<Orphan>, PortError> {
    let mut orphans = Vec::new();
    let summaries = match journal.migrations(MIGRATIONS_LOOKED_AT).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(orphans),
        other => other?,
    };
    for summary in summaries {
        if !summary.settled {
            let (state, _) = load(journal, summary.id).await?;
            orphans.push(Orphan {
                id: summary.id,
                state,
            });
        }
    }
    Ok(orphans)
}

/// A journal and the state it leads to.
pub(crate) async fn load(
    journal: &dyn JournalStore,
    id: MigrationId,
) -> Result<(MigrationState, Vec<JournalEntry>), PortError> {
    let entries = entries(journal, id).await?;
    let state = replay(&entries)
        .map_err(|error| corrupt(format!("the journal of {id} cannot be replayed")).because(error))?;
    Ok((state, entries))
}

/// The journal of the migration that owns a row.
pub(crate) async fn of_row(
    journal: &dyn JournalStore,
    row: RowId,
) -> Result<Option<(MigrationState, Vec<JournalEntry>)>, PortError> {
    for summary in journal.migrations(MIGRATIONS_LOOKED_AT).await? {
        let (state, entries) = load(journal, summary.id).await?;
        if state.run().row.id == Some(row) {
            return Ok(Some((state, entries)));
        }
    }
    Ok(None)
}

/// The entries of a journal.
pub(crate) async fn entries(
    journal: &dyn JournalStore,
    id: MigrationId,
) -> Result<Vec<JournalEntry>, PortError> {
    let records = journal.read(id).await?;
    let read = |JournalRecord { sequence, json }: &JournalRecord| {
        serde_json::from_str::<JournalEntry>(json).map_err(|error| {
            corrupt(format!("entry {sequence} of the journal of {id} cannot be read")).because(error)
        })
    };
    records.iter().map(read).collect()
}

/// What was done, and what failed, since a journal was last taken over.
pub(crate) fn since_taken_over(entries: &[JournalEntry]) -> (Vec<Effect>, Vec<(Effect, String)>) {
    let is_takeover = |entry: &JournalEntry| matches!(entry.event, Event::Recovered { .. });
    let from = entries.iter().rposition(is_takeover).unwrap_or(entries.len());
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for entry in &entries[from..] {
        match &entry.event {
            Event::EffectDone(fact) => done.push(fact.effect()),
            Event::EffectFailed { effect, message, .. } => failed.push((*effect, message.clone())),
            Event::Begun { .. }
            | Event::EffectStarted(_)
            | Event::Progressed { .. }
            | Event::Waiting { .. }
            | Event::UploadBegun { .. }
            | Event::PartArrived { .. }
            | Event::CancelRequested { .. }
            | Event::RowEndedOutside { .. }
            | Event::LeaseLost
            | Event::Recovered { .. }
            | Event::RetryRequested
            | Event::UndoRequested => {}
        }
    }
    (done, failed)
}

fn corrupt(what: String) -> PortError {
    PortError::new(ErrorKind::Corrupt, what)
}
