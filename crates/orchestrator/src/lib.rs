#![doc = include_str!("../README.md")]

mod attempt;
mod begin;
mod fault;
mod history;
pub mod in_process;
mod in_time;
mod keeper;
mod our_row;
mod perform;
mod ports;
mod recover;
mod run;
mod running;
mod take_over;
mod waiting;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::PortError;
use metaferry_domain::event::Canceller;
use metaferry_domain::history::AttemptStory;
use metaferry_domain::lease::HeldLease;
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::ports::MigrationRow;
use tokio::sync::{Mutex, watch as channel};

pub use begin::NotBegun;
#[cfg(debug_assertions)]
pub use fault::FaultKind;
pub use fault::Faults;
pub use history::{Account, Journaled, Waits, accounts, end_of, waits_for};
pub use ports::{OtherShore, Ports, Settings, Warnings};
pub use recover::{Orphan, Recovery, orphans};
pub use run::{Ended, View};

use running::Running;

/// How long a cancel waits for the row before the migration of this process is asked to stop.
const ROW_FIRST_MAX: Duration = Duration::from_millis(500);

/// Begins, cancels and recovers migrations of one app DB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    ports: Ports,
    settings: Arc<Settings>,
    faults: Faults,
    running: Arc<Mutex<Option<Running>>>,
}

impl Orchestrator {
    /// An orchestrator over those ports.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            ports,
            settings: Arc::new(settings),
            faults: Faults::default(),
            running: Arc::default(),
        }
    }

    /// The same, with effects that go wrong on purpose.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// What the migration of this process shows, if it steers one, or showed last.
    pub async fn view(&self) -> Option<channel::Receiver<View>> {
        let running = self.running.lock().await;
        running.as_ref().map(|running| running.view.clone())
    }

    /// Waits until the migration of this process has ended; `None` if it steered none.
    pub async fn ended(&self) -> Option<Ended> {
        let running = self.running.lock().await.clone()?;
        Some(running.end().await)
    }

    /// Cancels every migration of the app DB, wherever it runs, and answers how many rows said otherwise before.
    ///
    /// # Errors
    /// If the app DB cannot be reached; the migration of this process is asked to stop all the same.
    pub async fn cancel(&self, by: Canceller) -> Result<u64, PortError> {
        // After the row, so that it is told who ended it; unless somebody keeps that locked. Whoever asked may be gone by then.
        let telling = tokio::spawn({
            let (this, by) = (self.clone(), by.clone());
            async move {
                this.ports.clock.sleep(ROW_FIRST_MAX).await;
                this.interrupt(by).await;
            }
        });
        let cancelled = self.ports.rows.cancel_all().await;
        telling.abort();
        self.interrupt(by).await;
        cancelled
    }

    /// Asks the migration that this process steers to stop, and no other.
    pub async fn interrupt(&self, by: Canceller) {
        if let Some(running) = &*self.running.lock().await {
            running.cancel.send_replace(Some(by));
        }
    }

    /// The newest rows of `cloud_migration`.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn history(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        self.ports.rows.newest(limit).await
    }

    /// The newest migrations with what our journal knows of them, newest first.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn accounts(&self, limit: u32) -> Result<Vec<Account>, PortError> {
        accounts(&*self.ports.rows, &*self.ports.journal, limit).await
    }

    /// The attempt by which a row ended; `None` of a row that goes on.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn end_of(&self, row: RowId, phase: Phase) -> Result<Option<AttemptStory>, PortError> {
        end_of(&*self.ports.journal, row, phase).await
    }

    /// What a row's migration waits for, whichever process steers it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn waits_for(&self, row: RowId, phase: Phase) -> Result<Option<Waits>, PortError> {
        waits_for(&*self.ports.journal, row, phase, &*self.ports.clock).await
    }

    /// The folder in which this process makes dumps.
    #[must_use]
    pub fn dump_folder(&self) -> &Path {
        &self.settings.dump_folder
    }

    /// Where this process makes the dump of a migration.
    #[must_use]
    pub fn dump_path(&self, id: MigrationId) -> PathBuf {
        self.settings.dump_path(id)
    }

    /// Who may act now, if anybody.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn lease(&self) -> Result<Option<HeldLease>, PortError> {
        self.ports.lease.current().await
    }

    /// Migrations that some process left unsettled. Somebody may be steering them right now: only the lease tells.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, PortError> {
        orphans(&*self.ports.journal).await
    }
}
