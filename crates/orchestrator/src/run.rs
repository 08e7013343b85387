//! The loop: what is due is announced in the journal, performed, and what happened is appended. The domain decides;
//! here is only repeated and waited. Making events durable is in `run/record.rs`, beginning and ending effects in
//! `run/effects.rs`, the row's side in `run/row.rs`.

mod effects;
mod record;
mod row;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::{Canceller, Event, Fact};
use metaferry_domain::journal::{JournalEntry, VERSION};
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::MigrationState;
use metaferry_domain::transition::next;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

use crate::attempt::Befores;
use crate::fault::Faults;
use crate::keeper::Keeper;
use crate::perform::millis;
use crate::ports::{Ports, Settings};
use crate::watch::{SIGNALS_MAX, Signal};

/// How often what could not be undone is tried again before it is left to whoever recovers. The waits between them are
/// about an hour.
const UNDO_ROUNDS_MAX: u32 = 60;
/// Before the first of these rounds; doubles with each.
const UNDO_WAIT_MIN: Duration = Duration::from_secs(10);
/// Between the last ones: so long users may still not write after whoever was in the way is gone.
const UNDO_WAIT_MAX: Duration = Duration::from_secs(60);
const UNDO_DOUBLINGS_MAX: u32 = 8;
/// How long an ended driver waits until people were told.
const NOTICES_WAIT_MAX: Duration = Duration::from_secs(10);

/// How a driver ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Everything that had to be done or undone is.
    Settled(Box<MigrationState>),
    /// Ended, but something could not be undone, for about an hour; `recover` tries again.
    Stuck(Box<MigrationState>),
    /// The lease is somebody else's now, who goes on, or the journal could not be written; nothing more was touched
    /// here, and `recover` goes on once the lease has run out.
    LeaseLost,
}

/// What the driver shows while it runs.
#[derive(Debug, Clone)]
pub struct View {
    /// Where it stands.
    pub state: MigrationState,
    /// The row as it was last seen, once it was inserted.
    pub row: Option<MigrationRow>,
}

/// Steers one migration from its present state to the end.
pub(crate) struct Driver {
    ports: Ports,
    settings: Arc<Settings>,
    faults: Faults,
    state: MigrationState,
    /// The newest row when the migration began: if another one is there later, somebody else began one meanwhile.
    newest_row: Option<RowId>,
    /// Number of the next journal entry.
    sequence: u64,
    /// Entries from before the lease: written as soon as it is held.
    held_back: Vec<JournalEntry>,
    keeper: Option<Keeper>,
    running: JoinSet<Result<Fact, PortError>>,
    /// What runs: the flag that stops it, and its task.
    performed: BTreeMap<Effect, (Cancellation, Id)>,
    signals: mpsc::Receiver<Signal>,
    signal_sender: mpsc::Sender<Signal>,
    befores: Arc<Befores>,
    view: watch::Sender<View>,
    cancel_requests: watch::Receiver<Option<Canceller>>,
    /// Telling people must not hold up undoing.
    notices: JoinSet<()>,
    undo_rounds: u32,
}

/// The driver stops here: it may change nothing any more.
struct LeaseGone;

impl Driver {
    pub(crate) fn new(
        ports: Ports,
        settings: Arc<Settings>,
        state: MigrationState,
        journal: Vec<JournalEntry>,
        view: watch::Sender<View>,
        cancel_requests: watch::Receiver<Option<Canceller>>,
    ) -> Self {
        let (signal_sender, signals) = mpsc::channel(SIGNALS_MAX);
        let written = journal.iter().any(|entry| entry.token.is_some());
        Self {
            ports,
            settings,
            faults: Faults::default(),
            state,
            newest_row: None,
            sequence: journal.len() as u64 + 1,
            held_back: if written { Vec::new() } else { journal },
            keeper: None,
            running: JoinSet::new(),
            performed: BTreeMap::new(),
            signals,
            signal_sender,
            befores: Arc::default(),
            view,
            cancel_requests,
            notices: JoinSet::new(),
            undo_rounds: 0,
        }
    }

    /// No row newer than this one may appear until ours is inserted.
    pub(crate) fn begun_after(mut self, newest_row: Option<RowId>) -> Self {
        self.newest_row = newest_row;
        self
    }

    /// Effects go wrong on purpose.
    pub(crate) fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// A journal's first entry.
    pub(crate) fn first_entry(state: &MigrationState, at_ms: u64) -> JournalEntry {
        let run = state.run();
        let event = Event::Begun {
            id: run.id,
            plan: run.plan.clone(),
        };
        JournalEntry {
            version: VERSION,
            sequence: 1,
            at_ms,
            attempt: run.attempt,
            token: None,
            event,
        }
    }

