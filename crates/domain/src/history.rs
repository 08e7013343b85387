//! What a journal tells people: each attempt with its times and how it ended, why, what kind of failure that is, and
//! what to do next. Decides no effect; it only reads.

use crate::ErrorClass;
use crate::effect::Effect;
use crate::event::{Canceller, Event, Intent, RowEnd};
use crate::journal::{JournalEntry, ReplayError, replay_watched};
use crate::migration::{Attempt, Phase};
use crate::quiesce::Wait;
use crate::state::{CancelledBy, MigrationState};

/// Why an attempt ended before it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In words, with the whole chain of causes; without secrets.
    pub message: String,
    /// `None` where nothing is wrong: somebody cancelled, or a process ended.
    pub class: Option<ErrorClass>,
    /// What to do next, in a sentence.
    pub remedy: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptStory {
    /// Which.
    pub attempt: Attempt,
    /// The id in the row, once the other shore was ready.
    pub external_id: Option<String>,
    /// When it began, in milliseconds since 1970 by the clock of the node that did it.
    pub begun_at_ms: u64,
    /// When its end was written, likewise.
    pub ended_at_ms: Option<u64>,
    /// Where it stands or ended.
    pub phase: Phase,
    /// How often another process took it over.
    pub taken_over: u32,
    /// How long people could not write.
    pub read_only: Option<ReadOnlySpan>,
    /// What it waits for now.
    pub waiting: Option<Waiting>,
    /// Why it did not arrive.
    pub reason: Option<Reason>,
}

/// From when to when read-only was on, in milliseconds since 1970 by the clock that the entries are dated by (the
/// journal's own where it has one, else the clocks of the nodes that switched it): at most
/// so long, because under `enforced` taking triggers away counts as well, which refuse nothing any more. Where the dead
/// man's switch or `undo.sql` switched it off, nobody wrote that down: it ends when a metaferry came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOnlySpan {
    /// It was in force, or, until that is known, about to be.
    pub on_at_ms: u64,
    /// It was as before; `None` while it is not.
    pub off_at_ms: Option<u64>,
}

impl ReadOnlySpan {
    /// How long it lasted, in milliseconds; `None` while it lasts.
    #[must_use]
    pub fn lasted_ms(self) -> Option<u64> {
        // A clock that was set back, or another node's, must not make it negative.
        self.off_at_ms.map(|off| off.saturating_sub(self.on_at_ms))
    }
}

/// What a running effect waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which effect.
    pub effect: Effect,
    /// What for, and how long at most from `since_ms`.
    pub wait: Wait,
    /// When that was written down, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Waiting {
    /// How many seconds are left at most, rounded up, when the clock that gave `since_ms` shows `now_ms`.
    #[must_use]
    pub fn seconds_left(&self, now_ms: u64) -> u64 {
        let gone_ms = now_ms.saturating_sub(self.since_ms);
        self.wait.left_ms.saturating_sub(gone_ms).div_ceil(1000)
    }
}

/// One thing that is still to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The effect that undoes it.
    pub effect: Effect,
    /// Why the last try failed, if it did.
    pub stuck: Option<String>,
}

/// A journal in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Where it ends.
    pub state: MigrationState,
    /// Every attempt, the first one first.
    pub attempts: Vec<AttemptStory>,
}

impl Story {
    /// Reads a journal.
    ///
    /// # Errors
    /// [`ReplayError`] if the entries are no journal of this program.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) -> Result<Self, ReplayError> {
        let mut attempts: Vec<AttemptStory> = Vec::new();
        let state = replay_watched(entries, |entry, state| tell(&mut attempts, entry, state))?;
        Ok(Self { state, attempts })
    }

    /// When the first attempt began, in milliseconds since 1970.
    #[must_use]
    pub fn begun_at_ms(&self) -> u64 {
        self.attempts.first().map_or(0, |first| first.begun_at_ms)
    }

    /// What is still to be undone, the last thing done first.
    #[must_use]
    pub fn owed(&self) -> Vec<Owed> {
        let owed = self.state.run().undo.owed().into_iter();
        owed.map(|(effect, stuck)| Owed {
            effect,
            stuck: stuck.map(|stuck| stuck.message.clone()),
        })
        .collect()
    }
}

fn tell(attempts: &mut Vec<AttemptStory>, entry: &JournalEntry, state: &MigrationState) {
    let run = state.run();
    if attempts.last().is_none_or(|last| last.attempt != run.attempt) {
        attempts.push(AttemptStory {
            attempt: run.attempt,
            external_id: None,
            begun_at_ms: entry.at_ms,
            ended_at_ms: None,
            phase: state.phase(),
            taken_over: 0,
            read_only: None,
            waiting: None,
            reason: None,
        });
    }
    let Some(story) = attempts.last_mut() else { return };
    story.external_id = run.shore.as_ref().map(|shore| shore.external_id.clone());
    story.phase = state.phase();
    story.reason = reason(state);
    if let Event::Recovered { .. } = entry.event {
        story.taken_over = story.taken_over.saturating_add(1);
    }
    story.read_only = read_only(story.read_only, entry);
    story.waiting = waiting(story.waiting.take(), entry, state);
    if !state.is_terminal() {
        story.ended_at_ms = None;
    } else if story.ended_at_ms.is_none() {
        story.ended_at_ms = Some(entry.at_ms);
    }
}

