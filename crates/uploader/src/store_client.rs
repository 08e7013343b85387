//! Metabase Cloud's store API, and what our own store adds to it.
//!
//! [`StoreApiClient`] makes one call, one attempt; [`PatientStoreClient`] makes calls again under a policy.
//! Putting the bytes is left to [`crate::presigned`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{Clock, CreatedMigration, MultipartUrls, ObjectFacts, StoreClient};
use metaferry_domain::retry::RetryPolicy;
use metaferry_domain::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::HttpFailure;
use crate::attempt::{Attempts, Jitter};
use crate::http::{HttpClient, handed_out, host, no_answer, refused};

/// The longest answer that is read: 10 000 URLs of 2 KiB, twice.
const ANSWER_BYTES_MAX: usize = 40 << 20;

/// The header by which our own store makes itself known.
const OURS: &str = "x-metaferry-store";

/// The store API over HTTP. No credentials: a migration's id is the capability.
#[derive(Debug, Clone)]
pub struct StoreApiClient {
    http: HttpClient,
    base: Url,
    host: String,
}

/// What our own store tells about a migration beyond the store API.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct StoreStatus {
    /// `waiting`, `uploaded`, `verified`, `restored` or `rejected`.
    pub state: String,
    /// Why it was rejected, or what hinders it.
    pub reason: Option<String>,
    /// A fresh one, while an object may be put; a secret in its query.
    pub upload_url: Option<String>,
    object: Option<StoreObject>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct StoreObject {
    size_bytes: u64,
    etag: String,
}

impl StoreStatus {
    /// What is seen of the object, once there is one.
    #[must_use]
    pub fn object(&self) -> Option<ObjectFacts> {
        let object = self.object.as_ref()?;
        Some(ObjectFacts {
            size_bytes: object.size_bytes,
            etag: Some(object.etag.clone()),
            sha256: None,
        })
    }
}

impl fmt::Debug for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreStatus")
            .field("state", &self.state)
            .field("reason", &self.reason)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Created {
    id: serde_json::Value,
    upload_url: String,
}

#[derive(Serialize)]
struct Begin {
    part_count: u32,
}

#[derive(Deserialize)]
struct Begun {
    #[serde(alias = "multipart-upload-id")]
    multipart_upload_id: String,
    #[serde(alias = "multipart-urls")]
    multipart_urls: HashMap<String, String>,
}

#[derive(Serialize)]
struct Complete<'a> {
    multipart_upload_id: &'a str,
    multipart_etags: serde_json::Map<String, serde_json::Value>,
}

impl StoreApiClient {
    /// A client of the store at `base`, such as `https://store-api.metabase.com`.
    ///
    /// # Errors
    /// `Unsupported`, if that is no HTTP URL.
    pub fn new(http: HttpClient, base: &str) -> Result<Self, PortError> {
        let unusable = || {
            PortError::new(
                ErrorKind::Unsupported,
                "the store's address is no HTTP URL: set MB_STORE_API_URL to one such as https://store-api.metabase.com",
            )
        };
        let base = handed_out(base).map_err(|_| unusable())?;
        if base.cannot_be_a_base() {
            return Err(unusable());
        }
        let host = host(&base);
        Ok(Self { http, base, host })
    }

    /// What our own store tells beyond the API; `None` from any other store.
    ///
    /// # Errors
    /// If nobody answers, or our store fails.
    pub async fn status(&self, external_id: &str) -> Result<Option<StoreStatus>, PortError> {
        let url = self.url(&[external_id]);
        let call = self.http.inner.get(url).timeout(self.http.config.answer);
        let answer = call.send().await.map_err(|error| no_answer(&self.host, error))?;
        // Whatever another store answers, to a call that its API may not have, is no failure.
        if !answer.headers().contains_key(OURS) || answer.status().is_client_error() {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(refused("the store could not tell about the migration", &self.host, answer).await);
        }
        let bytes = self.body(answer).await?;
        let status = serde_json::from_slice(&bytes).map_err(|_| self.unreadable("a state"))?;
        Ok(Some(status))
    }

