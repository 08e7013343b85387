//! The model beside the real orchestrator: every entry that this writes, on the fakes and with a fault at every third call, is a step
//! that the model has taken too. What the driver would do otherwise than the model, the model could not judge.

use std::time::Duration;

use metaferry_domain::event::{Event, Fact, Intent, StillnessProof};
use metaferry_domain::journal::JournalEntry;
use metaferry_domain::ports::{PausedBefore, ReadOnlyBefore};
use metaferry_domain::{Effect, ErrorKind};
use metaferry_test_kit::fake::{Call, Fault, When, World};

use crate::machine::{EffectId, Happened, Machine};
use crate::program::{LEASE_TERM, node};
use crate::world::{Jobs, Setting};

/// Runs the real orchestrator, with one fault each, and looks every entry up. Answers how many entries that were.
pub(crate) fn every_entry_is_a_step_of(machine: &Machine) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO is always built");
    let faults = [
        Fault::Nothing,
        Fault::Crash(When::After),
        Fault::LoseAnswer,
        Fault::CancelOutside,
        Fault::EndLease,
        Fault::Fail(ErrorKind::Denied),
    ];
    let mut entries = 0;
    for fault in faults {
        // Those of copying and sending are many, and alike.
        for number in (1..).step_by(3) {
            let world = World::new(number);
            let calls = runtime.block_on(run(&world, fault, number));
            for journal in world.durable().journals {
                let texts: Vec<&String> = journal.entries.values().collect();
                entries += follow(machine, &texts).unwrap_or_else(|what| {
                    panic!("{fault:?} at call {number}: {what}");
                });
            }
            if calls < number || fault == Fault::Nothing {
                break;
            }
        }
    }
    entries
}

/// One migration with one fault, whatever it leaves recovered. Answers how many calls its process made.
async fn run(world: &World, fault: Fault, number: u64) -> u64 {
    world.strike(move |strike| {
        let strikes = strike.process == 1 && strike.number == number && strike.call != Call::Renew;
        if strikes { fault } else { Fault::Nothing }
    });
    let (process, orchestrator) = node(world);
    tokio::select! {
        biased;
        () = process.crashed() => {}
        () = async {
            if orchestrator.start().await.is_ok() {
                orchestrator.ended().await;
            }
        } => {}
    }
    let calls = process.calls();
    world.calm();
    process.crash();
    world.pass(LEASE_TERM + Duration::from_secs(1)).await;
    let (_, other) = node(world);
    other.recover().await.expect("nothing goes wrong any more");
    calls
}

/// Follows a journal through the model's machine.
fn follow(machine: &Machine, texts: &[&String]) -> Result<usize, String> {
    let mut at = machine.begun();
    let mut followed = 0;
    for text in &texts[1..] {
        let entry: JournalEntry = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Some(happened) = small(&entry) else {
            continue;
        };
        at = machine.asked(at, happened).ok_or_else(|| {
            format!(
                "entry {} is no step of the model: {}",
                entry.sequence,
                entry.event.name()
            )
        })?;
        followed += 1;
    }
    Ok(followed)
}

/// An entry in the words of the model; `None` of what it leaves out.
fn small(entry: &JournalEntry) -> Option<Happened> {
    let token = entry
        .token
        .map_or(0, |token| u8::try_from(token.0).expect("few leases"));
    Some(match &entry.event {
        Event::Begun { .. } => Happened::Begun,
        Event::EffectStarted(intent) => {
            let (setting, jobs) = match intent {
                Intent::ReadOnlyOn { before } => (Some(setting(before)), None),
                Intent::QuiesceScheduler { before } => (None, Some(jobs(before))),
                Intent::CopySnapshot { .. } | Intent::Plain(_) => (None, None),
            };
            Happened::Started(EffectId::of(intent.effect()), setting, jobs)
        }
        Event::EffectDone(Fact::ProveReadOnlyHeld {
            found: StillnessProof::SwitchedOff { .. },
        }) => Happened::SwitchedOff,
        Event::EffectDone(fact) => {
            let is_lease = fact.effect() == Effect::AcquireLease;
            Happened::Done(EffectId::of(fact.effect()), if is_lease { token } else { 0 })
        }
        Event::EffectFailed { effect, kind, .. } => {
            // To the domain all others are one.
            let kind = match kind {
                ErrorKind::Cancelled | ErrorKind::Precondition => *kind,
                ErrorKind::NotFound
                | ErrorKind::Conflict
                | ErrorKind::Denied
                | ErrorKind::Unavailable
                | ErrorKind::Corrupt
                | ErrorKind::Unsupported
                | ErrorKind::Exhausted => ErrorKind::Unavailable,
            };
            Happened::Failed(EffectId::of(*effect), kind)
        }
        Event::UploadBegun { .. } => Happened::UploadBegun,
        Event::CancelRequested { .. } => Happened::CancelRequested,
        Event::RowEndedOutside { end } => Happened::RowEnded(*end),
        Event::Recovered { .. } => Happened::Recovered(token),
        Event::RetryRequested => Happened::RetryRequested,
        Event::UndoRequested => Happened::UndoRequested,
        Event::Progressed { .. } | Event::Waiting { .. } | Event::PartArrived { .. } | Event::LeaseLost => {
            return None;
        }
    })
}

fn setting(before: &ReadOnlyBefore) -> Setting {
    if before.value.as_ref() == Some(&before.ours) {
        Setting::Ours
    } else {
        Setting::First
    }
}

fn jobs(before: &PausedBefore) -> Jobs {
    if before.json.contains("sync") {
        Jobs::Paused
    } else {
        Jobs::Run
    }
}
