//! What is the same on every server about the sessions of the worker under the lease.

use metaferry_domain::PortError;

/// Who copies rows by a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Whoever likes to, at any time.
    Anybody,
    /// Who holds the lease, until somebody else takes it and ends the session.
    Worker,
}

/// Tells how sessions ended of whoever had the lease before. That some could not be ended is no reason not to work: what
/// they hold is waited for.
pub(crate) fn tell_ended(ended: Result<u64, PortError>) {
    match ended {
        Ok(0) => {}
        Ok(sessions) => {
            tracing::warn!(target: "cloud_migration", sessions, "ended sessions of a worker that has lost the lease");
        }
        Err(error) => {
            tracing::warn!(target: "cloud_migration", error = error.chain(), "sessions of a worker that has lost the lease may be left");
        }
    }
}
