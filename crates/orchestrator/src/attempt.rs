//! One effect, tried as often as it is worth, and stopped when it is no longer wanted.

use std::sync::Mutex;
use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::Fact;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::plan::SchedulerPlan;
use metaferry_domain::ports::{IdSource, PausedBefore, ReadOnlyBefore};
use metaferry_domain::retry::{RetryDecision, RetryPolicy};
use metaferry_domain::{Cancellation, ErrorKind, PortError};

use crate::in_time::{ENTRY_MAX, PROOF_MAX, in_time};
use crate::perform::Performance;

/// How often a waiting effect looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was there before anything was changed: written into the undo script and announced before changing it.
#[derive(Debug, Default)]
pub(crate) struct Befores {
    pub(crate) read_only: Mutex<Option<ReadOnlyBefore>>,
    pub(crate) paused: Mutex<Option<PausedBefore>>,
}

impl Befores {
    /// Reads what `effect` needs to have been read before it is performed.
    async fn read(&self, performance: &Performance, effect: Effect) -> Result<(), PortError> {
        let quiesces = performance.plan.scheduler == SchedulerPlan::Quiesce;
        if effect == Effect::StoreUndoScript && performance.plan.strength != ReadOnlyStrength::None {
            keep(&self.read_only, performance.ports.read_only.before().await?);
        }
        if effect == Effect::StoreUndoScript && quiesces {
            keep(&self.paused, performance.ports.scheduler.before().await?);
        }
        Ok(())
    }

    /// Reads again what may have changed while `effect` waited. Where it cannot be read, the earlier reading stays.
    async fn read_again(&self, performance: &Performance, effect: Effect) {
        let quiesces = performance.plan.scheduler == SchedulerPlan::Quiesce;
        if effect == Effect::AwaitReadOnly
            && quiesces
            && let Ok(before) = performance.ports.scheduler.before().await
        {
            keep(&self.paused, before);
        }
    }
}

fn keep<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().expect("nothing panics while it holds this") = Some(value);
}

/// What a slot holds.
pub(crate) fn kept<T: Clone>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().expect("nothing panics while it holds this").clone()
}

/// Performs an effect with its retries, until it is done, has failed, or is no longer wanted.
pub(crate) async fn attempt(
    performance: &Performance,
    effect: Effect,
    befores: &Befores,
) -> Result<Fact, PortError> {
    let work = retried(performance, effect, befores);
    match patience(effect) {
        None => work.await,
        Some(patience) => tokio::select! {
            biased;
            result = work => result,
            () = dropped(performance, patience) => Err(stopped()),
        },
    }
}

async fn retried(performance: &Performance, effect: Effect, befores: &Befores) -> Result<Fact, PortError> {
    let policy = if undoes(effect) || waits_for_the_app_db(effect) {
        RetryPolicy::undo()
    } else {
        RetryPolicy::default()
    };
    let mut failed = 0;
    loop {
        let error = match once(performance, effect, befores).await {
            Ok(fact) => return Ok(fact),
            Err(error) => error,
        };
        failed += 1;
        if has_its_own_retries(effect) {
            return Err(error);
        }
        match policy.decide(failed, error.kind, None, fraction(&*performance.ports.ids)) {
            RetryDecision::Again { after } => {
                tracing::warn!(target: "cloud_migration", %effect, error = error.chain(), "trying again");
                // Nothing is under way while it waits: it ends at once when it is no longer wanted.
                tokio::select! {
                    biased;
                    () = performance.ports.clock.sleep(after) => performance.cancel.check()?,
                    () = raised(performance, &performance.cancel) => return Err(stopped()),
                }
            }
            RetryDecision::GiveUp => return Err(error),
        }
    }
}

async fn once(performance: &Performance, effect: Effect, befores: &Befores) -> Result<Fact, PortError> {
    befores.read(performance, effect).await?;
    let fact = match answer_max(effect) {
        Some(limit) => {
            let performed = performance.perform(effect);
            in_time(&*performance.ports.clock, limit, &effect.to_string(), performed).await?
        }
        None => performance.perform(effect).await?,
    };
    befores.read_again(performance, effect).await;
    Ok(fact)
}

/// A random number from 0 to 1.
pub(crate) fn fraction(ids: &dyn IdSource) -> f64 {
    let bits = ids.new_id().as_u128() & 0xffff;
    f64::from(u16::try_from(bits).unwrap_or(0)) / f64::from(u16::MAX)
}

/// Returns `patience` after the flag was raised.
async fn dropped(performance: &Performance, patience: Duration) {
    raised(performance, &performance.cancel).await;
    performance.ports.clock.sleep(patience).await;
}

