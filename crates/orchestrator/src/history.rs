//! The rows of `cloud_migration` beside what our journal knows of them.

use metaferry_domain::history::{AttemptStory, Story};
use metaferry_domain::journal::JournalEntry;
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::ports::{Clock, JournalStore, MigrationRow, MigrationRows, MigrationSummary};
use metaferry_domain::quiesce::WaitFor;
use metaferry_domain::{ErrorKind, PortError};

use crate::recover::{entries, of_row};

/// One migration, as far as anything is known of it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its row; `None` if none was written, or it was deleted.
    pub row: Option<MigrationRow>,
    /// What our journal says; `None` if Metabase itself began it, or before our journal.
    pub journal: Option<Journaled>,
}

/// What our journal says of a migration.
#[derive(Debug, Clone)]
pub struct Journaled {
    /// Whose.
    pub id: MigrationId,
    /// Has everything been done or undone that had to be?
    pub settled: bool,
    /// The journal in short; why not, where it cannot be read.
    pub story: Result<Story, String>,
}

impl Account {
    /// When it began, in milliseconds since 1970.
    fn begun_at_ms(&self) -> u64 {
        let told = self
            .journal
            .as_ref()
            .and_then(|journal| journal.story.as_ref().ok());
        match (told, &self.row) {
            (Some(story), _) => story.begun_at_ms(),
            (None, Some(row)) => u64::try_from(row.created_at.micros / 1000).unwrap_or(0),
            (None, None) => 0,
        }
    }
}

/// Migrations of an app DB, newest first, at most `limit` rows and as many journals. Where our tables are not there yet,
/// only rows.
///
/// # Errors
/// If the app DB cannot be reached. A journal that cannot be read is no error: its migration says so.
pub async fn accounts(
    rows: &dyn MigrationRows,
    journal: &dyn JournalStore,
    limit: u32,
) -> Result<Vec<Account>, PortError> {
    let mut unmatched = rows.newest(limit).await?;
    let mut accounts = Vec::new();
    for summary in summaries(journal, limit).await? {
        let story = match entries(journal, summary.id).await {
            Ok(entries) => {
                let (entries, _) = dated(journal, summary.id, entries).await?;
                Story::of(&entries).map_err(|error| error.to_string())
            }
            Err(error) if error.kind == ErrorKind::Corrupt => Err(error.chain()),
            Err(error) => return Err(error),
        };
        let row = story.as_ref().ok().and_then(|story| {
            let run = story.state.run();
            let is_its = |row: &MigrationRow| match (run.row.id, &run.shore) {
                (Some(id), _) => row.id == id,
                (None, Some(shore)) => row.external_id == shore.external_id,
                (None, None) => false,
            };
            let at = unmatched.iter().position(is_its)?;
            Some(unmatched.remove(at))
        });
        accounts.push(Account {
            row,
            journal: Some(Journaled {
                id: summary.id,
                settled: summary.settled,
                story,
            }),
        });
    }
    accounts.extend(unmatched.into_iter().map(|row| Account {
        row: Some(row),
        journal: None,
    }));
    accounts.sort_by_key(|account| std::cmp::Reverse(account.begun_at_ms()));
    accounts.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(accounts)
}

/// The attempt by which a row ended, as far as our journal knows it; `None` of a row that goes on.
///
/// # Errors
/// If the journal cannot be read.
pub async fn end_of(
    journal: &dyn JournalStore,
    row: RowId,
    phase: Phase,
) -> Result<Option<AttemptStory>, PortError> {
    if !phase.is_terminal() {
        return Ok(None);
    }
    match newest_attempt(journal, row).await {
        // How one ended that arrived is worth no error.
        Err(error) if error.kind == ErrorKind::NotFound || phase == Phase::Done => Ok(None),
        other => Ok(other?.map(|(attempt, _)| attempt)),
    }
}

/// What a migration waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// What for.
    pub what: WaitFor,
    /// How many seconds are left at most.
    pub seconds_left: u64,
}

/// What a row's migration waits for, whichever process steers it; `None` where it does not, or nobody knows. By the
/// journal's own clock; `clock` counts where it has none, because then it is on the same machine.
///
/// # Errors
/// If the journal cannot be read.
pub async fn waits_for(
    journal: &dyn JournalStore,
    row: RowId,
    phase: Phase,
    clock: &dyn Clock,
) -> Result<Option<Waits>, PortError> {
    match phase {
        Phase::Setup => {}
        Phase::Init | Phase::Dump | Phase::Upload | Phase::Done | Phase::Error | Phase::Cancelled => {
            return Ok(None);
        }
    }
    let (attempt, now_ms) = match newest_attempt(journal, row).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Ok(None) => return Ok(None),
        Ok(Some(found)) => found,
        Err(error) => return Err(error),
    };
    let now_ms = now_ms.unwrap_or_else(|| clock.now_ms());
    Ok(attempt.waiting.map(|waiting| Waits {
        seconds_left: waiting.seconds_left(now_ms),
        what: waiting.wait.what,
    }))
}

/// The newest attempt of a row's migration, and what the journal's own clock shows now.
async fn newest_attempt(
    journal: &dyn JournalStore,
    row: RowId,
) -> Result<Option<(AttemptStory, Option<u64>)>, PortError> {
    let Some((state, entries)) = of_row(journal, row).await? else {
        return Ok(None);
    };
    let (entries, now_ms) = dated(journal, state.run().id, entries).await?;
    let story = Story::of(&entries).ok();
    let attempt = story.and_then(|mut story| story.attempts.pop());
    Ok(attempt.map(|attempt| (attempt, now_ms)))
}

/// Entries with the times of the journal's own clock, where it has one, and what that shows now. What was held back until
/// the lease was there keeps the time at which it happened, by its writer's clock.
async fn dated(
    journal: &dyn JournalStore,
    id: MigrationId,
    mut entries: Vec<JournalEntry>,
) -> Result<(Vec<JournalEntry>, Option<u64>), PortError> {
    let Some(times) = journal.times(id).await? else {
        return Ok((entries, None));
    };
    for entry in entries.iter_mut().filter(|entry| entry.token.is_some()) {
        if let Some(written_ms) = times.written_ms.get(&entry.sequence) {
            entry.at_ms = *written_ms;
        }
    }
    Ok((entries, Some(times.now_ms)))
}

/// None where our tables are not there.
async fn summaries(journal: &dyn JournalStore, limit: u32) -> Result<Vec<MigrationSummary>, PortError> {
    match journal.migrations(limit).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
