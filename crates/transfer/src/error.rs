//! What can go wrong while rows move.

use metaferry_domain::{ErrorKind, PortError};

/// A copy, dump or verification that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A port failed while a table was moved.
    #[error("table {table}")]
    Table {
        /// [`Name::key`](metaferry_domain::schema::Name::key) of the table.
        table: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// A port failed outside any table.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What was written does not hold what was read.
    #[error("what was written differs from what was read: {}", .tables.join(", "))]
    Differs {
        /// The tables, each with what differs.
        tables: Vec<String>,
    },
    /// Foreign keys point nowhere in the dump.
    #[error("foreign keys without a parent in the dump: {}", .violations.join("; "))]
    Dangling {
        /// Each foreign key with an example.
        violations: Vec<String>,
    },
    /// Rows that the target's keys refuse.
    #[error("the target's keys refuse rows of the source: {}", .keys.join("; "))]
    Duplicates {
        /// Each key with examples.
        keys: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("{what}")]
    File {
        /// Which, and what was tried.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the snapshot showed was overwritten at its source while it was read: all that was read is void.
    #[error("the source was overwritten while its snapshot was read")]
    SnapshotLost,
    /// A named limit was passed.
    #[error("{0}")]
    Limit(String),
}

impl From<TransferError> for PortError {
    fn from(error: TransferError) -> Self {
        let kind = match &error {
            TransferError::Table { source, .. } | TransferError::Port(source) => source.kind,
            TransferError::Differs { .. } | TransferError::Dangling { .. } => ErrorKind::Corrupt,
            TransferError::Duplicates { .. } => ErrorKind::Conflict,
            TransferError::File { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
                std::io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                std::io::ErrorKind::InvalidData => ErrorKind::Corrupt,
                _ => ErrorKind::Unavailable,
            },
            TransferError::SnapshotLost => ErrorKind::Unavailable,
            TransferError::Limit(_) => ErrorKind::Exhausted,
        };
        match error {
            TransferError::Port(port) => port,
            // Databases name the table themselves where they name column and row.
            TransferError::Table { table, source } if source.what.starts_with(&format!("table {table}")) => {
                source
            }
            other => Self::new(kind, other.to_string()).because(Cause::of(other)),
        }
    }
}

/// What lies beneath a [`TransferError`], so that its own words are not printed twice.
#[derive(Debug)]
struct Cause(String);

impl Cause {
    fn of(error: TransferError) -> Box<dyn std::error::Error + Send + Sync> {
        match error {
            TransferError::Table { source, .. } | TransferError::Port(source) => Box::new(source),
            TransferError::File { source, .. } => Box::new(source),
            TransferError::Differs { .. }
            | TransferError::Dangling { .. }
            | TransferError::Duplicates { .. }
            | TransferError::SnapshotLost
            | TransferError::Limit(_) => Box::new(Self("nothing of it was published".to_owned())),
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}
