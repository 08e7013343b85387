//! A body from the network to a synced file: in bounded memory, counted, hashed, compared with what was announced.
//!
//! Who may send it, and what becomes of the file, is left to the routes.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use md5::{Digest, Md5};
use tokio::io::AsyncWriteExt;

use crate::config::Limits;
use crate::etag::etag_of_whole;
use crate::folder::{Folder, TempFile};
use crate::refusal::Refusal;

/// So much of a refused body is read all the same, so that the sender gets to read the refusal: a connection
/// that is closed on unread bytes takes the answer with it.
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// And for no longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A body that arrived whole.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) file: TempFile,
    pub(crate) size_bytes: u64,
    pub(crate) md5: [u8; 16],
}

impl Received {
    /// As S3 writes it: MD5 in hex, in quotes.
    pub(crate) fn etag(&self) -> String {
        etag_of_whole(self.md5)
    }
}

/// What a sender announces of a body.
#[derive(Debug)]
pub(crate) struct Announced {
    size_bytes: u64,
    md5: Option<[u8; 16]>,
}

impl Announced {
    /// From the headers; refuses what is too large before anything is read.
    pub(crate) fn read(headers: &HeaderMap, limits: &Limits) -> Result<Self, Refusal> {
        let size_bytes: u64 = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .ok_or(Refusal::LengthRequired)?;
        let max_bytes = limits.put_bytes_max.min(limits.object_bytes_max);
        if size_bytes > max_bytes {
            return Err(Refusal::TooLarge { max_bytes });
        }
        let md5 = match headers.get("content-md5") {
            None => None,
            Some(value) => {
                let bytes = STANDARD
                    .decode(value.as_bytes())
                    .map_err(|_| Refusal::InvalidDigest)?;
                Some(bytes.try_into().map_err(|_| Refusal::InvalidDigest)?)
            }
        };
        Ok(Self { size_bytes, md5 })
    }
}

/// Takes the body into a new file of `tmp`. On any failure nothing is left.
pub(crate) async fn receive(
    folder: &Folder,
    idle: Duration,
    announced: &Announced,
    body: Body,
) -> Result<Received, Refusal> {
    let temp = folder.temp();
    let disk = |error| Refusal::disk("write a body", &error);
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(temp.path())
        .await
        .map_err(disk)?;
    let mut hash = Md5::new();
    let mut received = 0_u64;
    let mut stream = body.into_data_stream();
    loop {
        let piece = match tokio::time::timeout(idle, stream.next()).await {
            Err(_) => return Err(Refusal::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Refusal::IncompleteBody {
                    received,
                    announced: announced.size_bytes,
                });
            }
            Ok(Some(Ok(piece))) => piece,
        };
        received += piece.len() as u64;
        if received > announced.size_bytes {
            return Err(Refusal::TooLarge {
                max_bytes: announced.size_bytes,
            });
        }
        hash.update(&piece);
        file.write_all(&piece).await.map_err(disk)?;
    }
    if received != announced.size_bytes {
        return Err(Refusal::IncompleteBody {
            received,
            announced: announced.size_bytes,
        });
    }
    file.flush().await.map_err(disk)?;
    let md5: [u8; 16] = hash.finalize().into();
    if announced.md5.is_some_and(|announced| announced != md5) {
        return Err(Refusal::BadDigest);
    }
    file.sync_all().await.map_err(disk)?;
    Ok(Received {
        file: temp,
        size_bytes: received,
        md5,
    })
}

/// Reads on, within limits, what nobody wants.
pub(crate) async fn drain(body: Body) {
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(piece)) = stream.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Too slow or too much: the connection is closed on the sender, who may then miss the refusal.
    let _in_time = tokio::time::timeout(DRAIN_MAX, reading).await;
}
