//! The one function that decides: from a state and what happened to the next state and what is due.
//!
//! It reads no clock, draws no random number and performs nothing. Whoever performs effects announces each in the
//! journal, performs it, and appends how it ended; replaying the journal through this function gives the state
//! again ([`crate::journal::replay`]).

mod ending;
mod forward;

use thiserror::Error;

use crate::effect::Effect;
use crate::event::{Event, Fact, Failure, FailureCause, Intent};
use crate::lease::FencingToken;
use crate::migration::Attempt;
use crate::progress::Progress;
use crate::state::{MigrationState, Row, RowStanding, Run, Shore, Tenure};
use crate::undo::{Debt, UploadMemory};

/// What one event brings about.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The next state.
    pub state: MigrationState,
    /// Everything that is due now, in order: it replaces what any earlier transition asked for. An effect stays
    /// due until it is announced as started; those that undo are independent of each other, and one that fails
    /// never keeps the next from being performed. [`Effect::WriteProgress`] comes first and is not announced.
    pub effects: Vec<Effect>,
}

/// An event that cannot happen in a state. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{event} is illegal in state {state}: {why}")]
pub struct IllegalEvent {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: String,
    /// Why.
    pub why: Why,
}

/// Why an event is illegal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Why {
    /// A migration begins once.
    #[error("a migration begins once")]
    BegunAlready,
    /// The effect is not due.
    #[error("the effect is not due")]
    NotDue,
    /// The effect was not announced, or has ended.
    #[error("the effect is not running")]
    NotRunning,
    /// The announcement or the fact lacks what belongs to its effect.
    #[error("it lacks what belongs to its effect")]
    Incomplete,
    /// That effect does not tell how far it is.
    #[error("that effect has no progress of its own")]
    NoProgress,
    /// The part is of another upload than the one that runs.
    #[error("the part belongs to another upload")]
    OtherUpload,
    /// No row of ours is open.
    #[error("no row is open")]
    NoOpenRow,
    /// The outcome is written.
    #[error("the migration has ended")]
    Ended,
    /// The lease was lost: only recovery under a newer one may go on.
    #[error("the lease was lost: recover first")]
    LeaseLost,
    /// No lease is held.
    #[error("no lease is held")]
    NoLease,
    /// Everything is settled.
    #[error("everything is settled")]
    Settled,
    /// Something is still owed.
    #[error("not everything is undone yet")]
    NotSettled,
    /// Nothing failed to be undone.
    #[error("nothing is stuck")]
    NothingStuck,
    /// Only `error` and `cancelled` are retried.
    #[error("only an ended attempt that did not arrive is retried")]
    NotRetryable,
    /// The attempt is not the present one.
    #[error("it is about another attempt")]
    OtherAttempt,
    /// Tokens only grow.
    #[error("its token is not above the one before")]
    StaleToken,
}

/// The next state and what is due, given what happened.
///
/// # Errors
/// [`IllegalEvent`] if that cannot happen in this state.
pub fn next(state: &MigrationState, event: &Event) -> Result<Transition, IllegalEvent> {
    let illegal = |why| IllegalEvent {
        state: state.name(),
        event: event.name(),
        why,
    };
    admit(state, event).map_err(illegal)?;
    let next = match event {
        Event::Begun { .. } => Err(Why::BegunAlready),
        Event::EffectStarted(intent) => started(state.clone(), intent),
        Event::EffectDone(fact) => done(state.clone(), fact),
        Event::EffectFailed {
            effect,
            kind,
            message,
        } => {
            let failure = Failure {
                cause: FailureCause::Effect(*effect),
                kind: *kind,
                message: message.clone(),
            };
            failed(state.clone(), *effect, failure)
        }
        Event::Progressed { effect, percent } => progressed(state.clone(), *effect, *percent),
        Event::UploadBegun {
            upload_id,
            part_size_bytes,
        } => {
            let memory = UploadMemory {
                upload_id: upload_id.clone(),
                part_size_bytes: *part_size_bytes,
                parts: Vec::new(),
            };
            remember_upload(state.clone(), |slot| {
                *slot = Some(memory);
                Ok(())
            })
        }
        Event::PartArrived { upload_id, receipt } => remember_upload(state.clone(), |slot| match slot {
            Some(memory) if memory.upload_id == *upload_id => {
                memory.take(receipt);
                Ok(())
            }
            Some(_) | None => Err(Why::OtherUpload),
        }),
        Event::CancelRequested { by } => ending::cancel_requested(state.clone(), by),
        Event::RowEndedOutside { end } => ending::row_ended(state.clone(), *end),
        Event::LeaseLost => lease_lost(state.clone()),
        Event::Recovered { attempt, token } => recovered(state.clone(), *attempt, *token),
        Event::RetryRequested => retry(state),
        Event::UndoRequested => undo_again(state.clone()),
    }
    .map_err(illegal)?;
    let next = ending::written_last(next);
    let mut effects = next.due();
    if tells_progress(state, &next) {
        effects.insert(0, Effect::WriteProgress);
    }
    Ok(Transition { state: next, effects })
}

