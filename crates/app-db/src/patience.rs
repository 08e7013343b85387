//! Statements that wait for others, and none longer than it is wanted: for rows that somebody keeps locked, and for tables
//! that they need for themselves and others keep in use. Of these each try waits a moment only, because everybody who comes
//! later queues behind us.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use metaferry_domain::{Cancellation, ErrorKind, PortError};

use crate::error::{Busy, busy, failed};

/// How often it is looked whether nobody else is in a transaction under the lease, and the pause after each look.
pub(crate) const ALONE_LOOKS: u32 = 10;
pub(crate) const ALONE_EVERY: Duration = Duration::from_millis(30);
/// Between two tries that waited, so that those who queued behind us get their turn.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);
/// How often it is looked whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the server may take to hear that a statement is to end; then it is told again.
const INTERRUPT_MAX: Duration = Duration::from_secs(1);

/// How long something is tried, and as long as it is wanted.
pub(crate) struct Patience<'a> {
    until: Instant,
    cancel: &'a Cancellation,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(limit: Duration, cancel: &'a Cancellation) -> Self {
        Self {
            until: Instant::now() + limit,
            cancel,
        }
    }

    /// Is it wanted still?
    ///
    /// # Errors
    /// If cancelled.
    pub(crate) fn check(&self) -> Result<(), PortError> {
        self.cancel.check()
    }

    /// Sees one try to its end, so that it is known whether it was done. When it is no longer wanted, `interrupt` tells the
    /// server to end it.
    pub(crate) async fn see<T, I>(
        &self,
        tried: impl Future<Output = T> + Send,
        interrupt: impl Fn() -> I + Send,
    ) -> T
    where
        I: Future<Output = ()> + Send,
    {
        see(self.cancel, tried, interrupt).await
    }

    /// Returns after so long if another try is worth it.
    pub(crate) async fn again(&self, error: sqlx::Error, what: &str, after: Duration) -> Result<(), GivenUp> {
        self.cancel.check()?;
        match busy(&error) {
            Some(_) if Instant::now() < self.until => Ok(pause(after, self.cancel).await?),
            Some(Busy::InUse { find }) => Err(GivenUp::InUse(
                PortError::new(
                    ErrorKind::Unavailable,
                    format!("{what}: other sessions keep the table in use; find them {find} and end them, or wait for them"),
                )
                .because(error),
            )),
            Some(Busy::Deadlock) => Err(GivenUp::InUse(failed(what, error))),
            None => Err(GivenUp::Failed(failed(what, error))),
        }
    }
}

async fn see<T, I>(
    cancel: &Cancellation,
    tried: impl Future<Output = T> + Send,
    interrupt: impl Fn() -> I + Send,
) -> T
where
    I: Future<Output = ()> + Send,
{
    let mut tried = pin!(tried);
    loop {
        tokio::select! {
            biased;
            done = &mut tried => return done,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if cancel.is_cancelled() && tokio::time::timeout(INTERRUPT_MAX, interrupt()).await.is_err() {
            tracing::debug!("the server does not hear that a statement is to end");
        }
    }
}

/// Sees work on rows to its end, which others may keep locked. It waits for them as long as it is wanted: then `interrupt`
/// tells the server to end the statement that waits, and this is [`ErrorKind::Cancelled`].
pub(crate) async fn while_wanted<T, I>(
    cancel: &Cancellation,
    work: impl Future<Output = Result<T, PortError>> + Send,
    interrupt: impl Fn() -> I + Send,
) -> Result<T, PortError>
where
    I: Future<Output = ()> + Send,
{
    match see(cancel, work, interrupt).await {
        // Of a statement that was ended the server says no more than that.
        Err(error) if error.kind != ErrorKind::Precondition => Err(cancel.check().err().unwrap_or(error)),
        done => done,
    }
}

/// Why something is tried no more.
pub(crate) enum GivenUp {
    /// Others were in the way all the time.
    InUse(PortError),
    /// Another try would not have helped, or the connection is lost.
    Failed(PortError),
}

impl GivenUp {
    /// Why a trigger is left behind: others keep its table in use, or we may not take it away, which no retry mends.
    ///
    /// # Errors
    /// What is no reason to: of a broken connection, say, nothing is known of any trigger.
    pub(crate) fn leaves_behind(self) -> Result<PortError, PortError> {
        match self {
            Self::InUse(why) => Ok(why),
            Self::Failed(why) if why.kind == ErrorKind::Denied => Ok(why),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<PortError> for GivenUp {
    fn from(error: PortError) -> Self {
        Self::Failed(error)
    }
}

impl From<GivenUp> for PortError {
    fn from(given_up: GivenUp) -> Self {
        match given_up {
            GivenUp::InUse(error) | GivenUp::Failed(error) => error,
        }
    }
}

/// Waits so long, unless it is no longer wanted.
///
/// # Errors
/// If cancelled.
pub(crate) async fn pause(duration: Duration, cancel: &Cancellation) -> Result<(), PortError> {
    let until = Instant::now() + duration;
    loop {
        cancel.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}
