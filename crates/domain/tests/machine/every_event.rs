//! Every reachable state by every event: legal with what must follow, or refused by name.

use std::collections::BTreeSet;

use metaferry_domain::docs::{STATES, explore};
use metaferry_domain::event::Event;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::plan::{DumpRetention, MigrationPlan, SchedulerPlan};
use metaferry_domain::{Effect, MigrationState, samples};

fn check(plan: MigrationPlan) -> usize {
    let mut pairs = BTreeSet::new();
    let states = explore(plan, |state, event, answer| {
        let name = event.name();
        if let Event::EffectStarted(intent) = event {
            // What is due can be announced, and nothing else.
            assert_eq!(
                answer.is_ok(),
                state.due().contains(&intent.effect()),
                "{name} in {state:?}"
            );
        }
        match answer {
            Ok(transition) => {
                let mut effects = transition.effects.clone();
                effects.retain(|effect| *effect != Effect::WriteProgress);
                assert_eq!(effects, transition.state.due(), "{name} in {state:?}");
                if state.is_terminal() && *event != Event::RetryRequested {
                    assert!(transition.state.is_terminal(), "{name} in {state:?}");
                    assert_eq!(transition.state.name(), state.name(), "{name} in {state:?}");
                }
                if state.is_settled() {
                    let of_release = name.contains("ReleaseLease") || name == "RetryRequested";
                    assert!(
                        of_release || transition.state == *state,
                        "{name} changes {state:?}"
                    );
                }
                assert!(
                    *event != Event::LeaseLost || transition.effects.is_empty(),
                    "{state:?}"
                );
            }
            Err(illegal) => {
                assert_eq!(
                    (illegal.state, illegal.event.as_str()),
                    (state.name(), name.as_str())
                );
                let message = illegal.to_string();
                assert!(
                    message.contains(&name) && message.contains(state.name()),
                    "{message}"
                );
            }
        }
        pairs.insert((state.name(), name));
    });
    let events: BTreeSet<_> = pairs.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(
        pairs.len(),
        events.len() * STATES.len(),
        "not every state was asked every event"
    );
    states
}

#[test]
fn every_state_answers_every_event() {
    assert!(check(MigrationPlan::default()) > 500);
    let bare = MigrationPlan {
        strength: ReadOnlyStrength::None,
        scheduler: SchedulerPlan::LeaveAlone,
        retention: DumpRetention::Keep,
        ..MigrationPlan::default()
    };
    assert!(check(bare) > 100);
}

#[test]
fn announcements_and_facts_without_what_belongs_to_them_are_refused() {
    use metaferry_domain::event::{Fact, Intent};
    use metaferry_domain::next;
    use metaferry_domain::transition::Why;

    let mut state = MigrationState::begun(samples::ID, MigrationPlan::default());
    let mut refused = 0;
    while let Some(&effect) = state.due().first() {
        if let Err(illegal) = next(&state, &Event::EffectStarted(Intent::Plain(effect))) {
            assert_eq!(illegal.why, Why::Incomplete);
            refused += 1;
        }
        state = next(&state, &Event::EffectStarted(samples::intent(effect)))
            .unwrap()
            .state;
        if let Err(illegal) = next(&state, &Event::EffectDone(Fact::Plain(effect))) {
            assert_eq!(illegal.why, Why::Incomplete);
            refused += 1;
        }
        let fact = samples::fact(effect, samples::next_token(&state));
        state = next(&state, &Event::EffectDone(fact)).unwrap().state;
    }
    assert!(matches!(state, MigrationState::Done { .. }));
    assert_eq!(refused, 3 + 10);
}
