//! Keeps the lease: renews it while the driver does other things, and says when it is lost.
//!
//! Renewing has its own task, so that neither a slow journal nor many signals hold it up. How long the lease lasts is
//! counted by this process's monotonic clock from the moment before it was asked for, never compared with the
//! database's.

use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::lease::{FencingToken, HolderDuty, Lease, LeaseTerms};
use metaferry_domain::ports::{Clock, LeaseStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Between two tries to renew, after one that failed.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A lease that is being renewed; renewing ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) token: FencingToken,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Held,
    Lost,
}

impl Keeper {
    /// Keeps a lease that was just given. It is renewed at once: how long ago it was asked for is not known here.
    pub(crate) fn keep(leases: Arc<dyn LeaseStore>, clock: Arc<dyn Clock>, lease: Lease) -> Self {
        let (told, standing) = watch::channel(Standing::Held);
        let token = lease.token;
        let task = tokio::spawn(async move {
            renew_until_lost(&*leases, &*clock, &lease).await;
            told.send_replace(Standing::Lost);
        });
        Self {
            token,
            standing,
            task,
        }
    }

    /// Returns once the lease is lost, or may be: nothing may be changed any more.
    pub(crate) async fn lost(&self) {
        // A keeper that is gone without a word has panicked: nobody renews.
        let _ = self
            .standing
            .clone()
            .wait_for(|standing| *standing == Standing::Lost)
            .await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew_until_lost(leases: &dyn LeaseStore, clock: &dyn Clock, lease: &Lease) {
    let terms = LeaseTerms::of_term(lease.term_ms).unwrap_or(LeaseTerms {
        term_ms: lease.term_ms,
        renew_after_ms: lease.term_ms / 3,
        stop_before_ms: lease.term_ms / 6,
    });
    let mut asked_at = Instant::now();
    let mut due = HolderDuty::Renew;
    loop {
        match due {
            HolderDuty::CarryOn { renew_in_ms } => clock.sleep(Duration::from_millis(renew_in_ms)).await,
            HolderDuty::Renew => {
                let asking_at = Instant::now();
                let left = terms
                    .term_ms
                    .saturating_sub(terms.stop_before_ms)
                    .saturating_sub(millis(asked_at));
                let renewed = tokio::select! {
                    biased;
                    renewed = leases.renew(lease) => renewed,
                    () = clock.sleep(Duration::from_millis(left)) => return,
                };
                match renewed {
                    Ok(()) => asked_at = asking_at,
                    Err(error) if error.kind == ErrorKind::Precondition => return,
                    Err(error) => {
                        tracing::warn!(target: "cloud_migration", error = error.chain(), "the lease could not be renewed yet");
                        clock
                            .sleep(TRY_AGAIN_AFTER.min(Duration::from_millis(terms.stop_before_ms)))
                            .await;
                    }
                }
            }
            HolderDuty::Stop => return,
        }
        due = terms.duty(millis(asked_at));
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
