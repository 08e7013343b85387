//! The loop: what is due is announced in the journal, performed, and what happened is appended. The domain decides;
//! here is only repeated, waited and retried.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::{Canceller, Event, Fact, Intent, RowEnd};
use metaferry_domain::journal::{JournalEntry, VERSION};
use metaferry_domain::lease::Lease;
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{
    GuardedUpdate, JournalRecord, MigrationRow, Notice, PausedBefore, ReadOnlyBefore,
};
use metaferry_domain::retry::{RetryDecision, RetryPolicy};
use metaferry_domain::state::{MigrationState, RowStanding, Tenure};
use metaferry_domain::transition::next;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::perform::Performance;
use crate::ports::{Ports, Settings};
use crate::watch::{JournaledUpload, ProgressSignals, SIGNALS_MAX, Signal};

/// How a driver ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Everything that had to be done or undone is.
    Settled(Box<MigrationState>),
    /// Ended, but something could not be undone; `recover` tries again.
    Stuck(Box<MigrationState>),
    /// The lease is somebody else's now, who goes on; nothing more was touched here.
    LeaseLost,
}

/// What the driver shows while it runs.
#[derive(Debug, Clone)]
pub struct View {
    /// Where it stands.
    pub state: MigrationState,
    /// The row, once it was inserted.
    pub row: Option<MigrationRow>,
}

/// Steers one migration from its present state to the end.
pub(crate) struct Driver {
    ports: Ports,
    settings: Arc<Settings>,
    state: MigrationState,
    /// Number of the next journal entry.
    sequence: u64,
    /// Entries from before the lease: written as soon as it is held.
    held_back: Vec<JournalEntry>,
    running: JoinSet<(Effect, Result<Fact, PortError>)>,
    cancels: BTreeMap<Effect, Cancellation>,
    signals: mpsc::Receiver<Signal>,
    signal_sender: mpsc::Sender<Signal>,
    befores: Arc<Befores>,
    view: watch::Sender<View>,
    cancel_requests: watch::Receiver<Option<Canceller>>,
}