/// Returns once the flag is raised.
async fn raised(performance: &Performance, cancel: &Cancellation) {
    while !cancel.is_cancelled() {
        performance.ports.clock.sleep(LOOK_EVERY).await;
    }
}

fn stopped() -> PortError {
    PortError::new(ErrorKind::Cancelled, "cancelled")
}

/// The engines of copying and uploading retry by themselves; a second migration at the store would be left over.
fn has_its_own_retries(effect: Effect) -> bool {
    match effect {
        Effect::UploadDump | Effect::CopySnapshot | Effect::FinishDump | Effect::CreateAtStore => true,
        Effect::Preflight
        | Effect::AcquireLease
        | Effect::InsertRow
        | Effect::StoreUndoScript
        | Effect::ArmSwitch
        | Effect::ReadOnlyOn
        | Effect::AwaitReadOnly
        | Effect::QuiesceScheduler
        | Effect::AwaitRunningJobs
        | Effect::ProveReadOnlyHeld
        | Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DisarmSwitch
        | Effect::VerifyObject
        | Effect::TellStore
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::WriteProgress
        | Effect::ReleaseLease => false,
    }
}

/// Each try of these waits a moment only for whoever has a table to himself; a cancel is heard between them. Before anything
/// is begun somebody waits to be told.
fn waits_for_the_app_db(effect: Effect) -> bool {
    let waits_only = matches!(
        effect,
        Effect::StoreUndoScript | Effect::AwaitReadOnly | Effect::AwaitRunningJobs
    );
    waits_only || (answer_max(effect).is_some() && effect != Effect::AcquireLease)
}

/// Does this effect undo, or write how an attempt ended? Then a cancel does not stop it.
pub(crate) fn undoes(effect: Effect) -> bool {
    match effect {
        Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DisarmSwitch
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::ReleaseLease => true,
        Effect::Preflight
        | Effect::AcquireLease
        | Effect::CreateAtStore
        | Effect::InsertRow
        | Effect::StoreUndoScript
        | Effect::ArmSwitch
        | Effect::ReadOnlyOn
        | Effect::AwaitReadOnly
        | Effect::QuiesceScheduler
        | Effect::AwaitRunningJobs
        | Effect::CopySnapshot
        | Effect::ProveReadOnlyHeld
        | Effect::FinishDump
        | Effect::UploadDump
        | Effect::VerifyObject
        | Effect::TellStore
        | Effect::WriteProgress => false,
    }
}

/// How long an effect that is no longer wanted has to end by itself, before it is dropped where it stands. `None`:
/// it writes into the app DB or undoes, and is never dropped in the middle.
fn patience(effect: Effect) -> Option<Duration> {
    match effect {
        // They only read or wait.
        Effect::Preflight
        | Effect::AwaitReadOnly
        | Effect::AwaitRunningJobs
        | Effect::ProveReadOnlyHeld
        | Effect::VerifyObject => Some(Duration::ZERO),
        // They look at the flag themselves, and end without leaving an upload that nobody knows of.
        Effect::CopySnapshot | Effect::FinishDump | Effect::UploadDump => Some(Duration::from_secs(1)),
        // What the store heard it cannot be asked to forget, whether we wait for its answer or not.
        Effect::CreateAtStore | Effect::TellStore => Some(Duration::from_secs(1)),
        Effect::AcquireLease
        | Effect::InsertRow
        | Effect::StoreUndoScript
        | Effect::ArmSwitch
        | Effect::ReadOnlyOn
        | Effect::QuiesceScheduler
        | Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DisarmSwitch
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::WriteProgress
        | Effect::ReleaseLease => None,
    }
}

/// How long one try may wait for the app DB, where that is all it does. A try that may have taken place is made again.
fn answer_max(effect: Effect) -> Option<Duration> {
    match effect {
        Effect::AcquireLease
        | Effect::InsertRow
        | Effect::ArmSwitch
        | Effect::ReadOnlyOn
        | Effect::QuiesceScheduler
        | Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DisarmSwitch
        | Effect::WriteState(_)
        | Effect::WriteProgress
        | Effect::ReleaseLease => Some(ENTRY_MAX),
        Effect::ProveReadOnlyHeld => Some(PROOF_MAX),
        // They also wait for the disk, for the store, or as long as they are told to.
        Effect::Preflight
        | Effect::CreateAtStore
        | Effect::StoreUndoScript
        | Effect::AwaitReadOnly
        | Effect::AwaitRunningJobs
        | Effect::CopySnapshot
        | Effect::FinishDump
        | Effect::UploadDump
        | Effect::VerifyObject
        | Effect::TellStore
        | Effect::DeleteDump
        | Effect::AbortUpload => None,
    }
}
