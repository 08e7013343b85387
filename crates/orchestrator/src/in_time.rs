//! A limit to how long the driver waits for one answer of the app DB. A network that went silent gives neither an answer
//! nor an error for a quarter of an hour and more; meanwhile nobody could be cancelled, and a lost lease went unnoticed.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::ports::Clock;
use metaferry_domain::{ErrorKind, PortError};

/// The longest that a look at the row, progress or a renewal may take: the next one makes up for it.
pub(crate) const LOOK_MAX: Duration = Duration::from_secs(10);
/// The longest that one journal entry may take, which must not be lost to a slow database. A lease that ends meanwhile
/// ends the wait.
pub(crate) const ENTRY_MAX: Duration = Duration::from_secs(30);
/// The longest that the proof of read-only may take, for which the app DB reads every table that had to be still: as long
/// as these may be guarded, unless somebody says otherwise. A cancel or a lost lease ends it at once.
pub(crate) const PROOF_MAX: Duration = Duration::from_secs(1800);

/// The answer, or [`ErrorKind::Unavailable`] if there is none in time: then what was asked may have been done all the
/// same.
pub(crate) async fn in_time<T>(
    clock: &dyn Clock,
    limit: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, PortError>> + Send,
) -> Result<T, PortError> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = clock.sleep(limit) => Err(PortError::new(
            ErrorKind::Unavailable,
            format!("the app DB gave no answer within {} s: {what}", limit.as_secs()),
        )),
    }
}
