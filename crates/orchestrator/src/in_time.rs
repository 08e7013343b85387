//! A limit to how long the driver waits for one answer of the app DB. A network that went silent gives neither an answer
//! nor an error for a quarter of an hour and more; meanwhile nobody could be cancelled, and a lost lease went unnoticed.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::ports::Clock;
use metaferry_domain::{ErrorKind, PortError};

/// The longest that one look at the row, one journal entry or one renewal may take. A third of the usual lease term, so
/// that a try that was lost leaves time for another.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The answer, or [`ErrorKind::Unavailable`] if there is none within [`ANSWER_MAX`]: then what was asked may have been
/// done all the same.
pub(crate) async fn in_time<T>(
    clock: &dyn Clock,
    what: &str,
    answer: impl Future<Output = Result<T, PortError>> + Send,
) -> Result<T, PortError> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = clock.sleep(ANSWER_MAX) => Err(PortError::new(
            ErrorKind::Unavailable,
            format!("the app DB gave no answer within {} s: {what}", ANSWER_MAX.as_secs()),
        )),
    }
}
