//! Telling Quartz's nodes that schedules run again: worth a moment, and never worth keeping users from writing.

use std::time::Duration;

use metaferry_domain::{ErrorKind, PortError};

/// Somebody may hold a lock on the check-ins; read-only is put back after this.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Tells them if it can be done soon; else they find out by themselves.
pub(crate) async fn in_good_time(wake_up: impl Future<Output = Result<(), PortError>>) {
    let told = tokio::time::timeout(WAIT_MAX, wake_up).await.unwrap_or_else(|_| {
        let what = format!("it takes longer than {} ms", WAIT_MAX.as_millis());
        Err(PortError::new(ErrorKind::Unavailable, what))
    });
    if let Err(error) = told {
        tracing::warn!(
            target: "cloud_migration", error = error.chain(),
            "schedules run again, but nodes could not be told: they look for themselves within half a minute"
        );
    }
}
