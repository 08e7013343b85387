//! Properties of random histories: a journal that grows by whatever is legal.

use std::collections::BTreeSet;

use metaferry_domain::event::Event;
use metaferry_domain::journal::{JournalEntry, ReplayError, VERSION, replay};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Attempt, ReadOnlyStrength};
use metaferry_domain::plan::{DumpRetention, MigrationPlan, SchedulerPlan, Strictness};
use metaferry_domain::{Effect, MigrationState, next, samples};
use proptest::prelude::*;

fn plans() -> impl Strategy<Value = MigrationPlan> {
    (
        prop_oneof![
            Just(ReadOnlyStrength::Flag),
            Just(ReadOnlyStrength::Enforced),
            Just(ReadOnlyStrength::None)
        ],
        prop_oneof![Just(SchedulerPlan::Quiesce), Just(SchedulerPlan::LeaveAlone)],
        prop_oneof![Just(DumpRetention::Delete), Just(DumpRetention::Keep)],
        prop_oneof![Just(Strictness::Lenient), Just(Strictness::Strict)],
    )
        .prop_map(|(strength, scheduler, retention, strictness)| MigrationPlan {
            strength,
            scheduler,
            retention,
            strictness,
            scope: None,
        })
}

fn entry(state: &MigrationState, sequence: u64, event: Event) -> JournalEntry {
    let run = state.run();
    JournalEntry {
        version: VERSION,
        sequence,
        at_ms: sequence,
        attempt: run.attempt,
        token: run.tenure.token(),
        event,
    }
}

/// What may happen next. The way forward comes twice, so that histories get somewhere; a lost lease is never
/// written to a journal.
fn legal(state: &MigrationState) -> Vec<(Event, MigrationState)> {
    let mut events = samples::events(state);
    for effect in state.due() {
        events.push(Event::EffectStarted(samples::intent(effect)));
    }
    for effect in &state.run().running {
        for _ in 0..3 {
            events.push(Event::EffectDone(samples::fact(
                *effect,
                samples::next_token(state),
            )));
        }
    }
    for percent in [0, 10, 99, 100] {
        events.push(Event::Progressed {
            effect: Effect::UploadDump,
            percent,
        });
        events.push(Event::Progressed {
            effect: Effect::CopySnapshot,
            percent,
        });
    }
    events.retain(|event| *event != Event::LeaseLost);
    events
        .into_iter()
        .filter_map(|event| {
            next(state, &event)
                .ok()
                .map(|transition| (event, transition.state))
        })
        .collect()
}

/// A history: every state with the event that led to it; the first with `Begun`.
fn history(plan: MigrationPlan, choices: &[usize]) -> Vec<(Event, MigrationState)> {
    let begun = MigrationState::begun(samples::ID, plan.clone());
    let mut history = vec![(
        Event::Begun {
            id: samples::ID,
            plan,
        },
        begun,
    )];
    for choice in choices {
        let (_, state) = &history[history.len() - 1];
        let mut ways = legal(state);
        if ways.is_empty() {
            break;
        }
        history.push(ways.swap_remove(choice % ways.len()));
    }
    history
}

fn histories() -> impl Strategy<Value = Vec<(Event, MigrationState)>> {
    (plans(), proptest::collection::vec(0usize..10_000, 1..120))
        .prop_map(|(plan, choices)| history(plan, &choices))
}

