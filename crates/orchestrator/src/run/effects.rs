//! Effects as the loop has them: announced with what was there before, begun as tasks, and ended.

use std::sync::Arc;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::{Event, Fact, Intent};
use metaferry_domain::state::MigrationState;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use tokio::task::{Id, JoinError};

use super::{Driver, LeaseGone};
use crate::attempt::{attempt, kept};
use crate::perform::Performance;
use crate::watch::{JournaledUpload, ProgressSignals};

impl Driver {
    /// Announces and begins everything that is due.
    pub(super) async fn start_due(&mut self) -> Result<(), LeaseGone> {
        while let Some(effect) = self.state.due().first().copied() {
            let intent = self.intent(effect);
            self.record(Event::EffectStarted(intent)).await?;
            if !self.state.run().running.contains(&effect) {
                // Announcing it again would be refused again. Stopping is safe: whoever takes the lease next undoes.
                return Err(LeaseGone);
            }
            if effect == Effect::ReleaseLease {
                self.settle().await;
                // A renewal that crossed its return would look like a loss.
                self.keeper = None;
            }
            self.begin(effect);
        }
        Ok(())
    }

    /// What is announced, with what was there before. The domain refuses an announcement that lacks it.
    fn intent(&self, effect: Effect) -> Intent {
        let plain = Intent::Plain(effect);
        match effect {
            Effect::ReadOnlyOn => {
                kept(&self.befores.read_only).map_or(plain, |before| Intent::ReadOnlyOn { before })
            }
            Effect::QuiesceScheduler => {
                kept(&self.befores.paused).map_or(plain, |before| Intent::QuiesceScheduler { before })
            }
            Effect::CopySnapshot => Intent::CopySnapshot {
                file: self.settings.dump_path(self.state.run().id),
            },
            Effect::Preflight
            | Effect::AcquireLease
            | Effect::CreateAtStore
            | Effect::InsertRow
            | Effect::StoreUndoScript
            | Effect::ArmSwitch
            | Effect::AwaitReadOnly
            | Effect::AwaitRunningJobs
            | Effect::ProveReadOnlyHeld
            | Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::DisarmSwitch
            | Effect::FinishDump
            | Effect::UploadDump
            | Effect::VerifyObject
            | Effect::TellStore
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::WriteProgress
            | Effect::ReleaseLease => plain,
        }
    }

    fn begin(&mut self, effect: Effect) {
        let cancel = Cancellation::new();
        let performance = self.performance(cancel.clone());
        let befores = Arc::clone(&self.befores);
        let task = self
            .running
            .spawn(async move { attempt(&performance, effect, &befores).await });
        self.performed.insert(effect, (cancel, task.id()));
    }

    fn performance(&self, cancel: Cancellation) -> Performance {
        let run = self.state.run();
        let (file, receipt) = match &self.state {
            MigrationState::Upload { file, receipt, .. } => (Some(file.clone()), receipt.clone()),
            MigrationState::Init { .. }
            | MigrationState::Setup { .. }
            | MigrationState::Dump { .. }
            | MigrationState::RollingBack { .. }
            | MigrationState::Done { .. }
            | MigrationState::Error { .. }
            | MigrationState::Cancelled { .. } => (None, None),
        };
        let undo = &run.undo;
        let remembered = undo.upload.as_ref().and_then(|debt| debt.remembered.clone());
        // Whoever recovers may be configured otherwise: what was announced is what is deleted.
        let dump_path = match &undo.dump {
            Some(debt) => debt.remembered.clone(),
            None => self.settings.dump_path(run.id),
        };
        Performance {
            ports: self.ports.clone(),
            settings: Arc::clone(&self.settings),
            faults: self.faults.clone(),
            plan: run.plan.clone(),
            attempt: run.attempt,
            token: run.tenure.token(),
            row: run.row.id,
            newest_row: self.newest_row,
            external_id: run.shore.as_ref().map(|shore| shore.external_id.clone()),
            destination: run.shore.as_ref().map(|shore| shore.destination.clone()),
            read_only_before: undo.read_only.as_ref().map(|debt| debt.remembered.clone()),
            paused_before: undo.scheduler.as_ref().map(|debt| debt.remembered.clone()),
            dump_path,
            file,
            receipt,
            state: self.state.clone(),
            upload_log: Arc::new(JournaledUpload::new(self.signal_sender.clone(), remembered)),
            signals: Arc::new(ProgressSignals::new(self.signal_sender.clone())),
            cancel,
        }
    }

    /// A task has ended. One that panicked is a bug that failed its effect: everything else is undone as ever.
    pub(super) async fn joined(
        &mut self,
        ended: Result<(Id, Result<Fact, PortError>), JoinError>,
    ) -> Result<(), LeaseGone> {
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let what = "a bug: performing this panicked; please report it with the log";
                (
                    error.id(),
                    Err(PortError::new(ErrorKind::Corrupt, what).because(error)),
                )
            }
        };
        let effect = self
            .performed
            .iter()
            .find_map(|(effect, (_, task))| (*task == id).then_some(*effect));
        match effect {
            Some(effect) => self.ended(effect, result).await,
            None => Ok(()),
        }
    }

    async fn ended(&mut self, effect: Effect, result: Result<Fact, PortError>) -> Result<(), LeaseGone> {
        self.performed.remove(&effect);
        match result {
            Ok(fact) => {
                self.record(Event::EffectDone(fact)).await?;
                if effect == Effect::InsertRow {
                    self.show_row().await;
                }
                Ok(())
            }
            Err(error) => {
                if error.kind == ErrorKind::Precondition {
                    // A lost lease and a row that somebody ended look alike from here.
                    self.renew().await?;
                    self.look_at_row().await?;
                }
                let run = self.state.run();
                if error.kind == ErrorKind::Cancelled {
                    tracing::info!(target: "cloud_migration", id = %run.id, %effect, "stopped");
                } else {
                    tracing::error!(target: "cloud_migration", id = %run.id, %effect, kind = ?error.kind, error = error.chain(), "failed");
                }
                self.record(Event::EffectFailed {
                    effect,
                    kind: error.kind,
                    message: error.chain(),
                })
                .await
            }
        }
    }
}
