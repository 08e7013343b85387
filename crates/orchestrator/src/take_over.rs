//! Taking over what another process left, under its lease once that has run out.

use metaferry_domain::event::Event;
use metaferry_domain::lease::Lease;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::{ErrorKind, PortError};

use crate::Orchestrator;
use crate::perform::millis;
use crate::recover::{self, Orphan, Recovery};
use crate::run::Ended;
use crate::running::{Ready, Running, spawn};

impl Orchestrator {
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
        let term_ms = millis(self.settings.lease_term);
        let lease = match self.ports.lease.acquire(&self.settings.node, term_ms).await {
            Ok(lease) => lease,
            Err(error) if error.kind == ErrorKind::Conflict => return Ok(TakenOver::Held),
            Err(error) => return Err(error),
        };
        let taken = self.recovered(id, &lease).await;
        let Ok(Some(ready)) = taken else {
            self.ports.lease.release(&lease).await?;
            return taken.map(|_| TakenOver::WasSettled);
        };
        Ok(TakenOver::Steers(spawn(&mut running, ready)))
    }

    /// A driver that has recorded that it goes on; `None` if there is nothing to do.
    async fn recovered(&self, id: MigrationId, lease: &Lease) -> Result<Option<Ready>, PortError> {
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
        let mut ready = self.driver(state, entries);
        ready.driver.begin_with(event).await?;
        Ok(Some(ready))
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
