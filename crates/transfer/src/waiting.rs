//! Waiting that a cancel ends at once, not only when what is waited for comes.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::{Cancellation, PortError};

/// How often a wait looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The answer, or an error of kind [`Cancelled`](metaferry_domain::ErrorKind::Cancelled), and then what would have
/// answered is dropped.
pub(crate) async fn unless_cancelled<T>(
    cancel: &Cancellation,
    answer: impl Future<Output = T> + Send,
) -> Result<T, PortError> {
    cancel.check()?;
    tokio::select! {
        biased;
        answer = answer => Ok(answer),
        cancelled = until_cancelled(cancel) => Err(cancelled),
    }
}

/// Returns once the flag is raised.
async fn until_cancelled(cancel: &Cancellation) -> PortError {
    loop {
        if let Err(cancelled) = cancel.check() {
            return cancelled;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
