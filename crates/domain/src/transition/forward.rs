//! The way forward: from one effect to the next, from one phase to the next.

use crate::ErrorKind;
use crate::effect::Effect;
use crate::event::{Fact, Failure, FailureCause, StillnessProof};
use crate::migration::{Phase, ReadOnlyStrength};
use crate::plan::{DumpRetention, Strictness};
use crate::progress::Progress;
use crate::state::{Arrived, MigrationState, Run};
use crate::transition::{Why, ending};

/// The effect that was due in a forward state is done.
pub(super) fn done(mut state: MigrationState, fact: &Fact) -> Result<MigrationState, Why> {
    if let Some(reached) = Progress::within(fact.effect(), 100) {
        let run = state.run_mut();
        run.progress = run.progress.raised_to(reached);
    }
    match fact {
        Fact::StoreUndoScript { location } => {
            if let MigrationState::Setup { undo_script, .. } = &mut state {
                *undo_script = Some(location.clone());
            }
        }
        Fact::CopySnapshot { snapshot: read } => {
            if let MigrationState::Dump { snapshot, .. } = &mut state {
                *snapshot = Some(read.clone());
            }
        }
        Fact::ProveReadOnlyHeld { found } => {
            if let Some(failure) = weigh(state.run_mut(), found) {
                return Ok(ending::roll_back(state, failure));
            }
        }
        Fact::FinishDump { file: finished } => {
            if let MigrationState::Dump { file, .. } = &mut state {
                *file = Some(finished.clone());
            }
        }
        Fact::UploadDump { receipt: given } => {
            if let MigrationState::Upload { receipt, .. } = &mut state {
                *receipt = Some(given.clone());
            }
        }
        Fact::VerifyObject { check: seen } => {
            if let MigrationState::Upload { check, .. } = &mut state {
                *check = Some(*seen);
            }
        }
        // These change what every state knows, which is noted already.
        Fact::AcquireLease { .. }
        | Fact::CreateAtStore { .. }
        | Fact::InsertRow { .. }
        | Fact::ArmSwitch { .. }
        | Fact::Plain(_) => {}
    }
    if let Effect::WriteState(phase) = fact.effect() {
        enter(state, phase)
    } else {
        step(state, fact.effect())
    }
}

/// On to the effect after `effect` in the same phase.
fn step(mut state: MigrationState, effect: Effect) -> Result<MigrationState, Why> {
    let phase = state.phase();
    match &mut state {
        MigrationState::Init { run, at }
        | MigrationState::Setup { run, at, .. }
        | MigrationState::Dump { run, at, .. }
        | MigrationState::Upload { run, at, .. } => {
            *at = run.plan.after(phase, effect).ok_or(Why::NotDue)?;
            Ok(state)
        }
        MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => Err(Why::NotDue),
    }
}

/// The same without arming or disarming the dead man's switch, if one of these is due and no switch is owed.
pub(crate) fn without_switch(state: &MigrationState) -> Option<MigrationState> {
    let mut state = state.clone();
    let phase = state.phase();
    match &mut state {
        MigrationState::Setup { run, at, .. } | MigrationState::Dump { run, at, .. } => {
            let of_switch = *at == Effect::ArmSwitch || *at == Effect::DisarmSwitch;
            if !of_switch || run.undo.switch.is_some() || run.running.contains(at) {
                return None;
            }
            *at = run.plan.after(phase, *at)?;
            Some(state)
        }
        MigrationState::Init { .. }
        | MigrationState::Upload { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => None,
    }
}

/// The row says `phase` now.
fn enter(state: MigrationState, phase: Phase) -> Result<MigrationState, Why> {
    match state {
        MigrationState::Init { run, .. } => {
            let (run, at) = begin(run, phase)?;
            Ok(MigrationState::Setup {
                run,
                at,
                undo_script: None,
            })
        }
        MigrationState::Setup { run, .. } => {
            let (run, at) = begin(run, phase)?;
            Ok(MigrationState::Dump {
                run,
                at,
                snapshot: None,
                file: None,
            })
        }
        MigrationState::Dump {
            run,
            snapshot: Some(snapshot),
            file: Some(file),
            ..
        } => {
            let (run, at) = begin(run, phase)?;
            Ok(MigrationState::Upload {
                run,
                at,
                snapshot,
                file,
                receipt: None,
                check: None,
            })
        }
        MigrationState::Upload { ref run, .. } => {
            let run = run.clone();
            let arrived = arrived(&state).ok_or(Why::NotDue)?;
            Ok(arrive(run, arrived))
        }
        MigrationState::Dump { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Done { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => Err(Why::NotDue),
    }
}

fn begin(mut run: Run, phase: Phase) -> Result<(Run, Effect), Why> {
    if let Some(start) = Progress::at_start_of(phase) {
        run.progress = run.progress.raised_to(start);
    }
    let first = run.plan.first(phase).ok_or(Why::NotDue)?;
    Ok((run, first))
}

/// What arrived, once all that is left is to write `done`.
pub(super) fn arrived(state: &MigrationState) -> Option<Arrived> {
    match state {
        MigrationState::Upload {
            at: Effect::WriteState(_),
            snapshot,
            file,
            receipt: Some(receipt),
            check: Some(check),
            ..
        } => Some(Arrived {
            snapshot: snapshot.clone(),
            file: file.clone(),
            receipt: receipt.clone(),
            check: *check,
        }),
        MigrationState::Cancelled { arrived, .. } => arrived.clone(),
        MigrationState::Done { arrived, .. } => Some(arrived.clone()),
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Error { .. } => None,
    }
}

/// The row says `done`.
pub(super) fn arrive(mut run: Run, arrived: Arrived) -> MigrationState {
    run.row.close();
    if let Some(end) = Progress::at_start_of(Phase::Done) {
        run.progress = run.progress.raised_to(end);
    }
    match run.plan.retention {
        // Kept on purpose: nothing is owed for it.
        DumpRetention::Keep => run.undo.dump = None,
        DumpRetention::Delete => {}
    }
    MigrationState::Done { run, arrived }
}

/// What a proof of stillness means: a failure, a warning, or nothing.
fn weigh(run: &mut Run, found: &StillnessProof) -> Option<Failure> {
    let message = match found {
        StillnessProof::Held => return None,
        StillnessProof::SwitchedOff { value } => format!(
            "read-only was switched off during the dump (it is {} now): start again when nobody needs to write",
            value.as_deref().unwrap_or("not set")
        ),
        StillnessProof::WrittenTo { tables } => {
            let message = format!(
                "written to during the dump, although read-only: {}",
                tables.join(", ")
            );
            let is_error =
                run.plan.strictness == Strictness::Strict || run.plan.strength == ReadOnlyStrength::Enforced;
            if !is_error {
                run.warnings.push(message);
                return None;
            }
            message
        }
    };
    Some(Failure {
        cause: FailureCause::Effect(Effect::ProveReadOnlyHeld),
        kind: ErrorKind::Precondition,
        message,
    })
}