/// What the lease allows: who lost it changes nothing, and after it was given back only a retry comes.
fn admit(state: &MigrationState, event: &Event) -> Result<(), Why> {
    let recovers = matches!(event, Event::Recovered { .. });
    let of_release = match event {
        Event::EffectDone(fact) => fact.effect() == Effect::ReleaseLease,
        Event::EffectFailed { effect, .. } => *effect == Effect::ReleaseLease,
        Event::RetryRequested | Event::Begun { .. } => true,
        Event::EffectStarted(_)
        | Event::Progressed { .. }
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

fn started(mut state: MigrationState, intent: &Intent) -> Result<MigrationState, Why> {
    let effect = intent.effect();
    if !state.due().contains(&effect) {
        return Err(Why::NotDue);
    }
    let run = state.run_mut();
    match intent {
        Intent::ReadOnlyOn { before } => run.undo.read_only = Some(Debt::new(before.clone())),
        Intent::QuiesceScheduler { before } => run.undo.scheduler = Some(Debt::new(before.clone())),
        Intent::CopySnapshot { file } => run.undo.dump = Some(Debt::new(file.clone())),
        Intent::Plain(Effect::ReadOnlyOn | Effect::QuiesceScheduler | Effect::CopySnapshot) => {
            return Err(Why::Incomplete);
        }
        Intent::Plain(Effect::InsertRow) => run.row.standing = RowStanding::Unsure,
        // Parts that an earlier process sent stay known: the upload goes on with them.
        Intent::Plain(Effect::UploadDump) => {
            run.undo.upload.get_or_insert_with(|| Debt::new(None));
        }
        Intent::Plain(Effect::ReleaseLease) => {
            let token = run.tenure.token().ok_or(Why::NoLease)?;
            run.tenure = Tenure::Released(token);
        }
        Intent::Plain(
            Effect::Preflight
            | Effect::AcquireLease
            | Effect::CreateAtStore
            | Effect::StoreUndoScript
            | Effect::AwaitReadOnly
            | Effect::AwaitRunningJobs
            | Effect::ProveReadOnlyHeld
            | Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::FinishDump
            | Effect::VerifyObject
            | Effect::TellStore
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::WriteProgress,
        ) => {}
    }
    run.running.insert(effect);
    Ok(state)
}

fn done(mut state: MigrationState, fact: &Fact) -> Result<MigrationState, Why> {
    if !state.run_mut().running.remove(&fact.effect()) {
        return Err(Why::NotRunning);
    }
    is_complete(fact)?;
    note(state.run_mut(), fact)?;
    match state {
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. } => forward::done(state, fact),
        MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => Ok(ending::done(state, fact.effect())),
    }
}

fn is_complete(fact: &Fact) -> Result<(), Why> {
    match fact {
        Fact::Plain(
            Effect::AcquireLease
            | Effect::CreateAtStore
            | Effect::InsertRow
            | Effect::StoreUndoScript
            | Effect::CopySnapshot
            | Effect::ProveReadOnlyHeld
            | Effect::FinishDump
            | Effect::UploadDump
            | Effect::VerifyObject,
        ) => Err(Why::Incomplete),
        Fact::Plain(_)
        | Fact::AcquireLease { .. }
        | Fact::CreateAtStore { .. }
        | Fact::InsertRow { .. }
        | Fact::StoreUndoScript { .. }
        | Fact::CopySnapshot { .. }
        | Fact::ProveReadOnlyHeld { .. }
        | Fact::FinishDump { .. }
        | Fact::UploadDump { .. }
        | Fact::VerifyObject { .. } => Ok(()),
    }
}

/// What a fact changes whatever the state: an effect that ends after a cancel has still happened.
fn note(run: &mut Run, fact: &Fact) -> Result<(), Why> {
    match fact {
        Fact::AcquireLease { token } => run.hold(*token).ok_or(Why::StaleToken)?,
        Fact::CreateAtStore {
            destination,
            external_id,
        } => {
            run.shore = Some(Shore {
                destination: destination.clone(),
                external_id: external_id.clone(),
            });
        }
        Fact::InsertRow { row } => {
            run.row.id = Some(*row);
            if run.row.standing == RowStanding::Unsure {
                run.row.standing = RowStanding::Open;
            }
        }
        Fact::UploadDump { .. } => run.undo.upload = None,
        Fact::Plain(effect) => run.undo.paid(*effect),
        Fact::StoreUndoScript { .. }
        | Fact::CopySnapshot { .. }
        | Fact::ProveReadOnlyHeld { .. }
        | Fact::FinishDump { .. }
        | Fact::VerifyObject { .. } => {}
    }
    Ok(())
}

fn failed(mut state: MigrationState, effect: Effect, failure: Failure) -> Result<MigrationState, Why> {
    if !state.run_mut().running.remove(&effect) {
        return Err(Why::NotRunning);
    }
    Ok(match state {
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. } => ending::failed_forward(state, failure),
        MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => ending::failed(state, effect, failure),
    })
}

