//! Metabase Cloud's store, as its API is.

use async_trait::async_trait;

use crate::PortError;
use crate::part_plan::PartNumber;

/// What the store answers to a new migration.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedMigration {
    /// The store's id; the capability for everything that follows.
    pub external_id: String,
    /// Presigned: a secret in its query.
    pub upload_url: String,
}

/// What the store answers when parts are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct MultipartUrls {
    /// Its upload id.
    pub upload_id: String,
    /// A presigned URL for every part, each a secret in its query.
    pub urls: Vec<(PartNumber, String)>,
}

impl std::fmt::Debug for CreatedMigration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedMigration")
            .field("external_id", &self.external_id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MultipartUrls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MultipartUrls")
            .field("urls", &self.urls.len())
            .finish_non_exhaustive()
    }
}

/// The store API.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StoreClient: Send + Sync {
    /// A new migration for that Metabase version tag. Not idempotent: a lost answer leaves a migration unused at
    /// the store. [`NotFound`](crate::ErrorKind::NotFound): the store is not there;
    /// [`Unsupported`](crate::ErrorKind::Unsupported): this version cannot be migrated.
    async fn create(&self, version: &str) -> Result<CreatedMigration, PortError>;

    /// Presigned URLs for so many parts. Each call begins a new upload.
    async fn multipart(&self, external_id: &str, parts: u32) -> Result<MultipartUrls, PortError>;

    /// Completes the upload; `ETags` exactly as received.
    async fn complete(
        &self,
        external_id: &str,
        upload_id: &str,
        etags: &[(PartNumber, String)],
    ) -> Result<(), PortError>;

    /// Says that everything is there.
    async fn uploaded(&self, external_id: &str) -> Result<(), PortError>;
}
