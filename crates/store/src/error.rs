//! Why a store could not be opened or served.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a store could not be opened or served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Something in the data folder could not be made, read or written.
    #[error("cannot {what} {}", path.display())]
    Folder {
        /// What was to be done: a verb, such as `read`.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of ours holds something that we never wrote.
    #[error("{} is damaged: {why}; restore it from a backup, or move it away", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process, or another part of this one, has the folder open.
    #[error("{} is used by another store: end it, or choose another folder", path.display())]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// The listening socket failed.
    #[error("cannot serve the store")]
    Serve(#[source] io::Error),
}
