//! Opening a file that may change meanwhile: as often as its newest version is not whole.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fs::{File, Metadata};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cipher::FilePassword;
use crate::error::ReadError;
use crate::reader::database::Database;
use crate::reader::newest::OlderVersion;
use crate::source::Stored;

/// How to open a file.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// What to do when the newest version is damaged.
    pub older_version: OlderVersion,
    /// The file password of an encrypted file; others do not need it.
    pub password: Option<FilePassword>,
}

impl OpenOptions {
    /// Opens the file at `path`. A file that changes meanwhile is tried up to [`OPEN_ATTEMPTS_MAX`] times.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database, ReadError> {
        let path = path.as_ref();
        let failed = |source| ReadError::Open {
            path: path.to_owned(),
            source,
        };
        let mut attempts = 0_u32;
        loop {
            attempts = attempts.saturating_add(1);
            let file = File::open(path).map_err(failed)?;
            let before = file.metadata().map_err(failed)?;
            if before.is_dir() {
                return Err(failed(std::io::ErrorKind::IsADirectory.into()));
            }
            let error = match Database::from_source(Stored::File(file), &self) {
                Ok(database) => return Ok(database),
                Err(error @ (ReadError::Unsupported(_) | ReadError::WrongPassword)) => return Err(error),
                Err(error) => error,
            };
            // By its path: a compaction puts another file in its place.
            let now = std::fs::metadata(path).map_err(failed)?;
            let changed = has_changed(&before, &now) || matches!(error, ReadError::Overwritten { .. });
            match (changed, is_stamp_fresh(&now)) {
                // Whoever left a version torn was at work, and writes the next one soon.
                (false, false)
                    if matches!(error, ReadError::Torn { .. })
                        && attempts < OPEN_ATTEMPTS_MAX
                        && changes_soon(path, &now) => {}
                (false, false) => return Err(error),
                (true, _) if attempts >= OPEN_ATTEMPTS_MAX => {
                    return Err(ReadError::KeepsChanging {
                        attempts,
                        last: error.to_string(),
                    });
                }
                (false, true) if attempts >= OPEN_ATTEMPTS_MAX => return Err(error),
                (true, _) => {}
                // A change since would not show; after a moment it does.
                (false, true) => std::thread::sleep(STAMP_UNCERTAINTY),
            }
        }
    }

    /// Opens a database whose bytes are in memory.
    pub fn open_bytes(self, bytes: impl Into<Arc<[u8]>>) -> Result<Database, ReadError> {
        Database::from_source(Stored::Memory(bytes.into()), &self)
    }
}

/// How often a file that changes under each attempt is tried.
pub const OPEN_ATTEMPTS_MAX: u32 = 20;

/// Two changes within so short a time may have the same time stamp.
pub(super) const STAMP_UNCERTAINTY: Duration = Duration::from_millis(50);

/// A running H2 writes a version a second at the latest while anything changes.
pub(super) const NEXT_VERSION_WAIT: Duration = Duration::from_secs(2);

fn has_changed(before: &Metadata, now: &Metadata) -> bool {
    let (Ok(then), Ok(last)) = (before.modified(), now.modified()) else {
        return before.len() != now.len();
    };
    before.len() != now.len() || then != last
}

fn changes_soon(path: &Path, before: &Metadata) -> bool {
    let began = Instant::now();
    while began.elapsed() < NEXT_VERSION_WAIT {
        std::thread::sleep(STAMP_UNCERTAINTY);
        if std::fs::metadata(path).is_ok_and(|now| has_changed(before, &now)) {
            return true;
        }
    }
    false
}

fn is_stamp_fresh(now: &Metadata) -> bool {
    let last = now.modified();
    last.is_ok_and(|last| last.elapsed().is_ok_and(|since| since < STAMP_UNCERTAINTY))
}
