#![doc = include_str!("../README.md")]

mod attempt;
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
mod waiting;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use metaferry_domain::event::{Canceller, Event};
use metaferry_domain::history::AttemptStory;
use metaferry_domain::journal::JournalEntry;
use metaferry_domain::lease::Lease;
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::{MigrationState, RowStanding};
use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::{Mutex, watch as channel};

pub use fault::Faults;
#[cfg(debug_assertions)]
pub use fault::{DELAY, FaultKind};
pub use history::{Account, Journaled, Waits, accounts, end_of, waits_for};
pub use ports::{OtherShore, Ports, Settings, Warnings};
pub use recover::{Orphan, Recovery, orphans};
pub use run::{Ended, View};

use run::Driver;

/// Begins, cancels and recovers migrations of one app DB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    ports: Ports,
    settings: Arc<Settings>,
    faults: Faults,
    running: Arc<Mutex<Option<Running>>>,
}

/// The migration that this process steers, or steered last.
#[derive(Debug, Clone)]
struct Running {
    cancel: Arc<channel::Sender<Option<Canceller>>>,
    view: channel::Receiver<View>,
    ended: channel::Receiver<Option<Ended>>,
}

impl Running {
    fn is_over(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Waits for the end. A driver that panicked leaves its lease to run out: whoever recovers goes on.
    async fn end(mut self) -> Ended {
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => None,
        }
        .unwrap_or(Ended::LeaseLost)
    }
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
            faults: Faults::default(),
            running: Arc::default(),
        }
    }

    /// The same, with effects that go wrong on purpose.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Begins a migration, and returns as soon as its row is there; the rest goes on by itself.
    ///
    /// # Errors
    /// [`NotBegun`] if it failed before; then nothing is left behind. Of kind [`ErrorKind::Conflict`] if another one
    /// runs, or one is still being undone.
    pub async fn start(&self) -> Result<MigrationRow, NotBegun> {
        let running = self.launch().await?;
        self.first_row(running).await
    }

    /// Begins another attempt of the newest migration, if that ended in `error` or `cancelled`: the same row, the same
    /// plan, a new external id. Returns as soon as the row is open again.
    ///
    /// # Errors
    /// [`NotBegun`] if it failed before; then the row is as it was. Of kind [`ErrorKind::Conflict`] if a migration runs, or
    /// is still being undone; [`ErrorKind::Precondition`] if the newest one arrived, or was planned for other
    /// tables than this process is made for; [`ErrorKind::NotFound`] if there is none, or Metaferry did not begin it.
    pub async fn retry(&self) -> Result<MigrationRow, NotBegun> {
        let running = self.relaunch().await?;
        self.first_row(running).await
    }

    async fn first_row(&self, mut running: Running) -> Result<MigrationRow, NotBegun> {
        loop {
            let now = running.view.borrow_and_update().clone();
            if let Some(row) = now.row {
                return Ok(row);
            }
            let run = now.state.run();
            // Before another attempt has opened the row it shows how the last one ended.
            let is_there = run.attempt.0 == 1 || run.row.standing == RowStanding::Open;
            if let Some(id) = run.row.id
                && is_there
                && let Ok(Some(row)) = self.ports.rows.get(id).await
            {
                return Ok(row);
            }
            // After a failure until nothing is left behind: whoever tries again at once must not be refused for it.
            if running.view.changed().await.is_err() {
                return Err(not_begun(now.state));
            }
        }
    }

    async fn launch(&self) -> Result<Running, NotBegun> {
        let mut running = self.running.lock().await;
        if running.as_ref().is_some_and(|running| !running.is_over()) {
            let what = "a migration is running, or is still being undone";
            return Err(PortError::new(ErrorKind::Conflict, what).into());
        }
        let newest = self.ports.rows.newest(1).await?.pop();
        if newest.as_ref().is_some_and(|row| !row.phase.is_terminal()) {
            return Err(self
                .not_ended("another migration of this app DB has not ended")
                .await
                .into());
        }
        let orphans = self.orphans().await?;
        if let Some(orphan) = orphans.iter().find(|orphan| !orphan.state.is_settled()) {
            let what = format!("migration {} is still being undone", orphan.id);
            return Err(self.not_ended(&what).await.into());
        }
        let id = MigrationId(self.ports.ids.new_id());
        let state = MigrationState::begun(id, self.settings.plan.clone());
        let entry = Driver::first_entry(&state, self.ports.clock.now_ms());
        tracing::info!(target: "cloud_migration", %id, shore = ?self.ports.shore, "begin");
        let (driver, view, cancel) = self.driver(state, vec![entry]);
        let driver = driver.begun_after(newest.map(|row| row.id));
        Ok(spawn(&mut running, driver, view, cancel))
    }

    async fn relaunch(&self) -> Result<Running, NotBegun> {
        let refused = |kind, what: &str| NotBegun::from(PortError::new(kind, what));
        let mut running = self.running.lock().await;
        if running.as_ref().is_some_and(|running| !running.is_over()) {
            let what = "a migration is running, or is still being undone";
            return Err(refused(ErrorKind::Conflict, what));
        }
        let Some(newest) = self.ports.rows.newest(1).await?.pop() else {
            return Err(refused(
                ErrorKind::NotFound,
                "no migration of this app DB was ever begun; begin one",
            ));
        };
        match newest.phase {
            Phase::Error | Phase::Cancelled => {}
            Phase::Done => {
                let what = "the newest migration arrived, and is not tried again; begin a new one";
                return Err(refused(ErrorKind::Precondition, what));
            }
            Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload => {
                let what = "the newest migration of this app DB has not ended";
                return Err(refused(ErrorKind::Conflict, what));
            }
        }
        let Some((state, entries)) = recover::of_row(&*self.ports.journal, newest.id).await? else {
            let what = "the newest migration of this app DB was not begun by Metaferry; begin a new one";
            return Err(refused(ErrorKind::NotFound, what));
        };
        let id = state.run().id;
        if !state.is_settled() {
            let what = format!("migration {id} is still being undone; recover it first");
            return Err(PortError::new(ErrorKind::Conflict, what).into());
        }
        if let Some(scope) = state.run().plan.scope_unlike(&self.settings.plan) {
            let what = format!(
                "migration {id} was begun with {scope}, which this process was not started with; `metaferry retry` keeps to it"
            );
            return Err(refused(ErrorKind::Precondition, &what));
        }
        tracing::info!(target: "cloud_migration", %id, shore = ?self.ports.shore, "try again");
        let (mut driver, view, cancel) = self.driver(state, entries);
        driver.begin_with(Event::RetryRequested).await?;
        let driver = driver.begun_after(Some(newest.id));
        Ok(spawn(&mut running, driver, view, cancel))
    }

    /// A migration stands in the way: whose it is, and for how long if he is gone.
    async fn not_ended(&self, what: &str) -> PortError {
        let holder = match self.ports.lease.current().await {
            Ok(Some(lease)) => lease,
            Ok(None) => return PortError::new(ErrorKind::Conflict, what).advising(NOBODY_ADVICE),
            Err(error) => return PortError::new(ErrorKind::Conflict, what).because(error),
        };
        let seconds = holder.term_ms.div_ceil(1000);
        PortError::new(
            ErrorKind::Conflict,
            format!(
                "{what}: {} holds its lease, and if that process is gone the lease runs out within {seconds} s",
                holder.holder
            ),
        )
        .advising(HELD_ADVICE)
    }

    fn driver(
        &self,
        state: MigrationState,
        entries: Vec<JournalEntry>,
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
        )
        .with_faults(self.faults.clone());
        (driver, watched, cancel)
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
        let cancelled = self.ports.rows.cancel_all().await;
        if let Some(running) = &*self.running.lock().await {
            running.cancel.send_replace(Some(by));
        }
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

    /// Where this process makes the dump of a migration.
    #[must_use]
    pub fn dump_path(&self, id: MigrationId) -> PathBuf {
        self.settings.dump_path(id)
    }

    /// Who may act now, if anybody.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn lease(&self) -> Result<Option<Lease>, PortError> {
        self.ports.lease.current().await
    }

    /// Migrations that some process left unsettled. Somebody may be steering them right now: only the lease tells.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, PortError> {
        orphans(&*self.ports.journal).await
    }

    /// Takes over every unsettled migration whose lease has run out, and steers each to its end.
    ///
    /// # Errors
    /// If the app DB cannot be reached. A lease that somebody holds is no error: that one is not recovered.
    pub async fn recover(&self) -> Result<Vec<Ended>, PortError> {
        let ended = |recovery| match recovery {
            Recovery::Steered { ended, .. } => Some(ended),
            Recovery::Marked { .. } | Recovery::Held { .. } => None,
        };
        Ok(self.recover_each().await?.into_iter().filter_map(ended).collect())
    }

    /// The same, and says of each what was done.
    ///
    /// # Errors
    /// If the app DB cannot be reached.
    pub async fn recover_each(&self) -> Result<Vec<Recovery>, PortError> {
        let mut recovered = Vec::new();
        for Orphan { id, .. } in self.orphans().await? {
            recovered.push(match self.take_over(id).await? {
                TakenOver::Held => Recovery::Held { id },
                TakenOver::WasSettled => Recovery::Marked { id },
                TakenOver::Steers(running) => {
                    let ended = running.end().await;
                    let entries = recover::entries(&*self.ports.journal, id).await?;
                    let (done, failed) = recover::since_taken_over(&entries);
                    Recovery::Steered {
                        id,
                        ended,
                        done,
                        failed,
                    }
                }
            });
        }
        Ok(recovered)
    }

    /// Goes on with what another process left, unless somebody is at it.
    async fn take_over(&self, id: MigrationId) -> Result<TakenOver, PortError> {
        let mut running = self.running.lock().await;
        if running.as_ref().is_some_and(|running| !running.is_over()) {
            return Ok(TakenOver::Held);
        }
        let term_ms = u64::try_from(self.settings.lease_term.as_millis()).unwrap_or(u64::MAX);
        let lease = match self.ports.lease.acquire(&self.settings.node, term_ms).await {
            Ok(lease) => lease,
            Err(error) if error.kind == ErrorKind::Conflict => return Ok(TakenOver::Held),
            Err(error) => return Err(error),
        };
        let taken = self.recovered(id, &lease).await;
        let Ok(Some((driver, view, cancel))) = taken else {
            self.ports.lease.release(&lease).await?;
            return taken.map(|_| TakenOver::WasSettled);
        };
        Ok(TakenOver::Steers(spawn(&mut running, driver, view, cancel)))
    }

    /// A driver that has recorded that it goes on; `None` if there is nothing to do.
    async fn recovered(&self, id: MigrationId, lease: &Lease) -> Result<Option<Recovered>, PortError> {
        // Read again under the lease: whoever held it may have gone on meanwhile.
        let (state, entries) = recover::load(&*self.ports.journal, id).await?;
        if state.is_settled() {
            self.ports.journal.settle(lease.token, id).await?;
            return Ok(None);
        }
        tracing::warn!(target: "cloud_migration", %id, phase = %state.phase(), "recovering what another process left");
        let event = Event::Recovered {
            attempt: state.run().attempt,
            token: lease.token,
        };
        let (mut driver, view, cancel) = self.driver(state, entries);
        driver.begin_with(event).await?;
        Ok(Some((driver, view, cancel)))
    }
}

