//! Who is this caller?

use async_trait::async_trait;

use crate::PortError;

/// What a request carried. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A session id, from the cookie or the header.
    Session(String),
    /// An API key.
    ApiKey(String),
    /// Nothing.
    None,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Session(_) => "Session(…)",
            Self::ApiKey(_) => "ApiKey(…)",
            Self::None => "None",
        })
    }
}

/// What the caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody that is known, or no longer.
    Unknown,
    /// A user without superuser rights.
    Ordinary,
    /// A superuser.
    Superuser,
}

/// Checks credentials against the app DB.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Whose credentials these are.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, PortError>;
}