fn progressed(mut state: MigrationState, effect: Effect, percent: u8) -> Result<MigrationState, Why> {
    let reached = Progress::within(effect, percent).ok_or(Why::NoProgress)?;
    if !state.run().running.contains(&effect) {
        return Err(Why::NotRunning);
    }
    // An effect that is still stopping after a cancel goes on telling; the number stays where the cancel came.
    if is_forward(&state) {
        let run = state.run_mut();
        run.progress = run.progress.raised_to(reached);
    }
    Ok(state)
}

fn remember_upload(
    mut state: MigrationState,
    change: impl FnOnce(&mut Option<UploadMemory>) -> Result<(), Why>,
) -> Result<MigrationState, Why> {
    let run = state.run_mut();
    if !run.running.contains(&Effect::UploadDump) {
        return Err(Why::NotRunning);
    }
    let debt = run.undo.upload.as_mut().ok_or(Why::NotRunning)?;
    change(&mut debt.remembered)?;
    Ok(state)
}

fn lease_lost(mut state: MigrationState) -> Result<MigrationState, Why> {
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

fn recovered(
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
                kind: crate::ErrorKind::Unavailable,
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

fn retry(state: &MigrationState) -> Result<MigrationState, Why> {
    match state {
        MigrationState::Error { run, .. } | MigrationState::Cancelled { run, .. } => {
            if !state.is_settled() {
                return Err(Why::NotSettled);
            }
            let MigrationState::Init { run: fresh, at } = MigrationState::begun(run.id, run.plan) else {
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

fn undo_again(mut state: MigrationState) -> Result<MigrationState, Why> {
    let run = state.run_mut();
    if !run.is_stuck() {
        return Err(Why::NothingStuck);
    }
    run.undo.try_again();
    run.row.stuck = None;
    Ok(state)
}

fn is_forward(state: &MigrationState) -> bool {
    match state {
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. } => true,
        MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => false,
    }
}

/// The number rose within a phase. Where the phase changed, the write of the new one carried it.
fn tells_progress(before: &MigrationState, after: &MigrationState) -> bool {
    is_forward(after) && before.phase() == after.phase() && before.run().progress < after.run().progress
}
