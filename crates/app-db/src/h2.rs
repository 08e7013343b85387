//! H2 database files as a source and a target of the copy engine.
//!
//! What stands in a file byte by byte is `metaferry_h2_file`'s business; this module turns schemas and rows of
//! the domain into that crate's definitions and values, and back.

pub(crate) mod calendar;
mod catalogue;
mod cells;
mod convert;
mod decimal;
mod error;
mod health;
mod read;
mod schema;
mod types;
mod write;

use std::path::PathBuf;

use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};

pub use health::notes;
pub use read::{H2Snapshot, H2Source};
pub use write::H2Target;

/// Looks whether a catalogue can be said in H2's words, without writing anything; answers what a file would lack.
///
/// # Errors
/// [`ErrorKind::Unsupported`], naming table and column, where something cannot be carried at all.
pub fn translation_notes(catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
    Ok(schema::translate(catalogue)?.notes)
}

/// The file that an H2 path means: with or without `h2:` and `file:` before it and `.mv.db` after it.
///
/// ```
/// use std::path::Path;
/// use metaferry_app_db::h2::file_of;
///
/// assert_eq!(file_of("h2:file:/data/metabase.db"), Path::new("/data/metabase.db.mv.db"));
/// assert_eq!(file_of("dump.mv.db"), Path::new("dump.mv.db"));
/// ```
#[must_use]
pub fn file_of(path: &str) -> PathBuf {
    let path = path.strip_prefix("jdbc:").unwrap_or(path);
    let path = path.strip_prefix("h2:").unwrap_or(path);
    let path = path.strip_prefix("file:").unwrap_or(path);
    // Options of a JDBC URL follow a semicolon; none of them changes which file it is.
    let path = path.split(';').next().unwrap_or(path);
    // A page store of H2 1.3 is kept as it is named, so that it can be refused by name.
    if path.ends_with(".mv.db") || path.ends_with(".h2.db") {
        PathBuf::from(path)
    } else {
        PathBuf::from(format!("{path}.mv.db"))
    }
}

/// Runs what works on the disk for long beside the runtime's threads.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(PortError::new(
            ErrorKind::Unavailable,
            "the thread at work on an H2 file ended early",
        )
        .because(error)),
    }
}
