//! Early ends: cancelled, failed, ended by somebody else; and what is done and fails while undoing.

use crate::ErrorKind;
use crate::effect::Effect;
use crate::event::{Canceller, Failure, RowEnd};
use crate::migration::Phase;
use crate::state::{CancelledBy, MigrationState, RowStanding};
use crate::transition::forward::{arrive, arrived};
use crate::transition::{Why, is_forward};
use crate::undo::Stuck;

/// A forward state fails: from here on everything owed is undone, and `error` is written last.
pub(super) fn roll_back(state: MigrationState, failure: Failure) -> MigrationState {
    let failed_in = state.phase();
    MigrationState::RollingBack {
        run: state.into_run(),
        failed_in,
        failure,
    }
}

/// An effect of the way forward failed.
pub(super) fn failed_forward(mut state: MigrationState, failure: Failure) -> MigrationState {
    if arrived(&state).is_none() {
        return roll_back(state, failure);
    }
    // The store has everything and was told: undoing is no longer possible, only the row lags behind.
    if failure.kind != ErrorKind::Cancelled {
        state.run_mut().row.stuck = Some(Stuck {
            kind: failure.kind,
            message: failure.message,
        });
    }
    state
}

/// Somebody asks to stop.
pub(super) fn cancel_requested(state: MigrationState, by: &Canceller) -> Result<MigrationState, Why> {
    match &state {
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. } => Ok(cancel(state, CancelledBy::Asked(by.clone()))),
        MigrationState::RollingBack { run, .. } => match run.row.standing {
            RowStanding::Closed => Err(Why::Ended),
            RowStanding::Unsure | RowStanding::Open => Ok(cancel(state, CancelledBy::Asked(by.clone()))),
        },
        // Asked twice: it is being done.
        MigrationState::Cancelled { .. } => Ok(state),
        MigrationState::Done { .. } | MigrationState::Error { .. } => Err(Why::Ended),
    }
}

/// The row was found ended.
pub(super) fn row_ended(mut state: MigrationState, end: RowEnd) -> Result<MigrationState, Why> {
    match state.run().row.standing {
        // Seen late: we wrote it, or know it already.
        RowStanding::Closed if !is_forward(&state) => return Ok(state),
        RowStanding::Closed => return Err(Why::NoOpenRow),
        RowStanding::Unsure | RowStanding::Open => {}
    }
    state.run_mut().row.close();
    match end {
        // Our own write whose answer was lost: it did arrive.
        RowEnd::Done => {
            if let Some(arrived) = arrived(&state) {
                return Ok(arrive(state.into_run(), arrived));
            }
        }
        RowEnd::Error => {
            if let MigrationState::RollingBack { .. } = state {
                return Ok(state);
            }
            if let MigrationState::Cancelled {
                run,
                cancelled_in,
                failure: Some(failure),
                ..
            } = state
            {
                return Ok(MigrationState::Error {
                    run,
                    failed_in: cancelled_in,
                    failure,
                });
            }
        }
        RowEnd::Cancelled | RowEnd::Deleted => {}
    }
    Ok(cancel(state, CancelledBy::Row(end)))
}

fn cancel(state: MigrationState, by: CancelledBy) -> MigrationState {
    let arrived = arrived(&state);
    let cancelled_in = state.phase();
    match state {
        // Who cancelled first stays named.
        MigrationState::Cancelled { .. } => state,
        MigrationState::RollingBack { run, failure, .. } => {
            let run = run.unstuck();
            MigrationState::Cancelled {
                run,
                cancelled_in,
                by,
                failure: Some(failure),
                arrived,
            }
        }
        MigrationState::Init { run, .. }
        | MigrationState::Setup { run, .. }
        | MigrationState::Dump { run, .. }
        | MigrationState::Upload { run, .. }
        | MigrationState::Done { run, .. }
        | MigrationState::Error { run, .. } => MigrationState::Cancelled {
            run: run.unstuck(),
            cancelled_in,
            by,
            failure: None,
            arrived,
        },
    }
}

/// An effect ended well after the attempt had ended: one that undoes, one that writes the end, or one that was
/// running when the end came.
pub(super) fn done(mut state: MigrationState, effect: Effect) -> MigrationState {
    let Effect::WriteState(written) = effect else {
        return state;
    };
    // How the row ended is known already, and stays.
    if state.run().row.standing == RowStanding::Closed {
        return state;
    }
    match written {
        Phase::Cancelled => {
            state.run_mut().row.close();
            state
        }
        Phase::Error => {
            state.run_mut().row.close();
            // The cancel came while `error` was being written: the row says `error`.
            if let MigrationState::Cancelled {
                run,
                cancelled_in,
                failure: Some(failure),
                ..
            } = state
            {
                MigrationState::Error {
                    run,
                    failed_in: cancelled_in,
                    failure,
                }
            } else {
                state
            }
        }
        // The cancel came while `done` was being written: the row says `done`.
        Phase::Done => match arrived(&state) {
            Some(arrived) => arrive(state.into_run(), arrived),
            None => state,
        },
        Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload => state,
    }
}

/// An effect failed after the attempt had ended: what undoes stays owed, what was running has stopped.
pub(super) fn failed(mut state: MigrationState, effect: Effect, failure: Failure) -> MigrationState {
    // It was stopped together with everything else, not beyond its retries: due again at once.
    if failure.kind == ErrorKind::Cancelled {
        return state;
    }
    let stuck = Stuck {
        kind: failure.kind,
        message: failure.message,
    };
    let writes_end = match &state {
        MigrationState::RollingBack { .. } => effect == Effect::WriteState(Phase::Error),
        MigrationState::Cancelled { .. } => effect == Effect::WriteState(Phase::Cancelled),
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. } => false,
    };
    let run = state.run_mut();
    if writes_end {
        if run.row.standing != RowStanding::Closed {
            run.row.stuck = Some(stuck);
        }
    } else {
        run.undo.failed(effect, stuck);
    }
    state
}

/// Rolling back ends when all that can be undone is undone and the row needs no more writing.
pub(super) fn written_last(state: MigrationState) -> MigrationState {
    let run = state.run();
    let is_over = run.undo.is_rested() && run.row.standing == RowStanding::Closed && run.running.is_empty();
    match state {
        MigrationState::RollingBack {
            run,
            failed_in,
            failure,
        } if is_over => MigrationState::Error {
            run,
            failed_in,
            failure,
        },
        MigrationState::RollingBack { .. }
        | MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => state,
    }
}
