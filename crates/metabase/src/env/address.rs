//! Where an app DB is: what Metabase's variables and our command line may name. Taking URIs apart is the work of the
//! module beside this one, connecting an adapter's.

use super::uri::{self, Decoding};
use crate::secret::Secret;
use metaferry_domain::schema::Dialect;
use std::fmt;
use thiserror::Error;

/// Port of Postgres unless told otherwise.
pub const POSTGRES_PORT: u16 = 5432;
/// Port of MySQL and MariaDB unless told otherwise.
pub const MYSQL_PORT: u16 = 3306;

/// The address of an app DB. [`fmt::Display`] gives it as a URL without password and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppDbAddress {
    /// Postgres.
    Postgres(ServerAddress),
    /// MySQL, or MariaDB: they are told apart by the server itself.
    MySql(ServerAddress),
    /// An H2 file.
    H2 {
        /// Path without `file:` and `.mv.db`, as given.
        path: String,
    },
}

/// A database of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User; `None`: the driver's own choice.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `currentSchema`: the schema of Metabase's tables, or a comma-separated search path (Postgres).
    pub schema: Option<String>,
    /// Encryption of the connection.
    pub ssl: SslMode,
    /// `sslrootcert`: file with the certificates to trust.
    pub ssl_root_cert: Option<String>,
    /// Names of parameters that mean nothing to us; worth a line in the log.
    pub ignored_parameters: Vec<String>,
}

/// How a connection is encrypted; the words of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server can.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, and the certificate's issuer is checked.
    VerifyCa,
    /// Always, and the host name is checked too.
    VerifyFull,
}

/// An address that cannot be used. Shows no part of the address that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another scheme.
    #[error("the address begins with none of postgres://, mysql:// and h2:")]
    Scheme,
    /// A part is missing.
    #[error("the address names no {part}")]
    Missing {
        /// Which part.
        part: &'static str,
    },
    /// The port is no port.
    #[error("the address has a port that is not a number from 1 to 65535")]
    Port,
    /// A percent sign is not followed by two hexadecimal digits, or they do not make text.
    #[error("the {part} of the address is not validly percent-encoded")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// The value of a parameter.
    #[error("parameter {name} has the value {value:?}; expected {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// H2 that is not a file on this machine.
    #[error("H2 addresses of the kind {kind:?} are not supported; name a file")]
    H2Kind {
        /// `mem:`, `tcp:` …
        kind: String,
    },
}

impl AppDbAddress {
    /// An H2 file by its path, without `file:` and `.mv.db`.
    #[must_use]
    pub fn h2(path: impl Into<String>) -> Self {
        Self::H2 { path: path.into() }
    }

    /// Reads `MB_DB_CONNECTION_URI`. User and password before the host are taken as they are, as Metabase does.
    ///
    /// # Errors
    ///
    /// [`AddressError`]: what is wrong with it.
    pub fn from_connection_uri(uri: &str) -> Result<Self, AddressError> {
        uri::parse(uri, Decoding::AsWritten)
    }

    /// Reads a URL of our command line: `postgres://…`, `mysql://…`, `h2:PATH`, also with `jdbc:` before. User and
    /// password are percent-decoded, as in every other program's URLs.
    ///
    /// # Errors
    ///
    /// [`AddressError`]: what is wrong with it.
    pub fn from_cli_url(url: &str) -> Result<Self, AddressError> {
        uri::parse(url, Decoding::Percent)
    }

    /// A URL of a command line with its passwords masked; `None` if it shows none. Also of URLs that cannot be used.
    #[must_use]
    pub fn masked_url(url: &str) -> Option<String> {
        uri::masked(url)
    }

    /// Reads where an H2 file is: with or without `file:`, with or without `.mv.db`. H2's own options after a
    /// semicolon are dropped.
    ///
    /// # Errors
    ///
    /// [`AddressError::H2Kind`], or [`AddressError::Missing`] for an empty path.
    pub fn from_h2_location(location: &str) -> Result<Self, AddressError> {
        let location = location.split_once(';').map_or(location, |(path, _)| path);
        for kind in [
            "mem:",
            "tcp:",
            "ssl:",
            "zip:",
            "nio:",
            "nioMapped:",
            "split:",
            "async:",
            "classpath:",
        ] {
            if location.starts_with(kind) {
                return Err(AddressError::H2Kind {
                    kind: kind.to_owned(),
                });
            }
        }
        let path = location.strip_prefix("file:").unwrap_or(location);
        let path = path.strip_suffix(".mv.db").unwrap_or(path);
        if path.is_empty() {
            return Err(AddressError::Missing { part: "path" });
        }
        Ok(Self::h2(path))
    }

    /// The kind of database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MySql(_) => Dialect::MySql,
            Self::H2 { .. } => Dialect::H2,
        }
    }
}

impl SslMode {
    pub(super) fn from_libpq(value: &str) -> Option<Self> {
        Some(match value {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

impl fmt::Display for AppDbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, server) = match self {
            Self::H2 { path } => return write!(f, "h2:{path}"),
            Self::Postgres(server) => ("postgres", server),
            Self::MySql(server) => ("mysql", server),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = &server.user {
            write!(f, "{user}@")?;
        }
        if server.host.contains(':') {
            write!(f, "[{}]", server.host)?;
        } else {
            f.write_str(&server.host)?;
        }
        write!(f, ":{}/{}", server.port, server.database)
    }
}
