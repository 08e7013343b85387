#![doc = include_str!("../README.md")]

mod perform;
mod ports;
mod recover;
mod run;
mod watch;

use std::sync::Arc;

use metaferry_domain::event::Canceller;
use metaferry_domain::lease::Lease;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::MigrationState;
use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::{Mutex, watch as channel};
use tokio::task::JoinHandle;

pub use ports::{OtherShore, Ports, Settings, Warnings};
pub use recover::Orphan;
pub use run::{Ended, View};

use run::Driver;

/// Begins, cancels and recovers migrations of one app DB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    ports: Ports,
    settings: Arc<Settings>,
    running: Arc<Mutex<Option<Running>>>,
}

/// The migration that this process steers.
#[derive(Debug)]
struct Running {
    cancel: channel::Sender<Option<Canceller>>,
    view: channel::Receiver<View>,
    task: JoinHandle<Ended>,
}

/// A migration on its way.
#[derive(Debug)]
pub struct Started {
    /// What it shows.
    pub view: channel::Receiver<View>,
}

/// Why a migration did not begin.
#[derive(Debug)]
pub struct NotBegun {
    /// Which effect failed, if one did.
    pub state: Option<Box<MigrationState>>,
    /// Why.
    pub error: PortError,
}

impl From<PortError> for NotBegun {
    fn from(error: PortError) -> Self {
        Self { state: None, error }
    }
}

impl Orchestrator {
    /// An orchestrator over those ports.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            ports,
            settings: Arc::new(settings),
            running: Arc::default(),
        }
    }

    /// Begins a migration, and returns as soon as its row is there; the rest goes on by itself.
    ///
    /// # Errors
    /// [`NotBegun`] if it failed before; then nothing is left behind. Of kind [`ErrorKind::Conflict`] if another one
    /// runs, or one is still being undone.
    pub async fn start(&self) -> Result<MigrationRow, NotBegun> {
        let mut view = self.launch().await?;
        loop {
            let now = view.borrow_and_update().clone();
            if let Some(row) = now.row {
                return Ok(row);
            }
            if let Some(failure) = now.state.failure() {
                let error = PortError::new(failure.kind, failure.message.clone());
                let state = Some(Box::new(now.state));
                return Err(NotBegun { state, error });
            }
            if view.changed().await.is_err() {
                let error = PortError::new(ErrorKind::Unavailable, "the migration ended before it had begun");
                return Err(NotBegun {
                    state: Some(Box::new(now.state)),
                    error,
                });
            }
        }
    }

    async fn launch(&self) -> Result<channel::Receiver<View>, NotBegun> {
        let mut running = self.running.lock().await;
        if running
            .as_ref()
            .is_some_and(|running| !running.task.is_finished())
        {
            return Err(PortError::new(
                ErrorKind::Conflict,
                "a migration is running, or is still being undone",
            )
            .into());
        }
        if let Some(row) = self.ports.rows.newest(1).await?.first()
            && !row.phase.is_terminal()
        {
            return Err(PortError::new(
                ErrorKind::Conflict,
                "another migration of this app DB has not ended",
            )
            .into());
        }
        let id = MigrationId(self.ports.ids.new_id());
        let state = MigrationState::begun(id, self.settings.plan);
        let entry = Driver::first_entry(&state, self.ports.clock.now_ms());
        tracing::info!(target: "cloud_migration", %id, shore = ?self.ports.shore, "begin");
        Ok(self.spawn(&mut running, state, vec![entry]))
    }

    fn spawn(
        &self,
        slot: &mut Option<Running>,
        state: MigrationState,
        entries: Vec<metaferry_domain::journal::JournalEntry>,
    ) -> channel::Receiver<View> {
        let (driver, view, cancel) = self.driver(state, entries);
        let task = tokio::spawn(driver.run());
        *slot = Some(Running {
            cancel,
            view: view.clone(),
            task,
        });
        view
    }

    fn driver(
        &self,
        state: MigrationState,
        entries: Vec<metaferry_domain::journal::JournalEntry>,
    ) -> (
        Driver,
        channel::Receiver<View>,
        channel::Sender<Option<Canceller>>,
    ) {
        let (view, watched) = channel::channel(View {
            state: state.clone(),
            row: None,
        });
        let (cancel, requests) = channel::channel(None);
        let driver = Driver::new(
            self.ports.clone(),
            Arc::clone(&self.settings),
            state,
            entries,
            view,
            requests,
        );
        (driver, watched, cancel)
    }

    /// What the migration of this process shows, if it steers one.
    pub async fn view(&self) -> Option<channel::Receiver<View>> {
        self.running
            .lock()
            .await
            .as_ref()
            .map(|running| running.view.clone())
    }

    /// Waits until the migration of this process has ended; `None` if it steers none.
    pub async fn ended(&self) -> Option<Ended> {
        let running = self.running.lock().await.take()?;
        match running.task.await {
            Ok(ended) => Some(ended),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Cancels every migration of the app DB, wherever it runs, and answers how many rows said otherwise before.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn cancel(&self, by: Canceller) -> Result<u64, PortError> {
        let cancelled = self.ports.rows.cancel_all().await?;
        if let Some(running) = &*self.running.lock().await {
            running.cancel.send_replace(Some(by));
        }
        Ok(cancelled)
    }

    /// The newest rows of `cloud_migration`.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn history(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        self.ports.rows.newest(limit).await
    }

    /// Migrations that some process left unsettled. Somebody may be steering them right now: only the lease tells.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, PortError> {
        recover::orphans(&self.ports).await
    }

    /// Takes over every unsettled migration whose lease has run out, and steers each to its end.
    ///
    /// # Errors
    /// If the app DB cannot be reached. A lease that somebody holds is no error: that one is not recovered.
    pub async fn recover(&self) -> Result<Vec<Ended>, PortError> {
        let mut running = self.running.lock().await;
        if running
            .as_ref()
            .is_some_and(|running| !running.task.is_finished())
        {
            return Ok(Vec::new());
        }
        *running = None;
        let mut ended = Vec::new();
        for orphan in self.orphans().await? {
            let term_ms = u64::try_from(self.settings.lease_term.as_millis()).unwrap_or(u64::MAX);
            let lease = match self.ports.lease.acquire(&self.settings.node, term_ms).await {
                Ok(lease) => lease,
                Err(error) if error.kind == ErrorKind::Conflict => continue,
                Err(error) => return Err(error),
            };
            // Read again under the lease: whoever held it may have gone on meanwhile.
            let (state, entries) = recover::load(&self.ports, orphan.id).await?;
            let orphan = Orphan {
                id: orphan.id,
                state,
                entries,
            };
            if orphan.state.is_settled() {
                self.ports.journal.settle(lease.token, orphan.id).await?;
                self.ports.lease.release(&lease).await?;
                continue;
            }
            ended.push(self.take_over(orphan, &lease).await?);
        }
        Ok(ended)
    }

    async fn take_over(&self, orphan: Orphan, lease: &Lease) -> Result<Ended, PortError> {
        tracing::warn!(
            target: "cloud_migration",
            id = %orphan.id, phase = %orphan.state.phase(), "recovering what another process left"
        );
        let event = orphan.recovered(lease.token);
        let (mut driver, _view, _cancel) = self.driver(orphan.state, orphan.entries);
        driver.begin_with(event).await?;
        Ok(driver.run().await)
    }
}
