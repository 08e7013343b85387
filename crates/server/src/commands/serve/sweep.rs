//! Triggers that a settled migration had to leave behind because others used their tables: a node that serves takes them
//! away as soon as it can.

use std::time::Duration;

use metaferry_metabase::env::address::AppDbAddress;
use tokio::time::Instant;

use crate::wiring;

/// The longest pause between two tries: each makes those wait for a moment who come to the table meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(600);

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
        self.pause = match wiring::remove_leftovers(&self.address).await {
            Ok(swept) => {
                if !swept.removed.is_empty() {
                    let removed = swept.removed.join(", ");
                    tracing::info!(target: "cloud_migration", removed, "removed triggers that did nothing any more");
                }
                if swept.left.is_empty() {
                    self.first
                } else {
                    self.pause.saturating_mul(2).min(PAUSE_MAX.max(self.first))
                }
            }
            // Somebody migrates, as a rule.
            Err(error) => {
                tracing::debug!(target: "cloud_migration", error = error.message, "triggers of a settled migration stay for now");
                self.first
            }
        };
        self.due = Instant::now() + self.pause;
    }
}
