//! Single facts, each a short history with its end.

use metaferry_domain::event::{Canceller, Event, Fact, FailureCause, RowEnd, StillnessProof};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Attempt, Phase, ReadOnlyStrength};
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::plan::{DumpRetention, MigrationPlan, Strictness};
use metaferry_domain::ports::PartReceipt;
use metaferry_domain::state::Tenure;
use metaferry_domain::{Effect, ErrorClass, ErrorKind, MigrationState, next, samples};

fn after(state: &MigrationState, event: &Event) -> MigrationState {
    next(state, event)
        .unwrap_or_else(|illegal| panic!("{illegal}"))
        .state
}

fn started(state: &MigrationState, effect: Effect) -> MigrationState {
    after(state, &Event::EffectStarted(samples::intent(effect)))
}

fn done(state: &MigrationState, effect: Effect) -> MigrationState {
    after(
        state,
        &Event::EffectDone(samples::fact(effect, samples::next_token(state))),
    )
}

fn failed(state: &MigrationState, effect: Effect) -> MigrationState {
    after(state, &samples::failed(effect, ErrorKind::Unavailable))
}

fn performed(state: &MigrationState, effect: Effect) -> MigrationState {
    done(&started(state, effect), effect)
}

/// The way forward until `effect` runs.
fn running(plan: MigrationPlan, effect: Effect) -> MigrationState {
    let mut state = MigrationState::begun(samples::ID, plan);
    loop {
        let due = state.due()[0];
        if due == effect {
            return started(&state, effect);
        }
        state = performed(&state, due);
    }
}

/// Everything that is due is performed, until nothing is.
fn performed_all(mut state: MigrationState) -> MigrationState {
    while let Some(&effect) = state.due().first() {
        state = performed(&state, effect);
    }
    state
}

fn cancel(state: &MigrationState) -> MigrationState {
    after(
        state,
        &Event::CancelRequested {
            by: Canceller::Interrupt,
        },
    )
}

fn recover(state: &MigrationState) -> MigrationState {
    after(
        state,
        &Event::Recovered {
            attempt: state.run().attempt,
            token: samples::next_token(state),
        },
    )
}

fn part(number: u32) -> Event {
    let receipt = PartReceipt {
        number: PartNumber(number),
        etag: format!("\"{number}\""),
        size_bytes: 100_000_000,
    };
    Event::PartArrived {
        upload_id: "upload".into(),
        receipt,
    }
}

#[test]
fn users_write_and_jobs_run_again_while_a_cancelled_copy_is_still_stopping() {
    let state = cancel(&running(MigrationPlan::default(), Effect::CopySnapshot));
    let cancelled = Effect::WriteState(Phase::Cancelled);
    assert_eq!(
        state.due(),
        [cancelled, Effect::RestoreScheduler, Effect::RestoreReadOnly]
    );
    assert_eq!(state.phase(), Phase::Cancelled);
    // Only the file has to wait for whoever still writes it.
    let state = after(
        &state,
        &samples::failed(Effect::CopySnapshot, ErrorKind::Cancelled),
    );
    assert_eq!(
        state.due(),
        [
            cancelled,
            Effect::DeleteDump,
            Effect::RestoreScheduler,
            Effect::RestoreReadOnly
        ]
    );
    assert!(!state.is_settled());
    assert!(performed_all(state).is_settled());
}

#[test]
fn a_row_ended_outside_is_terminal_at_once_while_undoing_still_runs() {
    let state = running(MigrationPlan::default(), Effect::AwaitRunningJobs);
    let state = after(
        &state,
        &Event::RowEndedOutside {
            end: RowEnd::Cancelled,
        },
    );
    assert!(state.is_terminal() && !state.is_settled());
    assert_eq!(state.due(), [Effect::RestoreScheduler, Effect::RestoreReadOnly]);
}

