//! Who may go on: what the lease allows, taking over after a crash, another attempt, undoing once more.

use crate::ErrorKind;
use crate::effect::Effect;
use crate::event::{Event, Failure, FailureCause};
use crate::lease::FencingToken;
use crate::migration::Attempt;
use crate::state::{MigrationState, Row, RowStanding, Run, Tenure};
use crate::transition::{Why, ending};

/// What the lease allows: who lost it changes nothing, and after it was given back only a retry comes.
pub(super) fn admit(state: &MigrationState, event: &Event) -> Result<(), Why> {
    let recovers = matches!(event, Event::Recovered { .. });
    let of_release = match event {
        Event::EffectDone(fact) => fact.effect() == Effect::ReleaseLease,
        Event::EffectFailed { effect, .. } => *effect == Effect::ReleaseLease,
        Event::RetryRequested | Event::Begun { .. } => true,
        Event::EffectStarted(_)
        | Event::Progressed { .. }
        | Event::Waiting { .. }
        | Event::UploadBegun { .. }
        | Event::PartArrived { .. }
        | Event::CancelRequested { .. }
        | Event::RowEndedOutside { .. }
        | Event::LeaseLost
        | Event::Recovered { .. }
        | Event::UndoRequested => false,
    };
    match state.run().tenure {
        Tenure::Lost(_) if !recovers => Err(Why::LeaseLost),
        Tenure::Released(_) if !of_release => Err(Why::Settled),
        Tenure::NotYet | Tenure::Held(_) | Tenure::Lost(_) | Tenure::Released(_) => Ok(()),
    }
}

pub(super) fn lease_lost(mut state: MigrationState) -> Result<MigrationState, Why> {
    let run = state.run_mut();
    match run.tenure {
        Tenure::Held(token) => {
            run.tenure = Tenure::Lost(token);
            run.running.clear();
            Ok(state)
        }
        Tenure::NotYet | Tenure::Lost(_) | Tenure::Released(_) => Err(Why::NoLease),
    }
}

pub(super) fn recovered(
    mut state: MigrationState,
    attempt: Attempt,
    token: FencingToken,
) -> Result<MigrationState, Why> {
    if state.is_settled() {
        return Err(Why::Settled);
    }
    let run = state.run_mut();
    if run.attempt != attempt {
        return Err(Why::OtherAttempt);
    }
    run.hold(token).ok_or(Why::StaleToken)?;
    run.running.clear();
    run.undo.try_again();
    run.row.stuck = None;
    Ok(match state {
        MigrationState::Init { .. } | MigrationState::Setup { .. } | MigrationState::Dump { .. } => {
            let phase = state.phase();
            let failure = Failure {
                cause: FailureCause::Crash(phase),
                kind: ErrorKind::Unavailable,
                message: format!("the process that migrated ended in {phase}"),
            };
            ending::roll_back(state, failure)
        }
        // The dump is complete and verified: the upload goes on where it stood.
        MigrationState::Upload { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => state,
    })
}

pub(super) fn retry(state: &MigrationState) -> Result<MigrationState, Why> {
    match state {
        MigrationState::Error { run, .. } | MigrationState::Cancelled { run, .. } => {
            if !state.is_settled() {
                return Err(Why::NotSettled);
            }
            let MigrationState::Init { run: fresh, at } = MigrationState::begun(run.id, run.plan.clone())
            else {
                return Err(Why::NotRetryable);
            };
            Ok(MigrationState::Init {
                run: Run {
                    attempt: Attempt(run.attempt.0.saturating_add(1)),
                    newest_token: run.newest_token,
                    row: Row {
                        id: run.row.id,
                        standing: RowStanding::Closed,
                        stuck: None,
                    },
                    ..fresh
                },
                at,
            })
        }
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Done { .. } => Err(Why::NotRetryable),
    }
}

pub(super) fn undo_again(mut state: MigrationState) -> Result<MigrationState, Why> {
    let run = state.run_mut();
    if !run.is_stuck() {
        return Err(Why::NothingStuck);
    }
    run.undo.try_again();
    run.row.stuck = None;
    Ok(state)
}
