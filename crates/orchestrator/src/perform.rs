//! One function per effect, each through a port. What has happened comes back as a fact; nothing is decided here.

mod row;
mod shore;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::{Fact, SnapshotFacts, StillnessProof, SwitchStanding};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Attempt, ReadOnlyStrength, RowId};
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::{
    Destination, DumpFile, DumpRequest, PausedBefore, ReadOnlyBefore, ReadOnlyProof, Severity, UploadLog,
    UploadReceipt,
};
use metaferry_domain::state::MigrationState;
use metaferry_domain::{Cancellation, ErrorKind, PortError};

use crate::fault::Faults;
use crate::ports::{Ports, Settings, Warnings};
use crate::recover;
use crate::watch::ProgressSignals;

/// How often waiting effects look again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often it is tried to begin looking for writes.
const WATCH_TRIES_MAX: u32 = 20;

/// Everything that performing one effect may need, copied out of the state when it was announced.
pub(crate) struct Performance {
    pub(crate) ports: Ports,
    pub(crate) settings: Arc<Settings>,
    pub(crate) faults: Faults,
    pub(crate) plan: MigrationPlan,
    pub(crate) attempt: Attempt,
    pub(crate) token: Option<FencingToken>,
    pub(crate) row: Option<RowId>,
    /// The newest row when the migration began.
    pub(crate) newest_row: Option<RowId>,
    pub(crate) external_id: Option<String>,
    pub(crate) destination: Option<Destination>,
    pub(crate) read_only_before: Option<ReadOnlyBefore>,
    pub(crate) paused_before: Option<PausedBefore>,
    pub(crate) dump_path: PathBuf,
    pub(crate) file: Option<DumpFile>,
    pub(crate) receipt: Option<UploadReceipt>,
    pub(crate) state: MigrationState,
    pub(crate) upload_log: Arc<dyn UploadLog>,
    pub(crate) signals: Arc<ProgressSignals>,
    pub(crate) cancel: Cancellation,
}

impl Performance {
    /// Performs `effect`. One try: retries are the caller's.
    pub(crate) async fn perform(&self, effect: Effect) -> Result<Fact, PortError> {
        let clock = &*self.ports.clock;
        self.faults.strike(effect, clock, self.fulfil(effect)).await
    }

    async fn fulfil(&self, effect: Effect) -> Result<Fact, PortError> {
        match effect {
            Effect::Preflight => self.preflight().await?,
            Effect::AcquireLease => return self.acquire_lease().await,
            Effect::CreateAtStore => return self.create_at_store().await,
            Effect::InsertRow => return self.insert_row().await,
            Effect::StoreUndoScript => {
                let location = self.ports.undo_script.store(self.token()?).await?;
                tracing::info!(target: "cloud_migration", %location, "stored the SQL that undoes everything by hand");
                return Ok(Fact::StoreUndoScript { location });
            }
            Effect::ArmSwitch => {
                let standing = self.ports.switch.arm(self.token()?, &self.cancel).await?;
                if let SwitchStanding::Impossible { why } = &standing {
                    tracing::warn!(target: "cloud_migration", why, "there is no dead man's switch");
                }
                return Ok(Fact::ArmSwitch { standing });
            }
            Effect::DisarmSwitch => self.ports.switch.disarm(self.token()?).await?,
            Effect::ReadOnlyOn => {
                let before = known(self.read_only_before.as_ref(), "what read-only was before")?;
                self.ports
                    .read_only
                    .engage(self.token()?, self.plan.strength, before, &self.cancel)
                    .await?;
            }
            Effect::AwaitReadOnly => self.await_read_only().await?,
            Effect::QuiesceScheduler => {
                let before = known(self.paused_before.as_ref(), "what was paused before")?;
                let scheduler = &self.ports.scheduler;
                scheduler.quiesce(self.token()?, before, &self.cancel).await?;
            }
            Effect::AwaitRunningJobs => self.await_running_jobs().await?,
            Effect::CopySnapshot => return self.copy_snapshot().await,
            Effect::ProveReadOnlyHeld => return self.prove_read_only_held().await,
            Effect::RestoreScheduler => {
                let before = known(self.paused_before.as_ref(), "what was paused before")?;
                self.ports.scheduler.restore(self.token()?, before).await?;
            }
            Effect::RestoreReadOnly => {
                let before = known(self.read_only_before.as_ref(), "what read-only was before")?;
                self.ports.read_only.restore(self.token()?, before).await?;
            }
            Effect::FinishDump => return self.finish_dump().await,
            Effect::UploadDump => return self.upload_dump().await,
            Effect::VerifyObject => return self.verify_object().await,
            Effect::TellStore => self.tell_store().await?,
            Effect::DeleteDump => self.delete_dump().await?,
            Effect::AbortUpload => {
                if let Some(destination) = &self.destination {
                    self.ports
                        .uploader
                        .abort(destination, Arc::clone(&self.upload_log))
                        .await?;
                }
            }
            Effect::WriteState(phase) => self.write_state(phase).await?,
            // Written by the driver itself, and never announced.
            Effect::WriteProgress => {}
            Effect::ReleaseLease => {
                let lease = metaferry_domain::lease::Lease {
                    token: self.token()?,
                    holder: self.settings.node.clone(),
                    term_ms: millis(self.settings.lease_term),
                };
                self.ports.lease.release(&lease).await?;
            }
        }
        Ok(Fact::Plain(effect))
    }