    /// Records one event before anything else: a recovery or a retry.
    pub(crate) async fn begin_with(&mut self, event: Event) -> Result<(), PortError> {
        self.record(event).await.map_err(|LeaseGone| {
            PortError::new(
                ErrorKind::Precondition,
                "the lease was lost before anything was done",
            )
        })
    }

    /// Runs to the end.
    pub(crate) async fn run(mut self) -> Ended {
        let steered = self.steer().await;
        if let Err(LeaseGone) = steered {
            tracing::error!(
                target: "cloud_migration", id = %self.state.run().id,
                "the lease or the journal is lost; stopping at once, and whoever recovers goes on"
            );
            for (cancel, _) in self.performed.values() {
                cancel.cancel();
            }
            self.running.shutdown().await;
        }
        self.keeper = None;
        let clock = Arc::clone(&self.ports.clock);
        tokio::select! {
            biased;
            () = async { while self.notices.join_next().await.is_some() {} } => {}
            () = clock.sleep(NOTICES_WAIT_MAX) => {}
        }
        match steered {
            Ok(()) if self.state.is_settled() => Ended::Settled(Box::new(self.state)),
            Ok(()) => Ended::Stuck(Box::new(self.state)),
            Err(LeaseGone) => Ended::LeaseLost,
        }
    }

    async fn steer(&mut self) -> Result<(), LeaseGone> {
        let clock = Arc::clone(&self.ports.clock);
        let mut look_at = clock.now_ms() + millis(self.settings.watch_every);
        let mut undo_at = None;
        let mut askable = Askable::Yes;
        loop {
            self.start_due().await?;
            let now = clock.now_ms();
            if now >= look_at {
                self.look_at_row().await?;
                look_at = clock.now_ms() + millis(self.settings.watch_every);
                continue;
            }
            let mut wake_at = look_at;
            if self.running.is_empty() {
                if self.state.is_settled() {
                    return Ok(());
                }
                let Some(at) = undo_at.or_else(|| self.next_undo_at(now)) else {
                    return Ok(());
                };
                if now >= at {
                    undo_at = None;
                    self.record(Event::UndoRequested).await?;
                    continue;
                }
                undo_at = Some(at);
                wake_at = wake_at.min(at);
            }
            tokio::select! {
                biased;
                () = lost(self.keeper.as_ref()) => {
                    self.record_lost();
                    return Err(LeaseGone);
                }
                changed = self.cancel_requests.changed(), if askable == Askable::Yes => {
                    // Once nobody is left who could ask, the row is still watched.
                    if changed.is_err() {
                        askable = Askable::No;
                    }
                    let by = self.cancel_requests.borrow_and_update().clone();
                    if let Some(by) = by {
                        self.cancelled(by).await?;
                    }
                }
                // Before what has ended: what an effect told while it ran belongs before its end.
                Some(signal) = self.signals.recv() => self.signalled(signal).await?,
                Some(ended) = self.running.join_next_with_id() => self.joined(ended).await?,
                () = clock.sleep(Duration::from_millis(wake_at.saturating_sub(now))) => {}
            }
        }
    }

    /// When what is stuck is to be tried again; `None` once that was done often enough.
    fn next_undo_at(&mut self, now: u64) -> Option<u64> {
        if self.undo_rounds >= UNDO_ROUNDS_MAX {
            return None;
        }
        let wait = UNDO_WAIT_MIN
            .saturating_mul(1 << self.undo_rounds.min(UNDO_DOUBLINGS_MAX))
            .min(UNDO_WAIT_MAX);
        self.undo_rounds += 1;
        tracing::warn!(
            target: "cloud_migration", id = %self.state.run().id, seconds = wait.as_secs(), round = self.undo_rounds,
            "something could not be undone; trying again after a while"
        );
        Some(now.saturating_add(millis(wait)))
    }

    async fn signalled(&mut self, signal: Signal) -> Result<(), LeaseGone> {
        // What was told by an effect that has ended meanwhile is about nothing any more.
        let result = match next(&self.state, &signal.event) {
            Ok(_) => {
                self.record(signal.event).await?;
                Ok(())
            }
            Err(illegal) => Err(PortError::new(ErrorKind::Cancelled, illegal.to_string())),
        };
        if let Some(recorded) = signal.recorded {
            // Whoever waited may be gone: a cancelled upload.
            let _ = recorded.send(result);
        }
        Ok(())
    }

    async fn cancelled(&mut self, by: Canceller) -> Result<(), LeaseGone> {
        let event = Event::CancelRequested { by };
        if self.state.phase() != Phase::Cancelled && next(&self.state, &event).is_ok() {
            self.record(event).await?;
        }
        Ok(())
    }
}

/// Whether somebody may still ask this driver to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Askable {
    Yes,
    No,
}

/// Returns once the lease is lost; never while there is none.
async fn lost(keeper: Option<&Keeper>) {
    match keeper {
        Some(keeper) => keeper.lost().await,
        None => std::future::pending().await,
    }
}
