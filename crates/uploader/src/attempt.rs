//! One call under the domain's retry policy: counts, waits, calls again, says so.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use metaferry_domain::PortError;
use metaferry_domain::ports::Clock;
use metaferry_domain::retry::{RetryDecision, RetryPolicy};

use crate::HttpFailure;

/// Draws a fraction in 0..1 that spreads retries: random in production, chosen in tests.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Makes calls again.
#[derive(Clone, Copy)]
pub(crate) struct Attempts<'a> {
    pub(crate) policy: RetryPolicy,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) jitter: &'a Jitter,
}

impl fmt::Debug for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Attempts<'_> {
    /// Calls until it works or the policy gives up; the last failure keeps its kind. Whoever drops the future
    /// cancels the call or the wait.
    pub(crate) async fn run<T, F, Fut>(&self, what: &str, mut call: F) -> Result<T, PortError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, PortError>>,
    {
        let mut failed = 0;
        loop {
            let error = match call().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failed += 1;
            let retry_after = HttpFailure::beneath(&error).and_then(|answer| answer.retry_after);
            match self
                .policy
                .decide(failed, error.kind, retry_after, (self.jitter)())
            {
                RetryDecision::Again { after } => {
                    let wait_ms = after.as_millis();
                    tracing::warn!(
                        failed,
                        wait_ms,
                        error = error.chain(),
                        "{what} failed and is tried again"
                    );
                    self.clock.sleep(after).await;
                }
                RetryDecision::GiveUp if failed == 1 => return Err(error),
                RetryDecision::GiveUp => {
                    return Err(
                        PortError::new(error.kind, format!("{what} failed {failed} times")).because(error),
                    );
                }
            }
        }
    }
}
