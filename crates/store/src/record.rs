//! What the store remembers of one migration. One small JSON file each, replaced by rename.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::inspector::DumpFacts;

/// The version of the record's form; a newer one is not read.
pub(crate) const RECORD_FORMAT: u32 = 1;

/// One migration, as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MigrationRecord {
    pub(crate) format: u32,
    pub(crate) id: Uuid,
    pub(crate) local_mb_version: String,
    pub(crate) created_at_ms: u64,
    pub(crate) upload: Option<OpenUpload>,
    pub(crate) object: Option<StoredObject>,
    pub(crate) stage: Stage,
}

/// A multipart upload that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenUpload {
    pub(crate) id: Uuid,
    pub(crate) part_count: u32,
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredObject {
    /// Name of its file in the migration's folder. A new object has a new name, so that this record and the
    /// bytes it speaks of can never be of two uploads.
    pub(crate) file: String,
    pub(crate) size_bytes: u64,
    /// With its quotes.
    pub(crate) etag: String,
    /// The multipart upload that it was made by.
    pub(crate) upload: Option<Uuid>,
    /// Bytes of each of its parts, in order; empty for a single PUT.
    #[serde(default)]
    pub(crate) part_sizes: Vec<u64>,
}

/// How far a migration has come on this shore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub(crate) enum Stage {
    /// Objects may be put.
    Waiting,
    /// The sender said that everything is there.
    Uploaded {
        /// Why the last look at it failed through no fault of the dump.
        problem: Option<String>,
    },
    /// It opens, and what is in it holds.
    Verified {
        facts: DumpFacts,
        restoration: Restoration,
    },
    /// It was restored.
    Restored { facts: DumpFacts, place: String },
    /// The dump is at fault.
    Rejected { reason: String },
}

impl Stage {
    /// The word for it in answers.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Uploaded { .. } => "uploaded",
            Self::Verified { .. } => "verified",
            Self::Restored { .. } => "restored",
            Self::Rejected { .. } => "rejected",
        }
    }
}

/// What is to become of a verified dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Restoration {
    /// Nothing: the store restores nowhere.
    NotAsked,
    /// It is to be restored, or is being so.
    Due,
    /// It could not be.
    Failed(String),
}
