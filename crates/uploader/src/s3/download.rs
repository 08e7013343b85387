//! An object into a file: streamed, taken up again where a connection broke, and compared with whatever checksum the
//! store has of the whole of it.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::types::ServerSideEncryption;
use md5::{Digest as _, Md5};
use metaferry_domain::ports::{ObjectFacts, ObjectStore as _};
use metaferry_domain::{ErrorKind, PortError};
use sha2::Sha256;
use tokio::io::AsyncWriteExt as _;

use super::{ANSWER_MAX, S3ObjectStore};
use crate::presigned::md5_in;

/// Times that the object is asked for, each from where the last one broke off.
const ATTEMPTS_MAX: u32 = 5;
/// Between two of them, times the number of those before.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest silence in the middle of a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Size, in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub sha256: String,
    /// What it was compared with.
    pub compared: Compared,
}

/// The store's checksum of a whole object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Its SHA-256.
    Sha256,
    /// Its MD5, which is the `ETag` of an object that came in one piece.
    Md5,
    /// It has none: the size alone was compared.
    Size,
}

/// What has been received so far.
struct Received {
    bytes: u64,
    sha256: Sha256,
    md5: Md5,
    etag: Etag,
}

/// Whether an `ETag` of 32 hexadecimal digits is an MD5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Etag {
    MayBeMd5,
    /// Of an object under a key of KMS's or of somebody's own it only looks like one.
    IsOpaque,
}

impl S3ObjectStore {
    /// Writes the object into `file`, which is made or replaced.
    ///
    /// # Errors
    /// `NotFound` or `Denied` as the store says, `Unavailable` if it fails again and again, `Corrupt` if what arrived is
    /// not what the store has, `Exhausted` for a full disk.
    pub async fn download(&self, file: &Path) -> Result<Download, PortError> {
        let name = format!("s3://{}/{}", self.bucket, self.key);
        let facts = self.facts().await?.ok_or_else(|| {
            PortError::new(
                ErrorKind::Denied,
                format!("cannot look at {name}: the credentials may not read it"),
            )
        })?;
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // An app DB holds password hashes.
        #[cfg(unix)]
        options.mode(0o600);
        let mut out = options.open(file).await.map_err(|error| at_file(file, error))?;
        // Of a file that was there the mode is what it was.
        #[cfg(unix)]
        out.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .await
            .map_err(|error| at_file(file, error))?;
        let mut received = Received {
            bytes: 0,
            sha256: Sha256::new(),
            md5: Md5::new(),
            etag: Etag::MayBeMd5,
        };
        let mut attempts = 0;
        while received.bytes < facts.size_bytes {
            attempts += 1;
            match self.receive(&facts, file, &mut out, &mut received).await {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::Unavailable && attempts < ATTEMPTS_MAX => {
                    tracing::warn!(
                        error = %error.chain(),
                        received_bytes = received.bytes,
                        "the download broke off; going on from there"
                    );
                    tokio::time::sleep(PAUSE * attempts).await;
                }
                Err(error) => return Err(error),
            }
        }
        out.sync_all().await.map_err(|error| at_file(file, error))?;
        let sha256 = hex::encode(received.sha256.finalize());
        let md5 = received.md5.finalize();
        let stored_md5 = facts
            .etag
            .as_deref()
            .and_then(md5_in)
            .filter(|_| received.etag == Etag::MayBeMd5);
        let compared = match (&facts.sha256, stored_md5) {
            (Some(stored), _) if *stored == sha256 => Compared::Sha256,
            (None, Some(stored)) if stored == *md5 => Compared::Md5,
            (None, None) => Compared::Size,
            (Some(_), _) | (None, Some(_)) => {
                return Err(PortError::new(
                    ErrorKind::Corrupt,
                    format!("{name} arrived otherwise than the store's own checksum says"),
                ));
            }
        };
        Ok(Download {
            size_bytes: received.bytes,
            sha256,
            compared,
        })
    }

    /// One request, from where the last one ended.
    async fn receive(
        &self,
        facts: &ObjectFacts,
        file: &Path,
        out: &mut tokio::fs::File,
        received: &mut Received,
    ) -> Result<(), PortError> {
        let mut get = self.s3.client.get_object().bucket(&self.bucket).key(&self.key);
        if received.bytes > 0 {
            get = get.range(format!("bytes={}-", received.bytes));
        }
        // Another object of the same name would be two halves of two.
        get = get.set_if_match(facts.etag.clone());
        let answer = self.call("read", ANSWER_MAX, get.send()).await?;
        let by_kms = matches!(
            answer.server_side_encryption(),
            Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)
        );
        if by_kms || answer.sse_customer_algorithm().is_some() {
            received.etag = Etag::IsOpaque;
        }
        let mut body = answer.body;
        let broke = |why: String| {
            PortError::new(
                ErrorKind::Unavailable,
                format!("cannot read s3://{}/{} to its end: {why}", self.bucket, self.key),
            )
        };
        loop {
            let piece = tokio::time::timeout(SILENCE_MAX, body.next())
                .await
                .map_err(|_| broke(format!("nothing came for {} s", SILENCE_MAX.as_secs())))?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| broke(error.to_string()))?;
            received.bytes += piece.len() as u64;
            if received.bytes > facts.size_bytes {
                return Err(PortError::new(
                    ErrorKind::Corrupt,
                    format!("s3://{}/{} is longer than the store said", self.bucket, self.key),
                ));
            }
            received.sha256.update(&piece);
            received.md5.update(&piece);
            out.write_all(&piece)
                .await
                .map_err(|error| at_file(file, error))?;
        }
        if received.bytes < facts.size_bytes {
            return Err(broke(format!(
                "{} of {} bytes came",
                received.bytes, facts.size_bytes
            )));
        }
        Ok(())
    }
}

fn at_file(file: &Path, error: std::io::Error) -> PortError {
    use std::io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Exhausted,
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    PortError::new(kind, format!("cannot write {}", file.display())).because(error)
}