fn undoing(effect: Effect) -> Option<Effect> {
    match effect {
        Effect::ArmSwitch => Some(Effect::DisarmSwitch),
        Effect::ReadOnlyOn => Some(Effect::RestoreReadOnly),
        Effect::QuiesceScheduler => Some(Effect::RestoreScheduler),
        Effect::CopySnapshot => Some(Effect::DeleteDump),
        Effect::UploadDump => Some(Effect::AbortUpload),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn progress_never_falls_within_an_attempt(history in histories()) {
        for pair in history.windows(2) {
            let (before, after) = (pair[0].1.run(), pair[1].1.run());
            if before.attempt == after.attempt {
                prop_assert!(before.progress <= after.progress);
            } else {
                prop_assert_eq!(after.attempt, Attempt(before.attempt.0 + 1));
                prop_assert_eq!(after.progress.percent(), 0);
            }
            prop_assert!(after.progress.percent() <= 100);
            prop_assert_eq!(after.progress.percent() == 100, pair[1].1.name() == "Done");
        }
    }

    #[test]
    fn terminal_is_terminal_but_for_a_retry(history in histories()) {
        for pair in history.windows(2) {
            if pair[0].1.is_terminal() && pair[1].0 != Event::RetryRequested {
                prop_assert_eq!(pair[0].1.name(), pair[1].1.name());
                prop_assert!(pair[1].1.is_terminal());
            }
        }
    }

    #[test]
    fn any_prefix_of_a_journal_replays_to_the_state_it_had(history in histories()) {
        let entries: Vec<_> = (1..).zip(&history).map(|(sequence, (event, state))| entry(state, sequence, event.clone())).collect();
        // Every entry survives being written and read.
        let json: Vec<_> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let read: Vec<JournalEntry> = json.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        for (length, (_, state)) in (1..).zip(&history) {
            prop_assert_eq!(&replay(&read[..length]).unwrap(), state);
        }
    }

    #[test]
    fn exactly_what_was_done_or_may_have_been_is_undone(history in histories()) {
        let mut owed = BTreeSet::new();
        for (event, state) in &history {
            match event {
                Event::EffectStarted(intent) => {
                    owed.extend(undoing(intent.effect()));
                    let effect = intent.effect();
                    let undoes = [Effect::AbortUpload, Effect::DeleteDump, Effect::RestoreScheduler, Effect::RestoreReadOnly, Effect::DisarmSwitch];
                    prop_assert!(!undoes.contains(&effect) || owed.contains(&effect), "{} of nothing", effect);
                }
                Event::EffectDone(fact) => {
                    owed.remove(&fact.effect());
                    if fact.effect() == Effect::UploadDump {
                        owed.remove(&Effect::AbortUpload);
                    }
                }
                _ => {}
            }
            if state.name() == "Done" && state.run().plan.retention == DumpRetention::Keep {
                owed.remove(&Effect::DeleteDump);
            }
            let known: BTreeSet<_> = state.run().undo.owed().into_iter().map(|(effect, _)| effect).collect();
            prop_assert_eq!(&known, &owed);
            prop_assert!(!state.is_settled() || owed.is_empty());
        }
    }
}

fn three_entries() -> Vec<JournalEntry> {
    let history = history(MigrationPlan::default(), &[]);
    let (begun, state) = &history[0];
    let started = Event::EffectStarted(samples::intent(Effect::Preflight));
    let failed = samples::failed(Effect::Preflight, metaferry_domain::ErrorKind::Denied);
    vec![
        entry(state, 1, begun.clone()),
        entry(state, 2, started),
        entry(state, 3, failed),
    ]
}

#[test]
fn a_journal_that_is_none_is_refused_with_the_entry() {
    let spoiled = |spoil: fn(&mut Vec<JournalEntry>)| {
        let mut entries = three_entries();
        spoil(&mut entries);
        replay(&entries).unwrap_err()
    };
    assert!(replay(&three_entries()).unwrap().is_settled());
    assert_eq!(replay(&[]), Err(ReplayError::Empty));
    assert_eq!(
        spoiled(|entries| entries[1].version = 2),
        ReplayError::Version {
            sequence: 2,
            version: 2
        }
    );
    assert_eq!(
        spoiled(|entries| drop(entries.remove(1))),
        ReplayError::Gap {
            expected: 2,
            found: 3
        }
    );
    assert!(matches!(
        spoiled(|entries| drop(entries.remove(0))),
        ReplayError::Gap {
            expected: 1,
            found: 2
        }
    ));
    assert!(matches!(
        spoiled(|entries| entries[0].event = Event::LeaseLost),
        ReplayError::NotBegun { .. }
    ));
    assert!(matches!(
        spoiled(|entries| entries[2].attempt = Attempt(2)),
        ReplayError::Attempt {
            sequence: 3,
            expected: 1,
            found: 2
        }
    ));
    assert!(matches!(
        spoiled(|entries| {
            entries[1].token = Some(FencingToken(5));
            entries[2].token = Some(FencingToken(4));
        }),
        ReplayError::StaleToken { sequence: 3, .. }
    ));
    let twice = spoiled(|entries| entries[2].event = entries[1].event.clone());
    assert_eq!(
        twice.to_string(),
        "entry 3 cannot be: EffectStarted(Preflight) is illegal in state Init: the effect is not due"
    );
}

/// The shape of an entry is a promise to every later version.
#[test]
fn an_entry_of_version_1_reads_the_same_for_ever() {
    let json = r#"{"version":1,"sequence":1,"at_ms":5,"attempt":1,"token":null,"event":{"begun":{
        "id":"00000000-0000-0000-0000-000000000001",
        "plan":{"strength":"flag","scheduler":"quiesce","retention":"delete","strictness":"lenient"}}}}"#;
    let read: JournalEntry = serde_json::from_str(json).unwrap();
    assert_eq!(
        read.event,
        Event::Begun {
            id: samples::ID,
            plan: MigrationPlan::default()
        }
    );
    let json = r#"{"version":1,"sequence":2,"at_ms":6,"attempt":1,"token":7,"event":{"effect_failed":{
        "effect":{"write_state":"setup"},"kind":"unavailable","message":"no answer"}}}"#;
    let read: JournalEntry = serde_json::from_str(json).unwrap();
    assert_eq!(read.event.name(), "EffectFailed(WriteState(setup))");
    assert_eq!(read.token, Some(FencingToken(7)));
}