    fn token(&self) -> Result<FencingToken, PortError> {
        self.token
            .ok_or_else(|| PortError::new(ErrorKind::Precondition, "there is no lease yet"))
    }

    async fn preflight(&self) -> Result<(), PortError> {
        let findings = self.ports.preflight.check().await?;
        let stops = |severity| match severity {
            Severity::Blocker => true,
            Severity::Warning => self.settings.warnings == Warnings::Refuse,
            Severity::Note => false,
        };
        for finding in findings.iter().filter(|finding| !stops(finding.severity)) {
            tracing::info!(target: "cloud_migration", code = finding.code, "{}", finding.message);
        }
        let against: Vec<&str> = findings
            .iter()
            .filter(|finding| stops(finding.severity))
            .map(|finding| finding.message.as_str())
            .collect();
        if against.is_empty() {
            return Ok(());
        }
        Err(PortError::new(
            ErrorKind::Unsupported,
            format!("preflight: {}", against.join("; ")),
        ))
    }

    async fn acquire_lease(&self) -> Result<Fact, PortError> {
        let lease = self
            .ports
            .lease
            .acquire(&self.settings.node, millis(self.settings.lease_term))
            .await?;
        // Whoever began before us may have ended without undoing: that comes first, and is for recovery.
        let own = self.state.run().id;
        let left_behind = recover::orphans(&*self.ports.journal).await.map(|orphans| {
            orphans
                .into_iter()
                .find(|orphan| orphan.id != own && !orphan.state.is_settled())
        });
        let error = match left_behind {
            Ok(None) => return Ok(Fact::AcquireLease { token: lease.token }),
            Ok(Some(orphan)) => PortError::new(
                ErrorKind::Conflict,
                format!("migration {} is still to be undone: recover it first", orphan.id),
            ),
            Err(error) => error,
        };
        if let Err(error) = self.ports.lease.release(&lease).await {
            tracing::warn!(target: "cloud_migration", error = error.chain(), "the lease could not be given back; it runs out");
        }
        Err(error)
    }

    fn dump_request(&self) -> DumpRequest {
        DumpRequest {
            file: self.dump_path.clone(),
            attempt: self.attempt,
            plaintext: self.settings.plaintext,
        }
    }

    async fn copy_snapshot(&self) -> Result<Fact, PortError> {
        if self.settings.dump_file.is_some() {
            tracing::info!(target: "cloud_migration", "MB_MIGRATION_DUMP_FILE is set: no snapshot is taken");
            return Ok(Fact::CopySnapshot {
                snapshot: SnapshotFacts::default(),
            });
        }
        self.watch_stillness().await?;
        let observer = self.signals.dump_observer();
        let report = self
            .ports
            .dumper
            .copy_snapshot(&self.dump_request(), observer, &self.cancel)
            .await?;
        Ok(Fact::CopySnapshot {
            snapshot: SnapshotFacts::of(&report),
        })
    }

    /// From here on, writes that should have been held off are found.
    async fn watch_stillness(&self) -> Result<(), PortError> {
        if self.plan.strength == ReadOnlyStrength::None {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            self.cancel.check()?;
            tries += 1;
            match self.ports.read_only.watch(self.plan.strength).await {
                // Somebody changes a table, for whom the snapshot would wait too.
                Err(error) if error.kind == ErrorKind::Unavailable && tries < WATCH_TRIES_MAX => {
                    self.ports.clock.sleep(LOOK_EVERY).await;
                }
                watched => return watched,
            }
        }
    }

    async fn prove_read_only_held(&self) -> Result<Fact, PortError> {
        let before = known(self.read_only_before.as_ref(), "what read-only was before")?;
        let found = match self.ports.read_only.prove(self.plan.strength, before).await? {
            ReadOnlyProof::Held => StillnessProof::Held,
            ReadOnlyProof::SwitchedOff { value } => StillnessProof::SwitchedOff { value },
            ReadOnlyProof::WrittenTo { tables } => StillnessProof::WrittenTo { tables },
        };
        Ok(Fact::ProveReadOnlyHeld { found })
    }

    async fn finish_dump(&self) -> Result<Fact, PortError> {
        if let Some(path) = &self.settings.dump_file {
            let file = self.ports.dumper.describe(path, &self.cancel).await?;
            return Ok(Fact::FinishDump { file });
        }
        let report = self.ports.dumper.finish(&self.cancel).await?;
        Ok(Fact::FinishDump { file: report.file })
    }

    async fn delete_dump(&self) -> Result<(), PortError> {
        // Always the file that was announced, never one that is somebody's own (`MB_MIGRATION_DUMP_FILE`).
        self.ports.dumper.discard(&self.dump_request()).await
    }
}

fn known<T>(value: Option<T>, what: &str) -> Result<T, PortError> {
    value.ok_or_else(|| PortError::new(ErrorKind::Corrupt, format!("the journal does not say {what}")))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
