//! How a command can end other than well, and the exit code of each.

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Ran and found something wrong.
    Failed(String),
    /// The command line makes no sense.
    Usage(String),
    /// The machine lacks something; nothing was changed.
    Missing(String),
    /// A child ended with this code and has already said why.
    Child(u8),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Missing(_) => 3,
            Self::Child(code) => *code,
        }
    }

    /// What is still to be told to the user; a failed child has told it already.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Missing(message) => Some(message),
            Self::Child(_) => None,
        }
    }

    /// For `map_err`: what was being done, then what the system said.
    pub(crate) fn while_doing(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |error| Self::Failed(format!("failed to {what}: {error}"))
    }
}
