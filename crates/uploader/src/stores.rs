//! From a destination to the object store behind it.

use std::sync::Arc;

use metaferry_domain::ports::{Destination, ObjectStore};
use metaferry_domain::{ErrorKind, PortError};

use crate::{ContentMd5, HttpClient, PresignedObjectStore, S3Client, SentMeter, StoreApiClient};

/// Opens the one object that an upload is about.
pub trait ObjectStores: Send + Sync {
    /// The object at `destination`; `meter` is told what its bodies have sent. Does no network call.
    ///
    /// # Errors
    /// `Unsupported`, if destinations of this kind are not set up.
    fn open(
        &self,
        destination: &Destination,
        meter: Arc<SentMeter>,
    ) -> Result<Arc<dyn ObjectStore>, PortError>;
}

/// The adapters of this crate.
#[derive(Debug, Clone)]
pub struct Stores {
    /// For handed-out URLs.
    pub http: HttpClient,
    /// The store API, if one is set up.
    pub store_api: Option<StoreApiClient>,
    /// Whether presigned PUTs carry an MD5.
    pub content_md5: ContentMd5,
    /// Buckets, if credentials are set up.
    pub s3: Option<S3Client>,
}

impl ObjectStores for Stores {
    fn open(
        &self,
        destination: &Destination,
        meter: Arc<SentMeter>,
    ) -> Result<Arc<dyn ObjectStore>, PortError> {
        match destination {
            Destination::Store {
                external_id,
                upload_url,
            } => {
                let api = self.store_api.clone().ok_or_else(|| {
                    PortError::new(ErrorKind::Unsupported, "no store is set up: set MB_STORE_API_URL")
                })?;
                Ok(Arc::new(PresignedObjectStore::new(
                    self.http.clone(),
                    api,
                    external_id.clone(),
                    upload_url.clone(),
                    self.content_md5,
                    meter,
                )))
            }
            Destination::Bucket { bucket, key } => {
                let s3 = self.s3.as_ref().ok_or_else(|| {
                    PortError::new(
                        ErrorKind::Unsupported,
                        "no S3 credentials are set up: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
                    )
                })?;
                Ok(Arc::new(s3.object(bucket, key, meter)))
            }
        }
    }
}
