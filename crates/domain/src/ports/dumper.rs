//! A snapshot of the source into a verified file, in two steps: between them users write again.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::migration::Attempt;
use crate::row_batch::Instant;
use crate::{Cancellation, PortError};

/// What is to be dumped, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpRequest {
    /// The file to be; it appears there by rename when it is complete and synced.
    pub file: PathBuf,
    /// Which attempt: unfinished files carry it in their name.
    pub attempt: Attempt,
    /// Are encrypted values decrypted?
    pub plaintext: Plaintext,
}

/// Whether encrypted values are decrypted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// As they are.
    Keep,
    /// Decrypted.
    Decrypt,
}

/// Told how far a dump is.
pub trait DumpObserver: Send + Sync {
    /// Everything that is refused beforehand has been looked at: from now on rows come.
    fn begins(&self) {}

    /// So many rows and bytes of the estimate so far.
    fn copied(&self, rows: u64, bytes: u64, rows_estimate: u64);
}

/// One table of a report. Names in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TableReport {
    /// Table.
    pub name: String,
    /// Rows carried.
    pub rows: u64,
    /// `mf1:` and 32 hex digits.
    pub digest: String,
}

/// A table whose rows were not carried. Names in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// Table.
    pub name: String,
    /// Rows it has, as far as known.
    pub rows: u64,
    /// Why.
    pub why: String,
}

/// What the first step read.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotReport {
    /// When the snapshot was taken, by the source's clock.
    pub taken_at: Instant,
    /// Seconds from snapshot to the last source row.
    pub snapshot_seconds: f64,
    /// Per table.
    pub tables: Vec<TableReport>,
    /// Left out.
    pub left_out: Vec<LeftOut>,
    /// Things a person should know: unknown tables, columns that could not be translated exactly.
    pub notes: Vec<String>,
}

/// A finished dump.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct DumpFile {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 in lower-case hex; `None` of a dump that was not read again.
    pub sha256: Option<String>,
}

/// What the second step made and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DumpReport {
    /// The file.
    pub file: DumpFile,
    /// The manifest beside it.
    pub manifest: PathBuf,
    /// What was read.
    pub snapshot: SnapshotReport,
}

/// Makes one dump at a time.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Dumper: Send + Sync {
    /// Takes the snapshot and copies every row of it. When this returns the source is no longer read.
    async fn copy_snapshot(
        &self,
        request: &DumpRequest,
        observer: std::sync::Arc<dyn DumpObserver>,
        cancel: &Cancellation,
    ) -> Result<SnapshotReport, PortError>;

    /// Finishes the file that [`Dumper::copy_snapshot`] began in this process: indexes, sync, rename; reads it
    /// again and compares rows and digests; checks foreign keys; writes the manifest.
    /// [`Precondition`](crate::ErrorKind::Precondition) if nothing was begun.
    async fn finish(&self, cancel: &Cancellation) -> Result<DumpReport, PortError>;

    /// Size and checksum of a file that somebody else made.
    async fn describe(&self, file: &std::path::Path, cancel: &Cancellation) -> Result<DumpFile, PortError>;

    /// Removes the dump of this request, finished or not, its manifest and every temporary file of it. Idempotent.
    async fn discard(&self, request: &DumpRequest) -> Result<(), PortError>;
}
