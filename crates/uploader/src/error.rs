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

impl HttpFailure {
    /// The answer beneath a port's error, wherever in the chain of causes it stands.
    #[must_use]
    pub fn beneath(error: &PortError) -> Option<&Self> {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref() {
                return Some(failure);
            }
            cause = error.source();
        }
        None
    }
}
