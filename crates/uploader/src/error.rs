//! What other machines answered, as the cause beneath a port's error. Never holds a URL's query.

use std::error::Error;
use std::time::Duration;

use metaferry_domain::PortError;
use thiserror::Error;

/// An HTTP answer that was not a success.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{host} answered {status}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct HttpFailure {
    /// Who answered.
    pub host: String,
    /// The status.
    pub status: u16,
    /// The error code in the body, if there was one: S3's `<Code>`, or ours.
    pub code: Option<String>,
    /// What `Retry-After` asked for.
    pub retry_after: Option<Duration>,
}

/// What the other side asked for, wherever in the chain of causes it stands.
pub(crate) fn retry_after(error: &PortError) -> Option<Duration> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<HttpFailure>() {
            return failure.retry_after;
        }
        cause = error.source();
    }
    None
}