/// What an entry makes of it.
fn read_only(span: Option<ReadOnlySpan>, entry: &JournalEntry) -> Option<ReadOnlySpan> {
    let on = Some(ReadOnlySpan {
        on_at_ms: entry.at_ms,
        off_at_ms: None,
    });
    match (&entry.event, span) {
        (Event::EffectStarted(Intent::ReadOnlyOn { .. }), None) => on,
        (Event::EffectDone(fact), _) if fact.effect() == Effect::ReadOnlyOn => on,
        (Event::EffectDone(fact), Some(span))
            if fact.effect() == Effect::RestoreReadOnly && span.off_at_ms.is_none() =>
        {
            Some(ReadOnlySpan {
                off_at_ms: Some(entry.at_ms),
                ..span
            })
        }
        (_, span) => span,
    }
}

/// What it waits for after an entry.
fn waiting(before: Option<Waiting>, entry: &JournalEntry, state: &MigrationState) -> Option<Waiting> {
    let now = if let Event::Waiting { effect, wait } = &entry.event {
        Some(Waiting {
            effect: *effect,
            wait: wait.clone(),
            since_ms: entry.at_ms,
        })
    } else {
        before
    };
    now.filter(|waiting| state.run().running.contains(&waiting.effect))
}

/// Why the present attempt did not arrive, or is being undone; `None` while it goes on, and once it arrived.
#[must_use]
pub fn reason(state: &MigrationState) -> Option<Reason> {
    let (message, class, remedy) = match (state.failure(), state) {
        (Some(failure), _) => (failure.message.clone(), failure.class(), failure.remedy()),
        (None, MigrationState::Cancelled { by, .. }) => (by_whom(by), None, AFTER_A_CANCEL),
        (
            None,
            MigrationState::Init { .. }
            | MigrationState::Setup { .. }
            | MigrationState::Dump { .. }
            | MigrationState::Upload { .. }
            | MigrationState::RollingBack { .. }
            | MigrationState::Done { .. }
            | MigrationState::Error { .. },
        ) => return None,
    };
    let remedy = if state.is_settled() {
        remedy.to_owned()
    } else {
        format!("{NOT_SETTLED}; then: {remedy}")
    };
    Some(Reason {
        message,
        class,
        remedy,
    })
}

const AFTER_A_CANCEL: &str = "nothing is wrong: `metaferry retry` begins another attempt";
const NOT_SETTLED: &str = "wait until everything is undone, or run `metaferry recover` if no metaferry runs";

fn by_whom(by: &CancelledBy) -> String {
    match by {
        CancelledBy::Asked(Canceller::Caller(who)) => format!("cancelled by {who}"),
        CancelledBy::Asked(Canceller::Interrupt) => "the process that migrated was interrupted".to_owned(),
        CancelledBy::Row(RowEnd::Cancelled) => {
            "the row in cloud_migration was set to cancelled: by Metabase, another process or SQL".to_owned()
        }
        CancelledBy::Row(RowEnd::Error) => {
            "somebody else wrote error into the row in cloud_migration".to_owned()
        }
        CancelledBy::Row(RowEnd::Done) => {
            "somebody else wrote done into the row in cloud_migration before it had arrived".to_owned()
        }
        CancelledBy::Row(RowEnd::Deleted) => "the row in cloud_migration was deleted".to_owned(),
    }
}

/// What an effect does, for people: a fragment that reads after "did: " and "would do: ".
#[must_use]
pub fn in_words(effect: Effect) -> String {
    let words = match effect {
        Effect::Preflight => "look for reasons against it",
        Effect::AcquireLease => "take the lease",
        Effect::CreateAtStore => "create the migration at the store",
        Effect::InsertRow => "write the row in cloud_migration",
        Effect::StoreUndoScript => "store undo.sql",
        Effect::ArmSwitch => "arm the dead man's switch",
        Effect::DisarmSwitch => "take the dead man's switch away",
        Effect::ReadOnlyOn => "switch to read-only",
        Effect::AwaitReadOnly => "wait until read-only holds",
        Effect::QuiesceScheduler => "pause the schedules",
        Effect::AwaitRunningJobs => "wait for running jobs",
        Effect::CopySnapshot => "copy the snapshot",
        Effect::ProveReadOnlyHeld => "prove that read-only held",
        Effect::RestoreScheduler => "put the schedules back as they were",
        Effect::RestoreReadOnly => "put read-only back as it was",
        Effect::FinishDump => "finish and verify the dump",
        Effect::UploadDump => "upload the dump, going on where it stood",
        Effect::VerifyObject => "verify what arrived",
        Effect::TellStore => "tell the store",
        Effect::DeleteDump => "delete the dump file",
        Effect::AbortUpload => "abort the upload",
        Effect::WriteState(phase) => return format!("write {phase} into the row of cloud_migration"),
        Effect::WriteProgress => "write the progress",
        Effect::ReleaseLease => "give the lease back",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
