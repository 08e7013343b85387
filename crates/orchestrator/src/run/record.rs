//! Makes events durable, keeps the lease while it is held, and shows what changed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::Event;
use metaferry_domain::journal::{JournalEntry, VERSION};
use metaferry_domain::lease::{FencingToken, Lease};
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{JournalRecord, Notice};
use metaferry_domain::retry::{RetryDecision, RetryPolicy};
use metaferry_domain::state::{MigrationState, Tenure};
use metaferry_domain::transition::next;
use metaferry_domain::{ErrorKind, PortError};

use super::{Driver, LeaseGone, lost, millis};
use crate::attempt::{fraction, undoes};
use crate::in_time::{ENTRY_MAX, LOOK_MAX, in_time};
use crate::keeper::Keeper;

impl Driver {
    /// Makes an event durable, then lets it decide.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), LeaseGone> {
        let before = self.state.phase();
        let transition = match next(&self.state, &event) {
            Ok(transition) => transition,
            Err(illegal) => {
                // A bug here or in an adapter; going on from the present state is the safe side.
                tracing::error!(target: "cloud_migration", %illegal, "an event that cannot be was left out");
                return Ok(());
            }
        };
        if let Tenure::Held(token) = transition.state.run().tenure {
            // Before anything is written under it: what was held back may take longer than a term.
            self.keep_lease(token);
        }
        if !ends_release(&event) {
            let lasting = transition.state.run();
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
        self.show(before);
        if writes_progress {
            self.write_progress().await?;
        }
        Ok(())
    }

    /// Appends an entry and whatever was held back before it, each durable before the next.
    async fn append(&mut self, entry: JournalEntry) -> Result<(), LeaseGone> {
        self.sequence += 1;
        let token = entry.token;
        self.held_back.push(entry);
        let Some(token) = token else { return Ok(()) };
        for entry in std::mem::take(&mut self.held_back) {
            let json = serde_json::to_string(&entry).expect("entries are plain data with text keys");
            let record = JournalRecord {
                sequence: entry.sequence,
                json,
            };
            self.append_record(token, &record).await?;
        }
        Ok(())
    }

    async fn append_record(&self, token: FencingToken, record: &JournalRecord) -> Result<(), LeaseGone> {
        let id = self.state.run().id;
        let mut failed = 0;
        loop {
            let append = self.ports.journal.append(token, id, record);
            let Err(error) = self.answered(ENTRY_MAX, "a journal entry", append).await? else {
                return Ok(());
            };
            failed += 1;
            match RetryPolicy::undo().decide(failed, error.kind, None, fraction(&*self.ports.ids)) {
                RetryDecision::Again { after } => tokio::select! {
                    biased;
                    () = self.ports.clock.sleep(after) => {}
                    () = lost(self.keeper.as_ref()) => return Err(LeaseGone),
                },
                RetryDecision::GiveUp => {
                    // Without a journal nothing may be done: the next holder of the lease recovers.
                    tracing::error!(target: "cloud_migration", error = error.chain(), "the journal cannot be written");
                    return Err(LeaseGone);
                }
            }
        }
    }

    /// An answer of the app DB, waited for no longer than `limit`, and not once the lease is lost.
    pub(super) async fn answered<T>(
        &self,
        limit: Duration,
        what: &str,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<Result<T, PortError>, LeaseGone> {
        tokio::select! {
            biased;
            answer = in_time(&*self.ports.clock, limit, what, answer) => Ok(answer),
            () = lost(self.keeper.as_ref()) => Err(LeaseGone),
        }
    }

    /// The same for what the next time makes up for: whoever asks to cancel for the first time does not wait for it.
    pub(super) async fn glanced<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<Result<T, PortError>, LeaseGone> {
        let mut asked = self.cancel_requests.clone();
        if asked.borrow().is_some() {
            return self.answered(LOOK_MAX, what, answer).await;
        }
        tokio::select! {
            biased;
            answer = self.answered(LOOK_MAX, what, answer) => answer,
            Ok(()) = asked.changed() => Ok(Err(PortError::new(ErrorKind::Cancelled, what))),
        }
    }

    /// Marks the journal as settled. Where that fails the journal says it all the same, and recovering marks it.
    pub(super) async fn settle(&self) {
        let Tenure::Released(token) = self.state.run().tenure else {
            return;
        };
        let id = self.state.run().id;
        let mut failed = 0;
        while let Err(error) = in_time(
            &*self.ports.clock,
            ENTRY_MAX,
            "settling the journal",
            self.ports.journal.settle(token, id),
        )
        .await
        {
            failed += 1;
            match RetryPolicy::default().decide(failed, error.kind, None, fraction(&*self.ports.ids)) {
                RetryDecision::Again { after } => self.ports.clock.sleep(after).await,
                RetryDecision::GiveUp => {
                    tracing::warn!(target: "cloud_migration", %id, error = error.chain(), "could not mark the migration as settled");
                    return;
                }
            }
        }
    }

    /// From now on the lease is renewed, until it is given back.
    fn keep_lease(&mut self, token: FencingToken) {
        if self.keeper.as_ref().is_none_or(|keeper| keeper.token != token) {
            let leases = Arc::clone(&self.ports.lease);
            let clock = Arc::clone(&self.ports.clock);
            self.keeper = Some(Keeper::keep(leases, clock, self.lease(token)));
        }
    }

    fn lease(&self, token: FencingToken) -> Lease {
        Lease {
            token,
            holder: self.settings.node.clone(),
            term_ms: millis(self.settings.lease_term),
        }
    }

    /// Asks now whether the lease is still ours.
    pub(super) async fn renew(&mut self) -> Result<(), LeaseGone> {
        let Tenure::Held(token) = self.state.run().tenure else {
            return Ok(());
        };
        let lease = self.lease(token);
        let renew = self.ports.lease.renew(&lease);
        match self.answered(LOOK_MAX, "renewing the lease", renew).await? {
            Err(error) if error.kind == ErrorKind::Precondition => {
                self.record_lost();
                Err(LeaseGone)
            }
            // Any other error is the keeper's, who counts.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Nothing is due any more. Never appended: who lost the lease cannot write.
    pub(super) fn record_lost(&mut self) {
        if let Ok(transition) = next(&self.state, &Event::LeaseLost) {
            let before = self.state.phase();
            self.state = transition.state;
            self.show(before);
        }
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
            for (_, (cancel, _)) in self.performed.iter().filter(|(effect, _)| !undoes(**effect)) {
                cancel.cancel();
            }
        }
    }

    fn show(&mut self, before: Phase) {
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
            let notifier = Arc::clone(&self.ports.notifier);
            self.notices.spawn(async move {
                if let Err(error) = notifier.notify(&notice).await {
                    tracing::warn!(target: "cloud_migration", error = error.chain(), "nobody could be told");
                }
            });
        }
    }
}

/// Once the lease is being given back nothing can be written under it any more.
fn ends_release(event: &Event) -> bool {
    match event {
        Event::EffectDone(fact) => fact.effect() == Effect::ReleaseLease,
        Event::EffectFailed { effect, .. } => *effect == Effect::ReleaseLease,
        Event::Begun { .. }
        | Event::EffectStarted(_)
        | Event::Progressed { .. }
        | Event::Waiting { .. }
        | Event::UploadBegun { .. }
        | Event::PartArrived { .. }
        | Event::CancelRequested { .. }
        | Event::RowEndedOutside { .. }
        | Event::LeaseLost
        | Event::Recovered { .. }
        | Event::RetryRequested
        | Event::UndoRequested => false,
    }
}