/// What was there before, read when the undo script was written: used where it cannot be read again later.
#[derive(Debug, Default)]
struct Befores {
    read_only: Mutex<Option<ReadOnlyBefore>>,
    paused: Mutex<Option<PausedBefore>>,
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
        let written = journal.iter().filter(|entry| entry.token.is_some()).count();
        let held_back = if written == 0 { journal.clone() } else { Vec::new() };
        Self {
            ports,
            settings,
            state,
            sequence: journal.len() as u64 + 1,
            held_back,
            running: JoinSet::new(),
            cancels: BTreeMap::new(),
            signals,
            signal_sender,
            befores: Arc::default(),
            view,
            cancel_requests,
        }
    }

    /// A journal's first entry.
    pub(crate) fn first_entry(state: &MigrationState, at_ms: u64) -> JournalEntry {
        let run = state.run();
        let event = Event::Begun {
            id: run.id,
            plan: run.plan,
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
        match self.steer().await {
            Ok(()) if self.state.is_settled() => Ended::Settled(Box::new(self.state)),
            Ok(()) => Ended::Stuck(Box::new(self.state)),
            Err(LeaseGone) => {
                tracing::error!(target: "cloud_migration", id = %self.state.run().id, "the lease is lost; stopping at once");
                self.running.shutdown().await;
                Ended::LeaseLost
            }
        }
    }

    async fn steer(&mut self) -> Result<(), LeaseGone> {
        let clock = Arc::clone(&self.ports.clock);
        let heartbeat = self.settings.lease_term / 3;
        let mut renew_at = clock.now_ms() + millis(heartbeat);
        let mut look_at = clock.now_ms() + millis(self.settings.watch_every);
        loop {
            self.start_due().await?;
            if self.running.is_empty() && self.state.due().is_empty() {
                return Ok(());
            }
            let now = clock.now_ms();
            let wait = renew_at.min(look_at).saturating_sub(now);
            tokio::select! {
                biased;
                changed = self.cancel_requests.changed() => {
                    let by = self.cancel_requests.borrow_and_update().clone();
                    if changed.is_ok() && let Some(by) = by {
                        self.cancelled(by).await?;
                    } else if changed.is_err() {
                        // Nobody is left who could ask; the row is still watched.
                        self.cancel_requests = watch::channel(None).1;
                        clock.sleep(Duration::from_millis(wait)).await;
                    }
                }
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    let (effect, result) = match ended {
                        Ok(ended) => ended,
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    };
                    self.ended(effect, result).await?;
                }
                Some(signal) = self.signals.recv() => self.signalled(signal).await?,
                () = clock.sleep(Duration::from_millis(wait)) => {
                    let now = clock.now_ms();
                    if now >= renew_at {
                        self.renew().await?;
                        renew_at = now + millis(heartbeat);
                    }
                    if now >= look_at {
                        self.look_at_row().await?;
                        look_at = now + millis(self.settings.watch_every);
                    }
                }
            }
        }
    }

    /// Announces and begins everything that is due.
    async fn start_due(&mut self) -> Result<(), LeaseGone> {
        loop {
            let Some(effect) = self.state.due().into_iter().next() else {
                return Ok(());
            };
            let intent = self.intent(effect).await;
            self.record(Event::EffectStarted(intent)).await?;
            if !self.state.run().running.contains(&effect) {
                // Announcing it again would be refused again. Stopping is safe: whoever takes the lease next undoes.
                return Err(LeaseGone);
            }
            if effect == Effect::ReleaseLease
                && let Tenure::Released(token) = self.state.run().tenure
                && let Err(error) = self.ports.journal.settle(token, self.state.run().id).await
            {
                // The journal says it all the same; the next recovery marks it.
                tracing::warn!(target: "cloud_migration", error = error.chain(), "could not mark the migration as settled");
            }
            self.begin(effect);
        }
    }

    /// What is announced, with what was there before, read now.
    async fn intent(&self, effect: Effect) -> Intent {
        match effect {
            Effect::ReadOnlyOn => {
                if let Ok(before) = self.ports.read_only.before().await {
                    keep(&self.befores.read_only, before);
                }
                match kept(&self.befores.read_only) {
                    Some(before) => Intent::ReadOnlyOn { before },
                    None => Intent::Plain(effect),
                }
            }
            Effect::QuiesceScheduler => {
                if let Ok(before) = self.ports.scheduler.before().await {
                    keep(&self.befores.paused, before);
                }
                match kept(&self.befores.paused) {
                    Some(before) => Intent::QuiesceScheduler { before },
                    None => Intent::Plain(effect),
                }
            }
            Effect::CopySnapshot => Intent::CopySnapshot {
                file: self.settings.dump_path(self.state.run().id),
            },
            other => Intent::Plain(other),
        }
    }

    fn begin(&mut self, effect: Effect) {
        let cancel = Cancellation::new();
        self.cancels.insert(effect, cancel.clone());
        let performance = self.performance(cancel.clone());
        let befores = Arc::clone(&self.befores);
        let policy = if undoes(effect) {
            RetryPolicy::undo()
        } else {
            RetryPolicy::default()
        };
        self.running.spawn(async move {
            let work = retried(&performance, effect, &befores, policy);
            // Effects that only read or wait are dropped where they stand; those that write end by themselves.
            let result = if is_droppable(effect) {
                tokio::select! {
                    result = work => result,
                    () = raised(&performance, &cancel) => Err(PortError::new(ErrorKind::Cancelled, "cancelled")),
                }
            } else {
                work.await
            };
            (effect, result)
        });
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
        Performance {
            ports: self.ports.clone(),
            settings: Arc::clone(&self.settings),
            plan: run.plan,
            attempt: run.attempt,
            token: run.tenure.token(),
            row: run.row.id,
            external_id: run.shore.as_ref().map(|shore| shore.external_id.clone()),
            destination: run.shore.as_ref().map(|shore| shore.destination.clone()),
            read_only_before: undo.read_only.as_ref().map(|debt| debt.remembered.clone()),
            paused_before: undo.scheduler.as_ref().map(|debt| debt.remembered.clone()),
            dump_path: self.settings.dump_path(run.id),
            file,
            receipt,
            state: self.state.clone(),
            upload_log: Arc::new(JournaledUpload::new(self.signal_sender.clone(), remembered)),
            signals: Arc::new(ProgressSignals::new(self.signal_sender.clone())),
            cancel,
        }
    }

    async fn ended(&mut self, effect: Effect, result: Result<Fact, PortError>) -> Result<(), LeaseGone> {
        self.cancels.remove(&effect);
        match result {
            Ok(fact) => {
                let inserted = matches!(fact, Fact::InsertRow { .. });
                self.record(Event::EffectDone(fact)).await?;
                if inserted {
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

    async fn signalled(&mut self, signal: Signal) -> Result<(), LeaseGone> {
        // What was told by an effect that has ended meanwhile is about nothing any more.
        let legal = next(&self.state, &signal.event).map(|_| ());
        let result = match legal {
            Ok(()) => {
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
        if next(&self.state, &event).is_ok() {
            self.record(event).await?;
        }
        Ok(())
    }

    /// Makes an event durable, then lets it decide.
    async fn record(&mut self, event: Event) -> Result<(), LeaseGone> {
        let before = self.state.phase();
        let transition = match next(&self.state, &event) {
            Ok(transition) => transition,
            Err(illegal) => {
                // A bug here or in an adapter; going on from the present state is the safe side.
                tracing::error!(target: "cloud_migration", %illegal, "an event that cannot be was left out");
                return Ok(());
            }
        };
        let lasting = transition.state.run();
        let releases = matches!(&event, Event::EffectDone(fact) if fact.effect() == Effect::ReleaseLease)
            || matches!(
                &event,
                Event::EffectFailed {
                    effect: Effect::ReleaseLease,
                    ..
                }
            );
        if !releases {
            let entry = JournalEntry {
                version: VERSION,
                sequence: self.sequence,
                at_ms: self.ports.clock.now_ms(),
                attempt: lasting.attempt,
                token: lasting.tenure.token(),
                event,
            };
            self.append(entry).await?;
        }
        let writes_progress = transition.effects.contains(&Effect::WriteProgress);
        self.state = transition.state;
        self.stop_what_is_not_wanted();
        self.show(before).await;
        if writes_progress {
            self.write_progress().await?;
        }
        Ok(())
    }

    async fn append(&mut self, entry: JournalEntry) -> Result<(), LeaseGone> {
        self.sequence += 1;
        if entry.token.is_none() {
            self.held_back.push(entry);
            return Ok(());
        }
        let Some(token) = entry.token else { return Ok(()) };
        let id = self.state.run().id;
        for entry in std::mem::take(&mut self.held_back).into_iter().chain([entry]) {
            let json = serde_json::to_string(&entry).expect("entries are plain data with text keys");
            let record = JournalRecord {
                sequence: entry.sequence,
                json,
            };
            let mut failed = 0;
            while let Err(error) = self.ports.journal.append(token, id, &record).await {
                failed += 1;
                match RetryPolicy::undo().decide(failed, error.kind, None, self.fraction()) {
                    RetryDecision::Again { after } => self.ports.clock.sleep(after).await,
                    RetryDecision::GiveUp => {
                        // Without a journal nothing may be done: the next holder of the lease recovers.
                        tracing::error!(target: "cloud_migration", error = error.chain(), "the journal cannot be written");
                        return Err(LeaseGone);
                    }
                }
            }
        }
        Ok(())
    }

    fn fraction(&self) -> f64 {
        let bits = self.ports.ids.new_id().as_u128() & 0xffff;
        f64::from(u16::try_from(bits).unwrap_or(0)) / f64::from(u16::MAX)
    }

    /// Effects of the way forward stop once the way forward has ended.
    fn stop_what_is_not_wanted(&self) {
        let forward = match self.state {
            MigrationState::Init { .. }
            | MigrationState::Setup { .. }
            | MigrationState::Dump { .. }
            | MigrationState::Upload { .. } => true,
            MigrationState::RollingBack { .. }
            | MigrationState::Done { .. }
            | MigrationState::Error { .. }
            | MigrationState::Cancelled { .. } => false,
        };
        if !forward {
            for (_, cancel) in self.cancels.iter().filter(|(effect, _)| !undoes(**effect)) {
                cancel.cancel();
            }
        }
    }

    async fn show(&self, before: Phase) {
        let phase = self.state.phase();
        self.view.send_modify(|view| view.state = self.state.clone());
        if phase == before {
            return;
        }
        let run = self.state.run();
        tracing::info!(target: "cloud_migration", id = %run.id, attempt = run.attempt.0, from = %before, to = %phase, "transition");
        if phase.is_terminal() {
            let message = self
                .state
                .failure()
                .map_or_else(|| phase.to_string(), |failure| failure.message.clone());
            let notice = Notice {
                migration: run.id,
                phase,
                message,
            };
            if let Err(error) = self.ports.notifier.notify(&notice).await {
                tracing::warn!(target: "cloud_migration", error = error.chain(), "nobody could be told");
            }
        }
    }

    async fn show_row(&self) {
        let Some(id) = self.state.run().row.id else { return };
        if let Ok(Some(row)) = self.ports.rows.get(id).await {
            self.view.send_modify(|view| view.row = Some(row));
        }
    }

    async fn write_progress(&mut self) -> Result<(), LeaseGone> {
        let run = self.state.run();
        let (Some(row), Some(token)) = (run.row.id, run.tenure.token()) else {
            return Ok(());
        };
        let phase = self.state.phase();
        let progress = run.progress.percent();
        match self.ports.rows.update_guarded(token, row, phase, progress).await {
            Ok(GuardedUpdate::Written) => Ok(()),
            // Boxed: what is recorded of it may write progress again.
            Ok(GuardedUpdate::Ended(_) | GuardedUpdate::Missing) => Box::pin(self.look_at_row()).await,
            // The next write makes up for it; a lost lease is noticed by the heartbeat.
            Err(error) => {
                tracing::debug!(target: "cloud_migration", error = error.chain(), "progress could not be written");
                Ok(())
            }
        }
    }

    async fn renew(&mut self) -> Result<(), LeaseGone> {
        let Tenure::Held(token) = self.state.run().tenure else {
            return Ok(());
        };
        let lease = Lease {
            token,
            holder: self.settings.node.clone(),
            term_ms: millis(self.settings.lease_term),
        };
        match self.ports.lease.renew(&lease).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == ErrorKind::Precondition => {
                self.record_lost().await;
                Err(LeaseGone)
            }
            // Two more heartbeats fit into the term.
            Err(error) => {
                tracing::warn!(target: "cloud_migration", error = error.chain(), "the lease could not be renewed");
                Ok(())
            }
        }
    }

    async fn record_lost(&mut self) {
        if let Ok(transition) = next(&self.state, &Event::LeaseLost) {
            let before = self.state.phase();
            self.state = transition.state;
            self.show(before).await;
        }
    }

    /// Has somebody ended the row? Metabase, another node, an operator's SQL.
    async fn look_at_row(&mut self) -> Result<(), LeaseGone> {
        let run = self.state.run();
        let Some(id) = run.row.id else { return Ok(()) };
        if run.row.standing != RowStanding::Open {
            return Ok(());
        }
        // While we write the end ourselves, what is read may be our own.
        if self
            .cancels
            .keys()
            .any(|effect| matches!(effect, Effect::WriteState(phase) if phase.is_terminal()))
        {
            return Ok(());
        }
        let end = match self.ports.rows.get(id).await {
            Ok(Some(row)) => RowEnd::of(row.phase),
            Ok(None) => Some(RowEnd::Deleted),
            Err(error) => {
                tracing::debug!(target: "cloud_migration", error = error.chain(), "the row could not be looked at");
                None
            }
        };
        match end {
            Some(end) => {
                tracing::info!(target: "cloud_migration", id = %self.state.run().id, ?end, "the row was ended from outside");
                self.record(Event::RowEndedOutside { end }).await
            }
            None => Ok(()),
        }
    }
}

/// Performs with retries: only what is worth another try, and never after a cancel.
async fn retried(
    performance: &Performance,
    effect: Effect,
    befores: &Befores,
    policy: RetryPolicy,
) -> Result<Fact, PortError> {
    let mut failed = 0;
    loop {
        let result = match effect {
            Effect::StoreUndoScript => remember(performance, befores).await,
            _ => Ok(()),
        };
        let error = match result {
            Ok(()) => match performance.perform(effect).await {
                Ok(fact) => return Ok(fact),
                Err(error) => error,
            },
            Err(error) => error,
        };
        failed += 1;
        // The upload engine and the copy have their own retries, or none that make sense.
        if matches!(
            effect,
            Effect::UploadDump | Effect::CopySnapshot | Effect::FinishDump | Effect::CreateAtStore
        ) {
            return Err(error);
        }
        let bits = performance.ports.ids.new_id().as_u128() & 0xffff;
        let fraction = f64::from(u16::try_from(bits).unwrap_or(0)) / f64::from(u16::MAX);
        match policy.decide(failed, error.kind, None, fraction) {
            RetryDecision::Again { after } => {
                tracing::warn!(target: "cloud_migration", %effect, error = error.chain(), "trying again");
                performance.ports.clock.sleep(after).await;
                performance.cancel.check()?;
            }
            RetryDecision::GiveUp => return Err(error),
        }
    }
}

/// Reads what is there before anything is changed.
async fn remember(performance: &Performance, befores: &Befores) -> Result<(), PortError> {
    keep(&befores.read_only, performance.ports.read_only.before().await?);
    keep(&befores.paused, performance.ports.scheduler.before().await?);
    Ok(())
}

fn keep<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().expect("nothing panics while it holds this") = Some(value);
}

fn kept<T: Clone>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().expect("nothing panics while it holds this").clone()
}

/// Returns once the flag is raised; looked at often enough for a cancel to be felt at once.
async fn raised(performance: &Performance, cancel: &Cancellation) {
    while !cancel.is_cancelled() {
        performance.ports.clock.sleep(Duration::from_millis(50)).await;
    }
}

fn undoes(effect: Effect) -> bool {
    match effect {
        Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::ReleaseLease => true,
        Effect::Preflight
        | Effect::AcquireLease
        | Effect::CreateAtStore
        | Effect::InsertRow
        | Effect::StoreUndoScript
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

/// Stopping these in the middle leaves nothing that is not owed anyway.
fn is_droppable(effect: Effect) -> bool {
    match effect {
        Effect::Preflight
        | Effect::AwaitReadOnly
        | Effect::AwaitRunningJobs
        | Effect::CopySnapshot
        | Effect::ProveReadOnlyHeld
        | Effect::FinishDump
        | Effect::UploadDump
        | Effect::VerifyObject => true,
        Effect::AcquireLease
        | Effect::CreateAtStore
        | Effect::InsertRow
        | Effect::StoreUndoScript
        | Effect::ReadOnlyOn
        | Effect::QuiesceScheduler
        | Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::TellStore
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::WriteProgress
        | Effect::ReleaseLease => false,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
