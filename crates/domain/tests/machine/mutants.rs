//! The exhaustive check can fail: each of these breaks one rule of the machine, and each is found.

use metaferry_domain::event::{Event, ObjectCheck};
use metaferry_domain::migration::Phase;
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::state::{RowStanding, Tenure};
use metaferry_domain::transition::Why;
use metaferry_domain::undo::Undo;
use metaferry_domain::{Effect, IllegalEvent, MigrationState, Transition, next};

use crate::model::{Check, Next};

type Answer = Result<Transition, IllegalEvent>;

fn found(mutant: Next) -> String {
    let wrong = Check::run(mutant, MigrationPlan::default(), 2).expect_err("the check finds this mutant");
    wrong.lines().next().unwrap_or_default().to_owned()
}

fn run_mut(state: &mut MigrationState) -> &mut metaferry_domain::state::Run {
    match state {
        MigrationState::Init { run, .. }
        | MigrationState::Setup { run, .. }
        | MigrationState::Dump { run, .. }
        | MigrationState::Upload { run, .. }
        | MigrationState::RollingBack { run, .. }
        | MigrationState::Done { run, .. }
        | MigrationState::Error { run, .. }
        | MigrationState::Cancelled { run, .. } => run,
    }
}

/// Goes straight to `to` where the machine would do `skipped`.
fn skip(answer: Answer, skipped: Effect, to: Effect) -> Answer {
    answer.map(|mut transition| {
        if let MigrationState::Setup { at, .. }
        | MigrationState::Dump { at, .. }
        | MigrationState::Upload { at, .. } = &mut transition.state
            && *at == skipped
        {
            *at = to;
        }
        if let MigrationState::Upload { check, .. } = &mut transition.state
            && skipped == Effect::VerifyObject
        {
            *check = Some(ObjectCheck::Verified);
        }
        transition
    })
}

#[test]
fn forgetting_the_scheduler_at_a_cancel_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(event, Event::CancelRequested { .. }) {
            run_mut(&mut transition.state).undo.scheduler = None;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "the switch would go before what it guards");
}

#[test]
fn forgetting_read_only_after_a_crash_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(event, Event::Recovered { .. }) {
            run_mut(&mut transition.state).undo.read_only = None;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "the switch would go before what it guards");
}

#[test]
fn taking_the_switch_away_first_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if let MigrationState::Dump { at, .. } = &mut transition.state
            && *at == Effect::RestoreReadOnly
        {
            *at = Effect::DisarmSwitch;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "the switch would go before what it guards");
}

#[test]
fn forgetting_the_switch_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(event, Event::Recovered { .. }) {
            run_mut(&mut transition.state).undo.switch = None;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "settled, and the switch is not as it must be");
}

#[test]
fn changing_anything_without_a_switch_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        skip(next(state, event), Effect::ArmSwitch, Effect::ReadOnlyOn)
    }
    assert_eq!(
        found(mutant),
        "something would be changed without a switch that puts it back"
    );
}

#[test]
fn taking_a_failure_for_nothing_done_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(
            event,
            Event::EffectFailed {
                effect: Effect::ReadOnlyOn,
                ..
            }
        ) {
            run_mut(&mut transition.state).undo.read_only = None;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "the switch would go before what it guards");
}

#[test]
fn taking_an_ended_row_for_everything_undone_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(event, Event::RowEndedOutside { .. }) {
            run_mut(&mut transition.state).undo = Undo::default();
        }
        Ok(transition)
    }
    assert!(found(mutant).starts_with("settled, and "));
}

#[test]
fn done_without_looking_at_the_object_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        skip(next(state, event), Effect::VerifyObject, Effect::TellStore)
    }
    assert_eq!(found(mutant), "the row says done without a verified object");
}

#[test]
fn done_without_telling_the_store_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        skip(
            next(state, event),
            Effect::TellStore,
            Effect::WriteState(Phase::Done),
        )
    }
    assert_eq!(found(mutant), "the row says done without a verified object");
}

#[test]
fn copying_while_users_write_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        skip(next(state, event), Effect::ReadOnlyOn, Effect::AwaitReadOnly)
    }
    assert_eq!(found(mutant), "the copy would begin before read-only is on");
}

#[test]
fn uploading_while_users_cannot_write_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        skip(next(state, event), Effect::RestoreReadOnly, Effect::FinishDump)
    }
    assert_eq!(found(mutant), "the upload would begin while users cannot write");
}

#[test]
fn an_outcome_that_the_row_does_not_say_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if let MigrationState::RollingBack { run, .. } = &mut transition.state {
            run.row.standing = RowStanding::Closed;
        }
        Ok(transition)
    }
    assert_eq!(found(mutant), "the outcome is final and the row is open");
}

#[test]
fn acting_on_after_the_lease_was_lost_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        let mut transition = next(state, event)?;
        if matches!(event, Event::Recovered { .. })
            && let Tenure::Held(token) = state.run().tenure
        {
            run_mut(&mut transition.state).tenure = Tenure::Held(token);
        }
        Ok(transition)
    }
    assert!(found(mutant).ends_with("would begin without the lease"));
}

#[test]
fn never_trying_again_what_is_stuck_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        if matches!(event, Event::UndoRequested) {
            return Err(IllegalEvent {
                state: state.name(),
                event: event.name(),
                why: Why::NothingStuck,
            });
        }
        next(state, event)
    }
    assert_eq!(found(mutant), "it never comes to rest");
}

#[test]
fn a_cancel_that_is_overheard_is_found() {
    fn mutant(state: &MigrationState, event: &Event) -> Answer {
        if matches!(event, Event::CancelRequested { .. }) {
            return Ok(Transition {
                state: state.clone(),
                effects: state.due(),
            });
        }
        next(state, event)
    }
    assert_eq!(found(mutant), "a cancel was taken, and does not end the attempt");
}
