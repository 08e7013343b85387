//! The other shore, in this process: a folder that takes files, with a gate that can be shut.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::ports::{
    Destination, UploadLog, UploadObserver, UploadReceipt, UploadRequest, Uploader,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sha2::{Digest, Sha256};

/// How often a ship before a shut gate looks whether it still has to wait.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes between two looks at the way.
const CHUNK_BYTES: usize = 4096;

pub(crate) struct Harbour {
    folder: PathBuf,
    is_shut: AtomicBool,
}

impl Harbour {
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            is_shut: AtomicBool::new(false),
        }
    }

    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
    }

    pub(crate) fn open(&self) {
        self.is_shut.store(false, Ordering::Release);
    }

    fn berth(&self, destination: &Destination) -> Result<PathBuf, PortError> {
        match destination {
            Destination::Bucket { key, .. } => Ok(self.folder.join(key)),
            Destination::Store { .. } => {
                Err(PortError::new(ErrorKind::Unsupported, "this harbour is a bucket"))
            }
        }
    }
}

#[async_trait]
impl Uploader for Harbour {
    async fn upload(
        &self,
        request: &UploadRequest,
        _: Arc<dyn UploadLog>,
        observer: Arc<dyn UploadObserver>,
        cancel: &Cancellation,
    ) -> Result<UploadReceipt, PortError> {
        while self.is_shut.load(Ordering::Acquire) {
            cancel.check()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let berth = self.berth(&request.destination)?;
        let freight = read(&request.file).await?;
        let mut landed = Vec::with_capacity(freight.len());
        for chunk in freight.chunks(CHUNK_BYTES) {
            cancel.check()?;
            landed.extend_from_slice(chunk);
            observer.sent(landed.len() as u64, request.size_bytes);
        }
        let write = tokio::fs::write(&berth, &landed).await;
        write.map_err(|error| at(&berth, "write", error))?;
        Ok(UploadReceipt {
            etag: None,
            parts: 1,
            size_bytes: landed.len() as u64,
        })
    }

    async fn verify(&self, request: &UploadRequest, _: &UploadReceipt) -> Result<bool, PortError> {
        let berth = self.berth(&request.destination)?;
        let found = hex::encode(Sha256::digest(read(&berth).await?));
        if request.sha256.as_ref() == Some(&found) {
            return Ok(true);
        }
        let what = format!("{} is not what was sent", berth.display());
        Err(PortError::new(ErrorKind::Corrupt, what))
    }

    async fn abort(&self, destination: &Destination, _: Arc<dyn UploadLog>) -> Result<(), PortError> {
        let berth = self.berth(destination)?;
        match tokio::fs::remove_file(&berth).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&berth, "remove", error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, PortError> {
    tokio::fs::read(file)
        .await
        .map_err(|error| at(file, "read", error))
}

fn at(file: &Path, what: &str, error: std::io::Error) -> PortError {
    PortError::new(ErrorKind::NotFound, format!("{what} {}", file.display())).because(error)
}
