//! What every port answers when it could not do what was asked: a kind that decides, and words for a person.

use std::error::Error;
use std::fmt;

/// What kind of failure it was. Retries, HTTP statuses and classes are decided from the kind, never from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// What was named is not there.
    NotFound,
    /// Something is there already, or somebody else holds it.
    Conflict,
    /// A condition that the call relied on does not hold: a lost lease, a guarded update of an ended row.
    Precondition,
    /// The credentials do not allow it.
    Denied,
    /// No answer, or an answer that asks to come back later.
    Unavailable,
    /// Data are not what they must be.
    Corrupt,
    /// Something that cannot be carried or done, by its nature.
    Unsupported,
    /// No room left: disk, quota, a named limit.
    Exhausted,
    /// Stopped because cancellation was asked for.
    Cancelled,
}

/// The class shown to a person: it says what is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Retried; then rolled back.
    Network,
    /// Temporary files removed; room must be made.
    Disk,
    /// A person must grant something.
    Permission,
    /// Rolled back; a person must look at the data.
    Data,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Conflict,
        Self::Precondition,
        Self::Denied,
        Self::Unavailable,
        Self::Corrupt,
        Self::Unsupported,
        Self::Exhausted,
        Self::Cancelled,
    ];

    /// The class a person is shown; `None` for a cancellation, which is no error.
    #[must_use]
    pub fn class(self) -> Option<ErrorClass> {
        match self {
            Self::Unavailable => Some(ErrorClass::Network),
            Self::Exhausted => Some(ErrorClass::Disk),
            Self::Denied => Some(ErrorClass::Permission),
            Self::NotFound | Self::Conflict | Self::Precondition | Self::Corrupt | Self::Unsupported => {
                Some(ErrorClass::Data)
            }
            Self::Cancelled => None,
        }
    }
}

impl ErrorClass {
    /// What to do next, in a sentence for the operator.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Network => "check the connection to the named host, then retry",
            Self::Disk => "make room on the named disk (or name another directory), then retry",
            Self::Permission => "grant what is named, or use other credentials, then retry",
            Self::Data => "look at what is named and put it right; a retry alone will not help",
        }
    }
}

/// A port's failure.
pub struct PortError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// A lower-case fragment that names the thing and, where a person can act, what to do. Never holds a secret.
    pub what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    advice: Option<&'static str>,
}

impl PortError {
    /// A failure with no cause beneath it.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
            advice: None,
        }
    }

    /// The same with what to do about it, where the kind's own remedy would mislead.
    #[must_use]
    pub fn advising(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// What to do next, in a sentence for the operator: the first advice of the chain, else what the class says. `None`
    /// for a cancellation.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let mut error: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(at) = error {
            if let Some(advice) = at.downcast_ref::<Self>().and_then(|port| port.advice) {
                return Some(advice);
            }
            error = at.source();
        }
        self.kind.class().map(ErrorClass::remedy)
    }

    /// The same with its cause, which a reporter prints after it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What failed, then every cause, joined by ": "; a cause that the words before it end with is not repeated.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some libraries print their cause in their own words too.
            if !text.ends_with(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Debug for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_class_and_a_remedy_and_a_cancel_has_none() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.class().is_none(), kind == ErrorKind::Cancelled, "{kind:?}");
            assert!(kind.class().is_none_or(|class| !class.remedy().is_empty()));
        }
    }

    #[test]
    fn advice_goes_before_the_remedy_of_the_class_also_from_beneath() {
        let beneath = PortError::new(ErrorKind::Conflict, "locked").advising("wait for it");
        let error = PortError::new(ErrorKind::Conflict, "read table t").because(beneath);
        assert_eq!(error.remedy(), Some("wait for it"));
        let plain = PortError::new(ErrorKind::Denied, "read table t");
        assert_eq!(plain.remedy(), Some(ErrorClass::Permission.remedy()));
        assert_eq!(PortError::new(ErrorKind::Cancelled, "stopped").remedy(), None);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let beneath = PortError::new(ErrorKind::Unavailable, "connection refused");
        let error = PortError::new(ErrorKind::Unavailable, "host db:5432 does not answer").because(beneath);
        assert_eq!(error.to_string(), "host db:5432 does not answer");
        assert_eq!(error.chain(), "host db:5432 does not answer: connection refused");
    }
}
