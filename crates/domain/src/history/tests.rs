use super::Story;
use crate::effect::Effect;
use crate::event::{Canceller, Event};
use crate::journal::{JournalEntry, VERSION};
use crate::migration::{Attempt, Phase};
use crate::plan::MigrationPlan;
use crate::samples::{ID, fact, failed, intent, next_token};
use crate::state::MigrationState;
use crate::transition::next;
use crate::{ErrorClass, ErrorKind};

/// A journal as a driver writes it, a second between two entries.
struct Journal {
    state: MigrationState,
    entries: Vec<JournalEntry>,
}

impl Journal {
    fn begun() -> Self {
        let plan = MigrationPlan::default();
        let mut journal = Self {
            state: MigrationState::begun(ID, plan.clone()),
            entries: Vec::new(),
        };
        journal.write(Event::Begun { id: ID, plan });
        journal
    }

    fn write(&mut self, event: Event) {
        let sequence = self.entries.len() as u64 + 1;
        self.entries.push(JournalEntry {
            version: VERSION,
            sequence,
            at_ms: sequence * 1000,
            attempt: self.state.run().attempt,
            token: self.state.run().tenure.token(),
            event,
        });
    }

    fn happens(&mut self, event: Event) {
        self.state = next(&self.state, &event).unwrap().state;
        self.write(event);
    }

    fn forward_until(&mut self, effect: Effect) {
        loop {
            let due = self.state.due()[0];
            self.happens(Event::EffectStarted(intent(due)));
            if due == effect {
                return;
            }
            self.happens(Event::EffectDone(fact(due, next_token(&self.state))));
        }
    }

    fn settle(&mut self) {
        while let Some(due) = self.state.due().first().copied() {
            self.happens(Event::EffectStarted(intent(due)));
            if due == Effect::ReleaseLease {
                return;
            }
            self.happens(Event::EffectDone(fact(due, next_token(&self.state))));
        }
    }

    fn story(&self) -> Story {
        Story::of(&self.entries).unwrap()
    }
}

#[test]
fn a_failure_is_told_with_its_class_and_what_to_do() {
    let mut journal = Journal::begun();
    journal.forward_until(Effect::UploadDump);
    assert_eq!(journal.story().attempts[0].reason, None, "it still goes on");
    journal.happens(failed(Effect::UploadDump, ErrorKind::Unavailable));
    let unsettled = journal.story();
    let reason = unsettled.attempts[0].reason.clone().unwrap();
    assert!(reason.remedy.contains("metaferry recover"), "{reason:?}");
    assert_eq!(unsettled.attempts[0].ended_at_ms, None);
    assert_eq!(unsettled.owed().len(), 2, "the upload and the dump");
    journal.settle();
    let story = journal.story();
    let attempt = &story.attempts[0];
    let reason = attempt.reason.clone().unwrap();
    assert_eq!(reason.message, "no answer");
    assert_eq!(reason.class, Some(ErrorClass::Network));
    assert_eq!(reason.remedy, ErrorClass::Network.remedy());
    assert_eq!((attempt.phase, attempt.taken_over), (Phase::Error, 0));
    assert!(attempt.ended_at_ms > Some(attempt.begun_at_ms));
    assert_eq!(attempt.external_id.as_deref(), Some("external"));
    assert!(story.owed().is_empty());
}

#[test]
fn every_attempt_is_told_apart() {
    let mut journal = Journal::begun();
    journal.forward_until(Effect::StoreUndoScript);
    journal.happens(Event::CancelRequested {
        by: Canceller::Caller("anna".to_owned()),
    });
    journal.happens(Event::EffectDone(fact(
        Effect::StoreUndoScript,
        next_token(&journal.state),
    )));
    journal.settle();
    journal.happens(Event::RetryRequested);
    journal.forward_until(Effect::CopySnapshot);
    let taken_over = Event::Recovered {
        attempt: Attempt(2),
        token: next_token(&journal.state),
    };
    journal.happens(taken_over);
    journal.settle();
    let story = journal.story();
    let [first, second] = &story.attempts[..] else {
        panic!("{:?}", story.attempts);
    };
    let reason = first.reason.clone().unwrap();
    assert_eq!((first.attempt, first.phase), (Attempt(1), Phase::Cancelled));
    assert_eq!(
        (reason.message.as_str(), reason.class),
        ("cancelled by anna", None)
    );
    let reason = second.reason.clone().unwrap();
    assert_eq!((second.attempt, second.phase), (Attempt(2), Phase::Error));
    assert_eq!(second.taken_over, 1);
    assert_eq!(reason.class, None, "nothing is wrong but that a process ended");
    assert_eq!(reason.message, "the process that migrated ended in dump");
    assert!(second.begun_at_ms > first.ended_at_ms.unwrap());
}

#[test]
fn how_long_nobody_could_write_is_told_from_in_force_to_lifted() {
    let mut journal = Journal::begun();
    journal.forward_until(Effect::ReadOnlyOn);
    let at = |story: &Story| story.attempts.last().unwrap().read_only;
    assert_eq!(at(&journal.story()).unwrap().lasted_ms(), None);
    journal.happens(Event::EffectDone(fact(
        Effect::ReadOnlyOn,
        next_token(&journal.state),
    )));
    let on = journal.entries.last().unwrap().at_ms;
    journal.forward_until(Effect::RestoreReadOnly);
    assert_eq!(at(&journal.story()).unwrap().lasted_ms(), None);
    journal.happens(Event::EffectDone(fact(
        Effect::RestoreReadOnly,
        next_token(&journal.state),
    )));
    let off = journal.entries.last().unwrap().at_ms;
    journal.forward_until(Effect::UploadDump);
    let span = at(&journal.story()).unwrap();
    assert_eq!((span.on_at_ms, span.off_at_ms), (on, Some(off)));
    assert_eq!(span.lasted_ms(), Some(off - on));
    // Each attempt has its own.
    journal.happens(failed(Effect::UploadDump, ErrorKind::Unavailable));
    journal.settle();
    journal.happens(Event::RetryRequested);
    assert_eq!(at(&journal.story()), None);
    assert_eq!(journal.story().attempts[0].read_only, Some(span));
}
