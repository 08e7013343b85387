//! The file that is uploaded: ranges as streams and as digests, and whether it is still the same.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use md5::{Digest, Md5};
use metaferry_domain::ports::PartBody;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::SentMeter;

/// Bytes read at once, and so the memory of one body under way.
const PIECE_BYTES: u64 = 256 << 10;
/// Bytes hashed between two looks at the cancellation: less than 2 ms.
const HASHED_BYTES: usize = 1 << 20;

/// The file as it was when the upload began.
#[derive(Debug, Clone)]
pub(crate) struct FileWatch {
    path: PathBuf,
    size_bytes: u64,
    modified: Option<SystemTime>,
}

impl FileWatch {
    /// Of a file that must have `size_bytes`.
    pub(crate) fn begin(path: &Path, size_bytes: u64) -> Result<Self, PortError> {
        // Opened, not only looked at: what cannot be read shall be known before anything is begun.
        let facts = File::open(path)
            .and_then(|file| file.metadata())
            .map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => ErrorKind::NotFound,
                    io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                    _ => ErrorKind::Corrupt,
                };
                PortError::new(kind, format!("cannot read {}", path.display())).because(error)
            })?;
        if facts.len() != size_bytes {
            return Err(PortError::new(
                ErrorKind::Corrupt,
                format!(
                    "{} has {} bytes, {size_bytes} were expected: make it again",
                    path.display(),
                    facts.len()
                ),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            size_bytes,
            modified: facts.modified().ok(),
        })
    }

    /// `Err` if it is another one, or was written to.
    pub(crate) fn unchanged(&self) -> Result<(), PortError> {
        let facts = fs::metadata(&self.path).map_err(|error| file_error(&self.path, error))?;
        if facts.len() == self.size_bytes && facts.modified().ok() == self.modified {
            return Ok(());
        }
        Err(PortError::new(
            ErrorKind::Precondition,
            format!(
                "{} was changed while it was uploaded: leave it alone, and try again",
                self.path.display()
            ),
        ))
    }
}

/// The file could be read when the upload began, and cannot now. Its kind is never one that a store answers
/// with when URLs expire.
pub(crate) fn file_error(path: &Path, error: io::Error) -> PortError {
    PortError::new(
        ErrorKind::Precondition,
        format!("cannot read {} any more", path.display()),
    )
    .because(error)
}

/// The bytes of the body, as they are read; tells the meter how far it is.
pub(crate) async fn stream(
    body: &PartBody,
    meter: Arc<SentMeter>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, PortError> {
    let open = async {
        let mut file = tokio::fs::File::open(&body.file).await?;
        file.seek(SeekFrom::Start(body.offset)).await?;
        io::Result::Ok(file)
    };
    let file = open.await.map_err(|error| file_error(&body.file, error))?;
    let (offset, size_bytes) = (body.offset, body.size_bytes);
    Ok(try_unfold((file, 0_u64), move |(mut file, sent)| {
        let meter = meter.clone();
        async move {
            let left = size_bytes - sent;
            if left == 0 {
                return Ok(None);
            }
            let piece = usize::try_from(left.min(PIECE_BYTES)).expect("at most 256 KiB");
            let mut piece = vec![0; piece];
            let read = file.read(&mut piece).await?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file ended early",
                ));
            }
            piece.truncate(read);
            let sent = sent + read as u64;
            meter.sent(offset, sent);
            Ok(Some((Bytes::from(piece), (file, sent))))
        }
    }))
}

/// MD5 of a range, computed on the blocking pool.
pub(crate) async fn md5_of(
    path: &Path,
    offset: u64,
    size_bytes: u64,
    cancel: &Cancellation,
) -> Result<[u8; 16], PortError> {
    let digest = digest::<Md5>(path, offset, size_bytes, cancel).await?;
    Ok(digest.try_into().expect("MD5 has 16 bytes"))
}

/// SHA-256 of a range in lower-case hex, computed on the blocking pool.
pub(crate) async fn sha256_of(
    path: &Path,
    offset: u64,
    size_bytes: u64,
    cancel: &Cancellation,
) -> Result<String, PortError> {
    digest::<Sha256>(path, offset, size_bytes, cancel)
        .await
        .map(hex::encode)
}

async fn digest<D: Digest>(
    path: &Path,
    offset: u64,
    size_bytes: u64,
    cancel: &Cancellation,
) -> Result<Vec<u8>, PortError> {
    let (path, cancel) = (path.to_owned(), cancel.clone());
    let work = move || {
        let failed = |error| file_error(&path, error);
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut range = file.take(size_bytes);
        let (mut hash, mut buffer, mut total) = (D::new(), vec![0; HASHED_BYTES], 0_u64);
        loop {
            cancel.check()?;
            let read = range.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            total += read as u64;
        }
        if total != size_bytes {
            return Err(failed(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file ended early",
            )));
        }
        Ok(hash.finalize().to_vec())
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PortError::new(ErrorKind::Unavailable, "a digest was not finished").because(error))?
}
