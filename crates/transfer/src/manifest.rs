//! What a dump must contain, in a file beside it.

use std::io::Write;
use std::path::{Path, PathBuf};

use metaferry_domain::ports::{DumpFile, LeftOut, SnapshotReport, TableReport};
use serde::{Deserialize, Serialize};

use crate::error::TransferError;

/// Version of the manifest's form.
pub const MANIFEST_VERSION: u32 = 1;

/// The manifest of one dump. Names in lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The dump's file name, without its folder: the two move together.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256 in lower-case hex; `None` if it was not read again.
    pub sha256: Option<String>,
    /// When the snapshot was taken: microseconds since 1970 in UTC, by the source's clock.
    pub snapshot_micros: i64,
    /// Per table rows and digest.
    pub tables: Vec<TableReport>,
    /// Tables whose rows stayed.
    pub left_out: Vec<LeftOut>,
    /// Things a person should know.
    pub notes: Vec<String>,
}

impl Manifest {
    /// The manifest of that file and what was read into it.
    #[must_use]
    pub fn new(file: &DumpFile, snapshot: &SnapshotReport) -> Self {
        Self {
            version: MANIFEST_VERSION,
            file: file
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            snapshot_micros: snapshot.taken_at.micros,
            tables: snapshot.tables.clone(),
            left_out: snapshot.left_out.clone(),
            notes: snapshot.notes.clone(),
        }
    }

    /// Where the manifest of a dump is: `.manifest.json` after the whole name.
    #[must_use]
    pub fn path_for(dump: &Path) -> PathBuf {
        let mut name = dump
            .file_name()
            .map(std::ffi::OsStr::to_os_string)
            .unwrap_or_default();
        name.push(".manifest.json");
        dump.with_file_name(name)
    }

    /// Where a manifest is while it is written.
    pub(crate) fn unfinished(dump: &Path) -> PathBuf {
        Self::path_for(dump).with_extension("json.unfinished")
    }

    /// Writes it durably under another name, so that what remains is a rename: a full disk is met here.
    pub(crate) fn prepare(&self, dump: &Path) -> Result<(), TransferError> {
        let unfinished = Self::unfinished(dump);
        let json = serde_json::to_vec_pretty(self).expect("strings and numbers always serialize");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(&json)?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .map_err(|source| Self::unwritten(dump, source))
    }

    /// Gives a prepared manifest its name.
    pub(crate) fn publish(dump: &Path) -> Result<PathBuf, TransferError> {
        let path = Self::path_for(dump);
        std::fs::rename(Self::unfinished(dump), &path).map_err(|source| Self::unwritten(dump, source))?;
        Ok(path)
    }

    /// Removes what was prepared and not published, and says why it is not there.
    fn unwritten(dump: &Path, source: std::io::Error) -> TransferError {
        // What failed first is what the caller must hear.
        std::fs::remove_file(Self::unfinished(dump)).unwrap_or_default();
        TransferError::File {
            what: format!("write manifest {}", Self::path_for(dump).display()),
            source,
        }
    }

    /// Reads the manifest beside a dump.
    ///
    /// # Errors
    /// If it is not there or is not a manifest.
    pub fn read(dump: &Path) -> Result<Self, TransferError> {
        let path = Self::path_for(dump);
        let at_path = |source| TransferError::File {
            what: format!("read manifest {}", path.display()),
            source,
        };
        let json = std::fs::read(&path).map_err(at_path)?;
        serde_json::from_slice(&json)
            .map_err(|error| at_path(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
    }
}