#[test]
fn a_failure_is_undone_first_and_error_is_written_last() {
    let mut state = failed(
        &running(MigrationPlan::default(), Effect::FinishDump),
        Effect::FinishDump,
    );
    assert_eq!((state.name(), state.phase()), ("RollingBack", Phase::Dump));
    let mut order = Vec::new();
    while let Some(&effect) = state.due().first() {
        order.push(effect);
        state = performed(&state, effect);
    }
    assert_eq!(
        order,
        [
            Effect::DeleteDump,
            Effect::WriteState(Phase::Error),
            Effect::ReleaseLease
        ]
    );
    assert_eq!(state.failure().unwrap().class(), Some(ErrorClass::Network));
    assert_eq!(state.run().progress.percent(), 44);
}

#[test]
fn a_compensation_that_fails_blocks_no_other_and_stays_owed() {
    let state = failed(
        &running(MigrationPlan::default(), Effect::AwaitRunningJobs),
        Effect::AwaitRunningJobs,
    );
    let state = failed(
        &started(&state, Effect::RestoreScheduler),
        Effect::RestoreScheduler,
    );
    assert_eq!(state.due(), [Effect::RestoreReadOnly]);
    let state = performed_all(state);
    assert!(state.run().undo.switch.is_some(), "it guards what is stuck");
    // The row says error, and still the migration is not settled: the lease is kept.
    assert_eq!(state.name(), "Error");
    assert!(state.is_terminal() && !state.is_settled() && state.run().is_stuck());
    assert!(matches!(state.run().tenure, Tenure::Held(_)));
    let state = after(&state, &Event::UndoRequested);
    assert_eq!(state.due(), [Effect::RestoreScheduler]);
    assert!(performed_all(state).is_settled());
}

#[test]
fn resumes_upload_after_crash_between_parts() {
    let state = running(MigrationPlan::default(), Effect::UploadDump);
    let begun = Event::UploadBegun {
        upload_id: "upload".into(),
        part_size_bytes: 100_000_000,
    };
    let state = after(&after(&after(&state, &begun), &part(2)), &part(1));
    let state = recover(&state);
    assert_eq!((state.name(), state.due()), ("Upload", vec![Effect::UploadDump]));
    let memory = state.run().undo.upload.clone().unwrap().remembered.unwrap();
    assert_eq!(
        memory.parts.iter().map(|part| part.number.0).collect::<Vec<_>>(),
        [1, 2]
    );
    let state = after(&started(&state, Effect::UploadDump), &part(3));
    assert_eq!(performed_all(done(&state, Effect::UploadDump)).name(), "Done");
}

#[test]
fn a_crash_before_the_upload_is_rolled_back_whatever_was_reached() {
    for effect in [
        Effect::ReadOnlyOn,
        Effect::CopySnapshot,
        Effect::WriteState(Phase::Upload),
    ] {
        let state = recover(&running(MigrationPlan::default(), effect));
        assert_eq!(state.name(), "RollingBack", "{effect}");
        assert!(matches!(state.failure().unwrap().cause, FailureCause::Crash(_)));
        assert_eq!(state.failure().unwrap().class(), None);
        let state = performed_all(state);
        assert!(state.is_settled() && state.name() == "Error", "{effect}");
    }
}

#[test]
fn who_lost_the_lease_changes_nothing_any_more() {
    let state = after(
        &running(MigrationPlan::default(), Effect::CopySnapshot),
        &Event::LeaseLost,
    );
    assert!(state.due().is_empty() && !state.is_settled());
    for event in samples::events(&state) {
        let recovers = matches!(
            event,
            Event::Recovered {
                attempt: Attempt(1),
                ..
            }
        );
        assert_eq!(next(&state, &event).is_ok(), recovers, "{}", event.name());
    }
    let stale = Event::Recovered {
        attempt: Attempt(1),
        token: FencingToken(1),
    };
    assert!(next(&state, &stale).is_err());
}

#[test]
fn a_retry_begins_anew_on_the_same_row_with_another_attempt() {
    let state = performed_all(cancel(&running(MigrationPlan::default(), Effect::TellStore)));
    // The effect that was running has not ended: nothing is settled, and no retry begins.
    assert!(next(&state, &Event::RetryRequested).is_err());
    let state = performed_all(failed(&state, Effect::TellStore));
    let state = after(&state, &Event::RetryRequested);
    let run = state.run();
    assert_eq!(
        (run.attempt, run.progress.percent(), run.shore.as_ref()),
        (Attempt(2), 0, None)
    );
    assert!(run.row.id.is_some());
    assert_eq!(state.due(), [Effect::Preflight]);
    assert_eq!(performed_all(state).name(), "Done");
}

