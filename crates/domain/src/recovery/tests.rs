use super::{Course, course};
use crate::effect::Effect;
use crate::event::{Canceller, Event};
use crate::migration::Phase;
use crate::plan::MigrationPlan;
use crate::samples::{ID, fact, intent, next_token};
use crate::state::MigrationState;
use crate::transition::next;

fn after(state: &MigrationState, event: &Event) -> MigrationState {
    next(state, event).unwrap().state
}

/// The way forward until that effect has begun.
fn until(effect: Effect) -> MigrationState {
    let mut state = MigrationState::begun(ID, MigrationPlan::default());
    loop {
        let due = state.due()[0];
        state = after(&state, &Event::EffectStarted(intent(due)));
        if due == effect {
            return state;
        }
        state = after(&state, &Event::EffectDone(fact(due, next_token(&state))));
    }
}

#[test]
fn what_was_left_in_the_dump_is_undone_and_error_written_last() {
    let Course::Undo { effects } = course(&until(Effect::CopySnapshot)) else {
        panic!("a dump is not gone on with");
    };
    for undoing in [
        Effect::RestoreScheduler,
        Effect::RestoreReadOnly,
        Effect::DisarmSwitch,
        Effect::DeleteDump,
    ] {
        assert!(effects.contains(&undoing), "{effects:?}");
    }
    assert_eq!(
        effects[effects.len() - 2..],
        [Effect::WriteState(Phase::Error), Effect::ReleaseLease]
    );
}

#[test]
fn an_upload_goes_on_from_where_it_stood() {
    assert_eq!(
        course(&until(Effect::VerifyObject)),
        Course::GoOn {
            effects: vec![
                Effect::VerifyObject,
                Effect::TellStore,
                Effect::WriteState(Phase::Done)
            ]
        }
    );
}

#[test]
fn of_a_settled_one_only_the_mark_is_missing() {
    let mut state = after(
        &until(Effect::ReadOnlyOn),
        &Event::CancelRequested {
            by: Canceller::Interrupt,
        },
    );
    state = after(
        &state,
        &Event::EffectDone(fact(Effect::ReadOnlyOn, next_token(&state))),
    );
    let Course::Undo { effects } = course(&state) else {
        panic!("a cancelled one is undone");
    };
    assert_eq!(effects[0], Effect::WriteState(Phase::Cancelled));
    while let Some(due) = state.due().first().copied() {
        state = after(&state, &Event::EffectStarted(intent(due)));
        state = after(&state, &Event::EffectDone(fact(due, next_token(&state))));
    }
    assert_eq!(course(&state), Course::MarkSettled);
}
