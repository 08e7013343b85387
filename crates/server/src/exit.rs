//! How a command ends: exit codes, and errors with their whole chain.

use std::process::ExitCode;

use metaferry_domain::{ErrorKind, PortError};

/// Every way a command may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed,
    Usage,
    Refused,
    Different,
    Cancelled,
}

impl Ending {
    /// The exit code that scripts rely on.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Different => 4,
            Self::Cancelled => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

/// A command that did not end well.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) ending: Ending,
    pub(crate) message: String,
    pub(crate) remedy: Option<&'static str>,
}

impl CommandError {
    pub(crate) fn new(ending: Ending, message: impl Into<String>) -> Self {
        Self {
            ending,
            message: message.into(),
            remedy: None,
        }
    }

    /// The words of the command line or environment do not make sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Ending::Usage, message)
    }
}

impl CommandError {
    /// The same of work that had begun: nothing can be refused any more, only fail.
    pub(crate) fn mid_work(error: PortError) -> Self {
        let error = Self::from(error);
        let ending = match error.ending {
            Ending::Refused => Ending::Failed,
            other => other,
        };
        Self { ending, ..error }
    }
}

impl From<PortError> for CommandError {
    fn from(error: PortError) -> Self {
        let ending = match error.kind {
            // Found out before anything is touched: a target that exists, rights that are missing, a table that
            // cannot be carried.
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Precondition
            | ErrorKind::Denied
            | ErrorKind::Unsupported => Ending::Refused,
            ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Exhausted => Ending::Failed,
            ErrorKind::Cancelled => Ending::Cancelled,
        };
        Self {
            ending,
            message: error.chain(),
            remedy: error.remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use metaferry_domain::{ErrorKind, PortError};

    use super::{CommandError, Ending};

    #[test]
    fn codes_are_those_of_the_contract() {
        let codes = [
            Ending::Done,
            Ending::Failed,
            Ending::Usage,
            Ending::Refused,
            Ending::Different,
            Ending::Cancelled,
        ];
        assert_eq!(codes.map(Ending::code), [0, 1, 2, 3, 4, 130]);
    }

    #[test]
    fn an_error_shows_its_whole_chain() {
        let error = PortError::new(ErrorKind::Denied, "open the app DB")
            .because(std::io::Error::other("no password"));
        let shown = CommandError::from(error);
        assert_eq!(
            (shown.ending, shown.message.as_str()),
            (Ending::Refused, "open the app DB: no password")
        );
    }
}
