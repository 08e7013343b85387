//! The one function that decides: from a state and what happened to the next state and what is due.
//!
//! It reads no clock, draws no random number and performs nothing. Whoever performs effects announces each in the
//! journal, performs it, and appends how it ended; replaying the journal through this function gives the state
//! again ([`crate::journal::replay`]).

mod ending;
mod forward;
mod illegal;
mod tenure;

pub(crate) use forward::without_switch;
pub use illegal::{IllegalEvent, Why};

use crate::effect::Effect;
use crate::event::{Event, Fact, Failure, FailureCause, Intent, SwitchStanding};
use crate::progress::Progress;
use crate::state::{MigrationState, RowStanding, Run, Shore, Tenure};
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
    tenure::admit(state, event).map_err(illegal)?;
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
        Event::Waiting { effect, wait } => waiting(state.clone(), *effect, &wait.warnings),
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
        Event::LeaseLost => tenure::lease_lost(state.clone()),
        Event::Recovered { attempt, token } => tenure::recovered(state.clone(), *attempt, *token),
        Event::RetryRequested => tenure::retry(state),
        Event::UndoRequested => tenure::undo_again(state.clone()),
    }
    .map_err(illegal)?;
    let next = ending::written_last(next);
    let mut effects = next.due();
    if tells_progress(state, &next) {
        effects.insert(0, Effect::WriteProgress);
    }
    Ok(Transition { state: next, effects })
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
        Intent::Plain(Effect::ArmSwitch) => run.undo.switch = Some(Debt::new(())),
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
            | Effect::DisarmSwitch
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
            | Effect::ArmSwitch
            | Effect::CopySnapshot
            | Effect::ProveReadOnlyHeld
            | Effect::FinishDump
            | Effect::UploadDump
            | Effect::VerifyObject,
        ) => Err(Why::Incomplete),
        Fact::Plain(
            Effect::Preflight
            | Effect::ReadOnlyOn
            | Effect::AwaitReadOnly
            | Effect::QuiesceScheduler
            | Effect::AwaitRunningJobs
            | Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::DisarmSwitch
            | Effect::TellStore
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::WriteProgress
            | Effect::ReleaseLease,
        )
        | Fact::AcquireLease { .. }
        | Fact::CreateAtStore { .. }
        | Fact::InsertRow { .. }
        | Fact::StoreUndoScript { .. }
        | Fact::ArmSwitch { .. }
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
        Fact::ArmSwitch {
            standing: SwitchStanding::Impossible { why },
        } => run.warnings.push(format!(
            "no dead man's switch: {why}; should every metaferry be gone in the middle, start one or run undo.sql"
        )),
        Fact::ArmSwitch {
            standing: SwitchStanding::Armed,
        } => {}
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
    // It may fail before it was announced: what must be remembered could not be read. Then nothing was done.
    if !state.due().contains(&effect) && !state.run_mut().running.remove(&effect) {
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

/// That somebody waits changes nothing but what people are told.
fn waiting(mut state: MigrationState, effect: Effect, warnings: &[String]) -> Result<MigrationState, Why> {
    if !matches!(effect, Effect::AwaitReadOnly | Effect::AwaitRunningJobs) {
        return Err(Why::NoWait);
    }
    let run = state.run_mut();
    if !run.running.contains(&effect) {
        return Err(Why::NotRunning);
    }
    for warning in warnings {
        if !run.warnings.contains(warning) {
            run.warnings.push(warning.clone());
        }
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