/// How taking over went.
enum TakenOver {
    /// This process steers it now.
    Steers(Running),
    /// Only the mark that it is settled was missing.
    WasSettled,
    /// The lease is somebody's.
    Held,
}

type Recovered = (
    Driver,
    channel::Receiver<View>,
    channel::Sender<Option<Canceller>>,
);

fn spawn(
    slot: &mut Option<Running>,
    driver: Driver,
    view: channel::Receiver<View>,
    cancel: channel::Sender<Option<Canceller>>,
) -> Running {
    let (told, ended) = channel::channel(None);
    tokio::spawn(async move {
        let how = driver.run().await;
        told.send_replace(Some(how));
    });
    let running = Running {
        cancel: Arc::new(cancel),
        view,
        ended,
    };
    *slot = Some(running.clone());
    running
}

/// Somebody works on it, or did a moment ago.
const HELD_ADVICE: &str = "wait for it or cancel it; if its process was killed, start again when the lease has run out: \
    what it left is undone first";
/// Nobody does any more.
const NOBODY_ADVICE: &str =
    "nobody works on it any more: start again, what it left is undone first; or cancel it";

fn not_begun(state: MigrationState) -> NotBegun {
    let error = match state.failure() {
        Some(failure) => PortError::new(failure.kind, failure.message.clone()),
        None if state.phase() == Phase::Cancelled => {
            PortError::new(ErrorKind::Cancelled, "cancelled before the migration had begun")
        }
        None => PortError::new(ErrorKind::Unavailable, "the migration ended before it had begun"),
    };
    NotBegun {
        state: Some(Box::new(state)),
        error,
    }
}
