//! The other shore: where the dump is to go, sending it there, and saying that it has arrived.

use std::sync::Arc;

use metaferry_domain::event::{Fact, ObjectCheck};
use metaferry_domain::ports::{Destination, UploadRequest};
use metaferry_domain::{ErrorKind, PortError};

use super::{Performance, known};
use crate::ports::OtherShore;

impl Performance {
    pub(super) async fn create_at_store(&self) -> Result<Fact, PortError> {
        let (destination, external_id) = match &self.ports.shore {
            OtherShore::Store { client, version } => {
                let created = client.create(version).await?;
                let external_id = created.external_id.clone();
                (
                    Destination::Store {
                        external_id: created.external_id,
                        upload_url: created.upload_url,
                    },
                    external_id,
                )
            }
            OtherShore::Bucket { bucket, prefix } => {
                let external_id = self.ports.ids.new_id().to_string();
                let key = format!("{prefix}{external_id}.mv.db");
                (
                    Destination::Bucket {
                        bucket: bucket.clone(),
                        key,
                    },
                    external_id,
                )
            }
        };
        Ok(Fact::CreateAtStore {
            destination,
            external_id,
        })
    }

    fn upload_request(&self) -> Result<UploadRequest, PortError> {
        let file = known(self.file.as_ref(), "the dump")?;
        Ok(UploadRequest {
            file: file.path.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            destination: known(self.destination.clone(), "the destination")?,
        })
    }

    pub(super) async fn upload_dump(&self) -> Result<Fact, PortError> {
        let request = self.upload_request()?;
        let observer = self.signals.upload_observer();
        let receipt = self
            .ports
            .uploader
            .upload(&request, Arc::clone(&self.upload_log), observer, &self.cancel)
            .await?;
        Ok(Fact::UploadDump { receipt })
    }

    pub(super) async fn verify_object(&self) -> Result<Fact, PortError> {
        let receipt = known(self.receipt.as_ref(), "the answer to the upload")?;
        let seen = self
            .ports
            .uploader
            .verify(&self.upload_request()?, receipt)
            .await?;
        let check = if seen {
            ObjectCheck::Verified
        } else {
            ObjectCheck::CannotBeSeen
        };
        Ok(Fact::VerifyObject { check })
    }

    pub(super) async fn tell_store(&self) -> Result<(), PortError> {
        // Where it went is what counts: whoever recovers may be told of another shore.
        match (
            known(self.destination.as_ref(), "the destination")?,
            &self.ports.shore,
        ) {
            (Destination::Store { .. }, OtherShore::Store { client, .. }) => {
                client
                    .uploaded(&known(self.external_id.clone(), "the id at the store")?)
                    .await
            }
            (Destination::Store { .. }, OtherShore::Bucket { .. }) => Err(PortError::new(
                ErrorKind::Unsupported,
                "this migration went to a store, and this process knows of a bucket only; recover it with --to store",
            )),
            // A bucket is told nothing: the object is there.
            (Destination::Bucket { .. }, _) => Ok(()),
        }
    }
}
