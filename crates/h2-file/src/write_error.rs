//! Why a database file could not be written.

use std::io;
use std::path::PathBuf;

/// Why writing failed. After any error but [`WriteError::Row`] the database cannot be finished: drop the writer,
/// which removes what it wrote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The target exists; it is never overwritten.
    #[error("{} already exists; choose another name or remove it first", path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// Another writer is at work on the same target.
    #[error("{} is being written by another process; wait for it or choose another name", path.display())]
    TargetBusy {
        /// The target.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The definition contradicts itself or asks for something that this format version cannot hold.
    #[error("definition of {object}: {problem}")]
    Definition {
        /// Table, view or sequence.
        object: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A row does not fit its table. The row was not written; the table can go on.
    #[error("table {table}, row {row}, column {column}: {problem}")]
    Row {
        /// Schema and name of the table.
        table: String,
        /// Which row, counted from 1 in the order pushed.
        row: u64,
        /// Name of the column, or `*` for the row as a whole.
        column: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Two rows have the same key.
    #[error("table {table}: two rows have the same key in {index}: those with row keys {first} and {second}")]
    DuplicateKey {
        /// Schema and name of the table.
        table: String,
        /// Name of the index or constraint.
        index: String,
        /// Row key of the one: the primary key's value where it is a single integer and rows came in its
        /// order, else the number of the row in the order pushed.
        first: i64,
        /// Row key of the other.
        second: i64,
    },
    /// The calls came in an order that makes no sense.
    #[error("table {table}: {problem}")]
    TableState {
        /// Schema and name of the table.
        table: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A page would be longer than the format's 2 GiB.
    #[error("a page or chunk would be longer than 2 GiB; write shorter values")]
    TooLong,
    /// Whoever waited for the file closed the gate before it had its name.
    #[error("nobody waits for this database any more; it was not finished")]
    Unwanted,
    /// An earlier call failed, so the file cannot be completed.
    #[error("an earlier write to this database failed; start again with a new writer")]
    Broken,
}

impl WriteError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> WriteError {
        let path = path.into();
        move |source| WriteError::Io { doing, path, source }
    }
}
