//! Objects over URLs that a store handed out: nothing is signed here, and nothing can be listed or aborted.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use http::header::{CONTENT_LENGTH, ETAG};
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{ObjectFacts, ObjectStore, PartBody, PartReceipt, StoreClient};
use metaferry_domain::{ErrorKind, PortError};

use crate::http::{HttpClient, handed_out, host, no_answer, refused, unless_stalled};
use crate::{SentMeter, StoreApiClient, file_range};

/// S3 refuses it on parts, whose encryption is chosen when the upload begins.
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// Whether each PUT carries the MD5 of its body, so that the store refuses what was damaged on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMd5 {
    /// It does. S3 takes the header on URLs that did not sign it.
    Sent,
    /// It does not: for a store whose URLs refuse headers that they did not sign.
    Left,
}

/// The object of one migration at a store.
pub struct PresignedObjectStore {
    http: HttpClient,
    api: StoreApiClient,
    external_id: String,
    upload_url: String,
    content_md5: ContentMd5,
    meter: Arc<SentMeter>,
    /// The URLs of the last upload that was begun. They are secrets, so nobody remembers them beyond the process.
    urls: Mutex<Option<(String, HashMap<PartNumber, String>)>>,
}

impl fmt::Debug for PresignedObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedObjectStore")
            .field("external_id", &self.external_id)
            .finish_non_exhaustive()
    }
}

/// Which PUT it is.
#[derive(Clone, Copy)]
enum Carries {
    WholeObject,
    OnePart,
}

impl PresignedObjectStore {
    /// The object of the migration `external_id`, whose single PUT goes to `upload_url`.
    pub fn new(
        http: HttpClient,
        api: StoreApiClient,
        external_id: String,
        upload_url: String,
        content_md5: ContentMd5,
        meter: Arc<SentMeter>,
    ) -> Self {
        Self {
            http,
            api,
            external_id,
            upload_url,
            content_md5,
            meter,
            urls: Mutex::new(None),
        }
    }

    /// Answers the `ETag` as received.
    async fn send(&self, url: &str, carries: Carries, body: &PartBody) -> Result<Option<String>, PortError> {
        let url = handed_out(url)?;
        let host = host(&url);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let stream = file_range::stream(body, self.meter.clone())
            .await?
            .inspect_ok(move |piece| {
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            });
        // The length is said, and no type: the URL's signature may not allow one.
        let mut request = self.http.inner.put(url).header(CONTENT_LENGTH, body.size_bytes);
        request = request.body(if body.size_bytes == 0 {
            reqwest::Body::from(Vec::new())
        } else {
            reqwest::Body::wrap_stream(stream)
        });
        if let ContentMd5::Sent = self.content_md5 {
            request = request.header("content-md5", STANDARD.encode(body.md5));
        }
        if let Carries::WholeObject = carries {
            request = request.header(ENCRYPTION, "aws:kms");
        }
        let call = async { request.send().await.map_err(|error| no_answer(&host, error)) };
        let answer = unless_stalled(&host, self.http.config.stall, &sent, call).await?;
        if !answer.status().is_success() {
            let refusal = refused("the store did not take the bytes", &host, answer);
            return Err(
                unless_stalled(&host, self.http.config.stall, &sent, async { Ok(refusal.await) }).await?,
            );
        }
        let header = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        let etag = header(ETAG.as_str()).filter(|etag| !etag.is_empty());
        let encrypted = header(ENCRYPTION).is_some_and(|how| how.starts_with("aws:kms"))
            || header("x-amz-server-side-encryption-customer-algorithm").is_some();
        if let Some(etag) = &etag
            && !encrypted
        {
            compare(etag, body.md5, &host)?;
        }
        Ok(etag)
    }

    fn url_of(&self, upload_id: &str, number: PartNumber) -> Option<String> {
        let urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, urls) = urls.as_ref()?;
        if id == upload_id {
            urls.get(&number).cloned()
        } else {
            None
        }
    }
}

/// An `ETag` that has the form of an MD5, of bytes that the store did not encrypt, is the MD5 of what arrived.
fn compare(etag: &str, md5: [u8; 16], host: &str) -> Result<(), PortError> {
    match md5_in(etag) {
        Some(theirs) if theirs != md5 => Err(PortError::new(
            ErrorKind::Corrupt,
            format!("{host} received other bytes than were sent: its ETag is not their MD5"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// The MD5 that an `ETag` is, if it has the form of one.
pub(crate) fn md5_in(etag: &str) -> Option<[u8; 16]> {
    let bare = etag
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(etag);
    let mut md5 = [0; 16];
    hex::decode_to_slice(bare, &mut md5).ok()?;
    Some(md5)
}

#[async_trait]
impl ObjectStore for PresignedObjectStore {
    async fn put(&self, body: &PartBody) -> Result<Option<String>, PortError> {
        let refusal = match self.send(&self.upload_url, Carries::WholeObject, body).await {
            Err(error) if error.kind == ErrorKind::Denied => error,
            done => return done,
        };
        // Our own store renews an expired URL; Metabase Cloud's API has no such call.
        let status = self.api.status(&self.external_id).await.unwrap_or_default();
        match status.and_then(|status| status.upload_url) {
            Some(fresh) => self.send(&fresh, Carries::WholeObject, body).await,
            None => Err(PortError::new(
                ErrorKind::Denied,
                "the upload URL was refused, perhaps because it expired, and the store renews none: start a new migration",
            )
            .because(refusal)),
        }
    }

    async fn create(&self, parts: u32) -> Result<String, PortError> {
        let begun = self.api.multipart(&self.external_id, parts).await?;
        let urls = begun.urls.into_iter().collect();
        *self.urls.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun.upload_id.clone(), urls));
        Ok(begun.upload_id)
    }

    /// `NotFound` also where this process holds no URL for the part: asking for new ones is the remedy.
    async fn put_part(
        &self,
        upload_id: &str,
        number: PartNumber,
        body: &PartBody,
    ) -> Result<String, PortError> {
        let url = self.url_of(upload_id, number).ok_or_else(|| {
            PortError::new(
                ErrorKind::NotFound,
                format!("there is no URL for part {number} of an earlier upload"),
            )
        })?;
        self.send(&url, Carries::OnePart, body).await?.ok_or_else(|| {
            PortError::new(
                ErrorKind::Unavailable,
                format!("the store took part {number} and gave it no ETag"),
            )
        })
    }

    async fn parts(&self, _upload_id: &str) -> Result<Option<Vec<PartReceipt>>, PortError> {
        Ok(None)
    }

    async fn complete(&self, upload_id: &str, parts: &[PartReceipt]) -> Result<Option<String>, PortError> {
        let etags: Vec<_> = parts
            .iter()
            .map(|part| (part.number, part.etag.clone()))
            .collect();
        self.api.complete(&self.external_id, upload_id, &etags).await?;
        Ok(None)
    }

    async fn abort(&self, _upload_id: &str) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn facts(&self) -> Result<Option<ObjectFacts>, PortError> {
        Ok(self
            .api
            .status(&self.external_id)
            .await?
            .and_then(|status| status.object()))
    }
}
