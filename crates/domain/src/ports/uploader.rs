//! A file to the other shore.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::part_plan::PartNumber;
use crate::{Cancellation, PortError};

/// Where a dump goes.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Destination {
    /// The store API, by the id it gave; `upload_url` is presigned, a secret in its query.
    Store {
        /// The store's id of the migration.
        external_id: String,
        /// Where a single PUT goes.
        upload_url: String,
    },
    /// An object in a bucket.
    Bucket {
        /// Bucket.
        bucket: String,
        /// Key.
        key: String,
    },
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store { external_id, .. } => write!(f, "store migration {external_id}"),
            Self::Bucket { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// What is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// The file.
    pub file: PathBuf,
    /// Its size; the upload fails if the file no longer has it.
    pub size_bytes: u64,
    /// SHA-256 of the file in lower-case hex, if known.
    pub sha256: Option<String>,
    /// Where to.
    pub destination: Destination,
}

/// A part that the store has taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PartReceipt {
    /// Which.
    pub number: PartNumber,
    /// `ETag` exactly as received, quotes included.
    pub etag: String,
    /// Bytes of the part.
    pub size_bytes: u64,
}

/// Remembers an upload so that a later process can go on with it.
#[async_trait]
pub trait UploadLog: Send + Sync {
    /// A multipart upload was begun. Whatever was remembered of another one is void.
    async fn begun(&self, upload_id: &str, part_size_bytes: u64) -> Result<(), PortError>;

    /// A part arrived.
    async fn part(&self, upload_id: &str, receipt: &PartReceipt) -> Result<(), PortError>;

    /// What is remembered: upload id, part size and the parts that arrived.
    async fn resume(&self) -> Result<Option<(String, u64, Vec<PartReceipt>)>, PortError>;
}

/// Told how far an upload is.
pub trait UploadObserver: Send + Sync {
    /// So many bytes have arrived, of so many. Never falls.
    fn sent(&self, bytes: u64, of: u64);
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct UploadReceipt {
    /// `ETag` of the whole object, if the store gave one.
    pub etag: Option<String>,
    /// Parts; 1 for a single PUT.
    pub parts: u32,
    /// Bytes.
    pub size_bytes: u64,
}

/// Carries files. One engine over [`ObjectStore`], whatever is behind it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Uploader: Send + Sync {
    /// Carries the file, going on where `log` says an earlier process stopped.
    async fn upload(
        &self,
        request: &UploadRequest,
        log: Arc<dyn UploadLog>,
        observer: Arc<dyn UploadObserver>,
        cancel: &Cancellation,
    ) -> Result<UploadReceipt, PortError>;

    /// Looks at what arrived: size and checksum, wherever they can be seen. `Ok(false)`: it cannot be seen here.
    async fn verify(&self, request: &UploadRequest, receipt: &UploadReceipt) -> Result<bool, PortError>;

    /// Aborts what `log` remembers, where the store can. Idempotent.
    async fn abort(&self, destination: &Destination, log: Arc<dyn UploadLog>) -> Result<(), PortError>;
}

/// A range of a file, read again on every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartBody {
    /// The file.
    pub file: PathBuf,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub size_bytes: u64,
    /// MD5 of the range.
    pub md5: [u8; 16],
}

/// What can be seen of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its size.
    pub size_bytes: u64,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// SHA-256 in lower-case hex, where the store keeps one of the whole object.
    pub sha256: Option<String>,
}

/// One object in an object store: put whole, or in parts. One call, one attempt: retries are the engine's.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Puts the whole object; answers its `ETag`.
    async fn put(&self, body: &PartBody) -> Result<Option<String>, PortError>;

    /// Begins a multipart upload of so many parts; answers its id.
    async fn create(&self, parts: u32) -> Result<String, PortError>;

    /// Puts one part; answers its `ETag` as received. Putting a part again replaces it.
    async fn put_part(
        &self,
        upload_id: &str,
        number: PartNumber,
        body: &PartBody,
    ) -> Result<String, PortError>;

    /// The parts that arrived; `None` where the store cannot tell.
    async fn parts(&self, upload_id: &str) -> Result<Option<Vec<PartReceipt>>, PortError>;

    /// Makes the object of its parts.
    async fn complete(&self, upload_id: &str, parts: &[PartReceipt]) -> Result<Option<String>, PortError>;

    /// Drops the upload and its parts. `Ok(false)`: the store has no such call. Idempotent.
    async fn abort(&self, upload_id: &str) -> Result<bool, PortError>;

    /// The object, where it can be seen; `None` where it cannot.
    async fn facts(&self) -> Result<Option<ObjectFacts>, PortError>;
}