    fn url(&self, rest: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // Segments are encoded, so an id from a hostile store cannot lead elsewhere.
            path.pop_if_empty()
                .extend(["api", "v2", "migration"])
                .extend(rest);
        }
        url
    }

    async fn call(
        &self,
        what: &str,
        request: reqwest::RequestBuilder,
        limit: Duration,
    ) -> Result<Vec<u8>, PortError> {
        let answer = request
            .timeout(limit)
            .send()
            .await
            .map_err(|error| no_answer(&self.host, error))?;
        if !answer.status().is_success() {
            return Err(refused(what, &self.host, answer).await);
        }
        self.body(answer).await
    }

    async fn body(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, PortError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| no_answer(&self.host, error))?
        {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(PortError::new(
                    ErrorKind::Exhausted,
                    format!("{} answers without end", self.host),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn unreadable(&self, missing: &str) -> PortError {
        PortError::new(
            ErrorKind::Corrupt,
            format!("{} answered without {missing}", self.host),
        )
    }
}

#[async_trait]
impl StoreClient for StoreApiClient {
    async fn create(&self, version: &str) -> Result<CreatedMigration, PortError> {
        let body = serde_json::json!({ "local_mb_version": version });
        let request = self.http.inner.post(self.url(&[])).json(&body);
        let answer = self
            .call(
                "the store did not begin a migration",
                request,
                self.http.config.answer,
            )
            .await;
        let bytes = answer.map_err(|error| match HttpFailure::beneath(&error).map(|answer| answer.status) {
            Some(404) => {
                PortError::new(ErrorKind::NotFound, format!("there is no store API at {}", self.host)).because(error)
            }
            Some(400) => PortError::new(
                ErrorKind::Unsupported,
                format!("the store does not take Metabase {version}: upgrade it, or set MB_MIGRATION_DUMP_VERSION"),
            )
            .because(error),
            Some(_) | None => error,
        })?;
        let created: Created =
            serde_json::from_slice(&bytes).map_err(|_| self.unreadable("an id and an upload URL"))?;
        let external_id = match created.id {
            serde_json::Value::String(id) if !id.is_empty() => id,
            serde_json::Value::Number(id) => id.to_string(),
            _ => return Err(self.unreadable("an id")),
        };
        handed_out(&created.upload_url)?;
        Ok(CreatedMigration {
            external_id,
            upload_url: created.upload_url,
        })
    }

    async fn multipart(&self, external_id: &str, parts: u32) -> Result<MultipartUrls, PortError> {
        let request = self
            .http
            .inner
            .put(self.url(&[external_id, "multipart"]))
            .json(&Begin { part_count: parts });
        let what = "the store gave no URLs for parts";
        let bytes = self.call(what, request, self.http.config.answer).await?;
        let mut begun: Begun =
            serde_json::from_slice(&bytes).map_err(|_| self.unreadable("an upload id and URLs for parts"))?;
        let urls = (1..=parts)
            .map(|number| {
                let url = begun.multipart_urls.remove(&number.to_string());
                let url = url.ok_or_else(|| self.unreadable(&format!("a URL for part {number}")))?;
                handed_out(&url)?;
                Ok((PartNumber(number), url))
            })
            .collect::<Result<Vec<_>, PortError>>()?;
        Ok(MultipartUrls {
            upload_id: begun.multipart_upload_id,
            urls,
        })
    }

    async fn complete(
        &self,
        external_id: &str,
        upload_id: &str,
        etags: &[(PartNumber, String)],
    ) -> Result<(), PortError> {
        let multipart_etags = etags
            .iter()
            .map(|(number, etag)| (number.to_string(), etag.clone().into()))
            .collect();
        let url = self.url(&[external_id, "multipart", "complete"]);
        let request = self.http.inner.put(url).json(&Complete {
            multipart_upload_id: upload_id,
            multipart_etags,
        });
        let what = "the store did not put the parts together";
        self.call(what, request, self.http.config.completion)
            .await
            .map(drop)
    }

    async fn uploaded(&self, external_id: &str) -> Result<(), PortError> {
        let request = self.http.inner.put(self.url(&[external_id, "uploaded"]));
        let what = "the store did not take note that the upload is finished";
        self.call(what, request, self.http.config.answer).await.map(drop)
    }
}

/// Makes calls of a [`StoreClient`] again under a policy.
pub struct PatientStoreClient<C> {
    /// Makes one attempt.
    pub inner: C,
    /// How often, how long.
    pub policy: RetryPolicy,
    /// Waits.
    pub clock: Arc<dyn Clock>,
    /// Spreads the waits.
    pub jitter: Jitter,
}

impl<C: fmt::Debug> fmt::Debug for PatientStoreClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatientStoreClient")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<C> PatientStoreClient<C> {
    fn attempts(&self) -> Attempts<'_> {
        Attempts {
            policy: self.policy,
            clock: &*self.clock,
            jitter: &self.jitter,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<C: StoreClient> StoreClient for PatientStoreClient<C> {
    async fn create(&self, version: &str) -> Result<CreatedMigration, PortError> {
        // A migration that nobody uses is the worst of a lost answer, and the store ends those by itself.
        self.attempts()
            .run("beginning a migration at the store", || {
                self.inner.create(version)
            })
            .await
    }

    async fn multipart(&self, external_id: &str, parts: u32) -> Result<MultipartUrls, PortError> {
        self.attempts()
            .run("asking the store for parts", || {
                self.inner.multipart(external_id, parts)
            })
            .await
    }

    async fn complete(
        &self,
        external_id: &str,
        upload_id: &str,
        etags: &[(PartNumber, String)],
    ) -> Result<(), PortError> {
        let complete = || self.inner.complete(external_id, upload_id, etags);
        self.attempts()
            .run("completing the upload at the store", complete)
            .await
    }

    async fn uploaded(&self, external_id: &str) -> Result<(), PortError> {
        self.attempts()
            .run("telling the store that all is there", || {
                self.inner.uploaded(external_id)
            })
            .await
    }
}
