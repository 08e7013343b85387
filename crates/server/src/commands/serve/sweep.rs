//! Triggers that a settled migration had to leave behind because others used their tables: a node that serves takes them
//! away when it can.

use std::time::Duration;

use metaferry_app_db::{Effort, Leftovers};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::AppDbAddress;
use tokio::time::{Instant, timeout};

use crate::exit::CommandError;
use crate::wiring;

/// The longest pause between two tries: nobody can begin to migrate while one lasts.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// The longest that one may take: a network that went silent must not keep a node from looking for other things.
const TRY_MAX: Duration = Duration::from_secs(60);

/// When it is tried next.
pub(super) struct Sweep {
    address: AppDbAddress,
    /// The first pause, doubled with every try that leaves something.
    first: Duration,
    pause: Duration,
    due: Instant,
}

impl Sweep {
    /// Due at once, and then once in every `pause`.
    pub(super) fn new(address: AppDbAddress, pause: Duration) -> Self {
        Self {
            address,
            first: pause,
            pause,
            due: Instant::now(),
        }
    }

    /// Tries it, if it is due.
    pub(super) async fn try_if_due(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        let swept = timeout(
            TRY_MAX,
            wiring::remove_leftovers(&self.address, Effort::InPassing),
        )
        .await;
        let swept = swept.unwrap_or_else(|_| Err(silent().into()));
        self.pause = match &swept {
            Ok(Leftovers { left, .. }) if !left.is_empty() => {
                self.pause.saturating_mul(2).min(PAUSE_MAX.max(self.first))
            }
            Ok(_) | Err(_) => self.first,
        };
        self.due = Instant::now() + self.pause;
        tell(&swept);
    }
}

fn silent() -> PortError {
    PortError::new(ErrorKind::Unavailable, "the app DB gave no answer")
}

fn tell(swept: &Result<Leftovers, CommandError>) {
    match swept {
        Ok(Leftovers { removed, .. }) if !removed.is_empty() => {
            let removed = removed.join(", ");
            tracing::info!(target: "cloud_migration", removed, "removed triggers that did nothing any more");
        }
        Ok(_) => {}
        // Somebody migrates, as a rule.
        Err(error) => {
            tracing::debug!(target: "cloud_migration", error = error.message, "triggers of a settled migration stay for now");
        }
    }
}