#[test]
fn a_lost_answer_to_the_last_write_is_not_undone() {
    let keep = MigrationPlan {
        retention: DumpRetention::Keep,
        ..MigrationPlan::default()
    };
    let last = Effect::WriteState(Phase::Done);
    let state = failed(&running(keep, last), last);
    // The store has everything and knows it; only the row lags behind.
    assert!(state.due().is_empty() && state.run().is_stuck());
    let found = after(&state, &Event::RowEndedOutside { end: RowEnd::Done });
    assert_eq!(found.name(), "Done");
    let again = performed_all(after(&state, &Event::UndoRequested));
    assert!(again.is_settled() && again.name() == "Done");
    // A cancel meanwhile must not delete a dump that is to be kept before it knows how the row ended.
    let cancelled = recover(&cancel(&state));
    assert_eq!(cancelled.due(), [Effect::WriteState(Phase::Cancelled)]);
    assert_eq!(
        after(&cancelled, &Event::RowEndedOutside { end: RowEnd::Done }).name(),
        "Done"
    );
}

#[test]
fn writes_during_the_dump_weigh_by_strength_and_strictness() {
    let weighed = |strength, strictness, found| {
        let plan = MigrationPlan {
            strength,
            strictness,
            ..MigrationPlan::default()
        };
        let state = running(plan, Effect::ProveReadOnlyHeld);
        after(&state, &Event::EffectDone(Fact::ProveReadOnlyHeld { found }))
    };
    let written = || StillnessProof::WrittenTo {
        tables: vec!["report_card (2 rows)".into()],
    };
    let warned = weighed(ReadOnlyStrength::Flag, Strictness::Lenient, written());
    assert_eq!(warned.name(), "Dump");
    assert_eq!(
        warned.run().warnings,
        ["written to during the dump, although read-only: report_card (2 rows)"]
    );
    assert_eq!(
        weighed(ReadOnlyStrength::Flag, Strictness::Strict, written()).name(),
        "RollingBack"
    );
    assert_eq!(
        weighed(ReadOnlyStrength::Enforced, Strictness::Lenient, written()).name(),
        "RollingBack"
    );
    let off = StillnessProof::SwitchedOff {
        value: Some("false".into()),
    };
    let rolled_back = weighed(ReadOnlyStrength::Flag, Strictness::Lenient, off);
    assert_eq!(
        rolled_back.due(),
        [
            Effect::DeleteDump,
            Effect::RestoreScheduler,
            Effect::RestoreReadOnly
        ]
    );
}

#[test]
fn progress_rises_with_the_work_and_asks_to_be_written_when_the_number_changes() {
    let state = running(MigrationPlan::default(), Effect::UploadDump);
    let progressed = |state, percent| {
        next(
            state,
            &Event::Progressed {
                effect: Effect::UploadDump,
                percent,
            },
        )
        .unwrap()
    };
    let half = progressed(&state, 50);
    assert_eq!(
        (half.state.run().progress.percent(), half.effects),
        (75, vec![Effect::WriteProgress])
    );
    let same = progressed(&half.state, 51);
    assert!(same.effects.is_empty());
    // An upload that begins again does not take the number back.
    let again = progressed(&started(&recover(&half.state), Effect::UploadDump), 0);
    assert_eq!(again.state.run().progress.percent(), 75);
    assert_eq!(half.state.progress_written(Phase::Done), 100);
    assert_eq!(half.state.progress_written(Phase::Error), 75);
}

#[test]
fn an_effect_that_could_not_be_announced_fails_without_owing_anything() {
    let state = done(
        &running(MigrationPlan::default(), Effect::ArmSwitch),
        Effect::ArmSwitch,
    );
    assert_eq!(state.due(), [Effect::ReadOnlyOn]);
    let state = failed(&state, Effect::ReadOnlyOn);
    assert_eq!(
        (state.name(), state.due()),
        ("RollingBack", vec![Effect::DisarmSwitch])
    );
}
