//! How a migration begins, or is tried again: whether it may, and what stands in the way.

use metaferry_domain::event::Event;
use metaferry_domain::migration::{MigrationId, Phase};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::{MigrationState, RowStanding};
use metaferry_domain::{ErrorKind, PortError};

use crate::Orchestrator;
use crate::recover;
use crate::run::Driver;
use crate::running::{Running, spawn};

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
        let mut ready = self.driver(state, vec![entry]);
        ready.driver = ready.driver.begun_after(newest.map(|row| row.id));
        Ok(spawn(&mut running, ready))
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
        let mut ready = self.driver(state, entries);
        ready.driver.begin_with(Event::RetryRequested).await?;
        ready.driver = ready.driver.begun_after(Some(newest.id));
        Ok(spawn(&mut running, ready))
    }

    /// A migration stands in the way: whose it is, and for how long if he is gone.
    async fn not_ended(&self, what: &str) -> PortError {
        let held = match self.ports.lease.current().await {
            Ok(Some(held)) => held,
            Ok(None) => return PortError::new(ErrorKind::Conflict, what).advising(NOBODY_ADVICE),
            Err(error) => return PortError::new(ErrorKind::Conflict, what).because(error),
        };
        let (holder, seconds) = (held.lease.holder, held.left_ms.div_ceil(1000));
        PortError::new(
            ErrorKind::Conflict,
            format!(
                "{what}: {holder} holds its lease, and if that process is gone the lease runs out within {seconds} s"
            ),
        )
        .advising(HELD_ADVICE)
    }
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
