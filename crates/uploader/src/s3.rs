//! Objects in a bucket, through the AWS SDK: every call one attempt, every body streamed from its file.

mod download;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{
    ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{ObjectFacts, ObjectStore, PartBody, PartReceipt};
use metaferry_domain::{ErrorKind, PortError};

pub use download::{Compared, Download};

use crate::http::{failure, handed_out, host, retry_after};
use crate::presigned::md5_in;
use crate::{HttpFailure, SentMeter, file_range};

/// The SDK's watch over slow bodies gives false alarms with less than 30 s of patience.
const STALL_GRACE: Duration = Duration::from_secs(60);
/// For a connection to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// For an answer, on top of the time that a body takes.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// For a completion: a store may have to put the parts together first.
const COMPLETION_MAX: Duration = Duration::from_secs(15 * 60);
/// The slowest line on which a body is still waited for, in bytes per second.
const SLOWEST_BYTES_PER_S: u64 = 16 << 10;
/// Bytes read from a file at once.
const PIECE_BYTES: usize = 256 << 10;
/// An abort leaves parts that were under way: it is made again until none is listed, this often at most.
const ABORTS_MAX: u32 = 3;
/// Pages of a list of parts: 10 000 parts, 1 000 a page, and room for a store with smaller pages.
const PAGES_MAX: usize = 200;

/// How to reach S3, or a store that speaks it. The server reads it from `AWS_*`.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`, with temporary credentials.
    pub session_token: Option<String>,
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ENDPOINT_URL`, for a store that is not AWS; its buckets are addressed by path.
    pub endpoint: Option<String>,
    /// How objects are encrypted.
    pub encryption: S3Encryption,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

/// How the store encrypts an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Encryption {
    /// As the bucket says.
    OfBucket,
    /// `AES256`, with keys of the store.
    StoreKeys,
    /// `aws:kms`, with that key or the account's default one.
    Kms {
        /// Id or ARN of the key.
        key_id: Option<String>,
    },
}

/// A client for every bucket that the credentials open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Client {
    client: Client,
    encryption: S3Encryption,
    host: String,
}

impl S3Client {
    /// A client with those credentials. Makes no network call.
    ///
    /// # Errors
    /// `Unsupported`, if the endpoint is no HTTP URL.
    pub fn new(config: S3Config) -> Result<Self, PortError> {
        let host = match &config.endpoint {
            None => format!("S3 in {}", config.region),
            Some(endpoint) => host(&handed_out(endpoint).map_err(|_| {
                PortError::new(
                    ErrorKind::Unsupported,
                    "the S3 endpoint is no HTTP URL: set AWS_ENDPOINT_URL to one such as https://s3.example.com",
                )
            })?),
        };
        let credentials = Credentials::new(
            config.access_key_id,
            config.secret_access_key,
            config.session_token,
            None,
            "metaferry",
        );
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials)
            .region(Region::new(config.region))
            // Every body has a Content-MD5, which every store checks; the SDK's own checksums need trailers that
            // few stores but AWS understand.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // The engine retries, under one policy for all stores.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_MAX).build())
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .upload_enabled(true)
                    .grace_period(STALL_GRACE)
                    .build(),
            );
        if let Some(endpoint) = config.endpoint {
            builder = builder.endpoint_url(endpoint).force_path_style(true);
        }
        Ok(Self {
            client: Client::from_conf(builder.build()),
            encryption: config.encryption,
            host,
        })
    }

    /// The object at `key`.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str, meter: Arc<SentMeter>) -> S3ObjectStore {
        S3ObjectStore {
            s3: self.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            meter,
        }
    }

    /// What `PutObject` and `CreateMultipartUpload` say of encryption: its name and key.
    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.encryption {
            S3Encryption::OfBucket => (None, None),
            S3Encryption::StoreKeys => (Some(ServerSideEncryption::Aes256), None),
            S3Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}

/// One object in a bucket.
pub struct S3ObjectStore {
    s3: S3Client,
    bucket: String,
    key: String,
    meter: Arc<SentMeter>,
}

impl fmt::Debug for S3ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3ObjectStore(s3://{}/{})", self.bucket, self.key)
    }
}

impl S3ObjectStore {
    async fn call<T, E>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, PortError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let what = format!("cannot {what} s3://{}/{}", self.bucket, self.key);
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.failed(what, error)),
            Err(_) => Err(PortError::new(
                ErrorKind::Unavailable,
                format!(
                    "{what}: {} gave no answer within {} s",
                    self.s3.host,
                    limit.as_secs()
                ),
            )),
        }
    }

    fn failed<E>(&self, what: String, error: SdkError<E>) -> PortError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let answered = |error: &SdkError<E>| {
            let raw = error.raw_response()?;
            let headers = raw.headers().iter();
            let headers = headers.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
            Some(HttpFailure {
                host: self.s3.host.clone(),
                status: raw.status().as_u16(),
                code: error.code().map(str::to_owned),
                retry_after: retry_after(&headers.collect()),
            })
        };
        match error {
            SdkError::ConstructionFailure(_) => PortError::new(ErrorKind::Unsupported, what).because(error),
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                PortError::new(ErrorKind::Unavailable, what).because(error)
            }
            error => match answered(&error) {
                // A failure may hide in an answer that began as a success, when it took long.
                Some(HttpFailure {
                    status: 200..=299, ..
                }) => PortError::new(ErrorKind::Unavailable, what).because(error),
                Some(answer) => failure(&what, answer),
                None => PortError::new(ErrorKind::Unavailable, what).because(error),
            },
        }
    }

    /// The body's stream, and how long it may take.
    async fn stream(&self, body: &PartBody) -> Result<(ByteStream, Duration), PortError> {
        let limit = ANSWER_MAX + Duration::from_secs(body.size_bytes / SLOWEST_BYTES_PER_S);
        let stream = ByteStream::read_from()
            .path(&body.file)
            .offset(body.offset)
            .length(Length::Exact(body.size_bytes))
            .buffer_size(PIECE_BYTES)
            .build()
            .await
            .map_err(|error| file_range::file_error(&body.file, std::io::Error::other(error)))?;
        Ok((stream, limit))
    }

    /// The `ETag`, compared with the MD5 of what was sent unless encryption makes it something else.
    fn compared(
        &self,
        etag: Option<String>,
        encryption: Option<&ServerSideEncryption>,
        body: &PartBody,
    ) -> Result<Option<String>, PortError> {
        let etag = etag.filter(|etag| !etag.trim_matches('"').is_empty());
        let plain = matches!(encryption, None | Some(ServerSideEncryption::Aes256));
        match etag.as_deref().and_then(md5_in) {
            Some(theirs) if plain && theirs != body.md5 => Err(PortError::new(
                ErrorKind::Corrupt,
                format!(
                    "{} received other bytes than were sent: its ETag is not their MD5",
                    self.s3.host
                ),
            )),
            Some(_) | None => Ok(etag),
        }
    }
}

fn s3_number(number: PartNumber) -> Result<i32, PortError> {
    i32::try_from(number.0)
        .map_err(|_| PortError::new(ErrorKind::Unsupported, format!("S3 has no part number {number}")))
}

#[async_trait]
impl ObjectStore for S3ObjectStore {
    async fn put(&self, body: &PartBody) -> Result<Option<String>, PortError> {
        let (stream, limit) = self.stream(body).await?;
        let (encryption, key_id) = self.s3.encryption();
        let put = self
            .s3
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .body(stream);
        let put = put
            .content_md5(STANDARD.encode(body.md5))
            .set_server_side_encryption(encryption);
        let done = self
            .call("put", limit, put.set_ssekms_key_id(key_id).send())
            .await?;
        self.meter.sent(body.offset, body.size_bytes);
        self.compared(
            done.e_tag().map(str::to_owned),
            done.server_side_encryption(),
            body,
        )
    }

    async fn create(&self, _parts: u32) -> Result<String, PortError> {
        let (encryption, key_id) = self.s3.encryption();
        let create = self
            .s3
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key);
        let create = create
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id);
        let created = self.call("begin an upload to", ANSWER_MAX, create.send()).await?;
        created.upload_id.ok_or_else(|| {
            PortError::new(
                ErrorKind::Unavailable,
                format!("{} began an upload and gave no id", self.s3.host),
            )
        })
    }

    async fn put_part(
        &self,
        upload_id: &str,
        number: PartNumber,
        body: &PartBody,
    ) -> Result<String, PortError> {
        let (stream, limit) = self.stream(body).await?;
        let put = self
            .s3
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(upload_id);
        let put = put
            .part_number(s3_number(number)?)
            .content_md5(STANDARD.encode(body.md5))
            .body(stream);
        let done = self
            .call(&format!("put part {number} of"), limit, put.send())
            .await?;
        self.meter.sent(body.offset, body.size_bytes);
        let etag = self.compared(
            done.e_tag().map(str::to_owned),
            done.server_side_encryption(),
            body,
        )?;
        etag.ok_or_else(|| {
            let what = format!("{} took part {number} and gave it no ETag", self.s3.host);
            PortError::new(ErrorKind::Unavailable, what)
        })
    }

    async fn parts(&self, upload_id: &str) -> Result<Option<Vec<PartReceipt>>, PortError> {
        let mut parts = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let list = self
                .s3
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(&self.key)
                .upload_id(upload_id);
            let page = list.set_part_number_marker(marker.take()).send();
            let page = self.call("list the parts of", ANSWER_MAX, page).await?;
            for part in page.parts() {
                let number = part.part_number().and_then(|number| u32::try_from(number).ok());
                let size_bytes = part.size().and_then(|size| u64::try_from(size).ok());
                if let (Some(number), Some(size_bytes), Some(etag)) = (number, size_bytes, part.e_tag()) {
                    let number = PartNumber(number);
                    parts.push(PartReceipt {
                        number,
                        etag: etag.to_owned(),
                        size_bytes,
                    });
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(Some(parts));
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Err(PortError::new(
            ErrorKind::Corrupt,
            format!("{} lists parts without end", self.s3.host),
        ))
    }

    async fn complete(&self, upload_id: &str, parts: &[PartReceipt]) -> Result<Option<String>, PortError> {
        let parts = parts
            .iter()
            .map(|part| {
                let number = s3_number(part.number)?;
                Ok(CompletedPart::builder()
                    .part_number(number)
                    .e_tag(&part.etag)
                    .build())
            })
            .collect::<Result<Vec<_>, PortError>>()?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self
            .s3
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key);
        let complete = complete.upload_id(upload_id).multipart_upload(parts).send();
        let done = self.call("complete", COMPLETION_MAX, complete).await?;
        Ok(done.e_tag)
    }

    async fn abort(&self, upload_id: &str) -> Result<bool, PortError> {
        for _ in 0..ABORTS_MAX {
            let abort = self
                .s3
                .client
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(&self.key);
            let abort = abort.upload_id(upload_id).send();
            match self.call("abort the upload to", ANSWER_MAX, abort).await {
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(true),
                done => done?,
            };
            match self.parts(upload_id).await {
                Ok(Some(parts)) if !parts.is_empty() => {}
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => return Ok(true),
            }
        }
        let what = format!(
            "parts of an upload to s3://{}/{} outlive its abort",
            self.bucket, self.key
        );
        Err(PortError::new(ErrorKind::Unavailable, what))
    }

    async fn facts(&self) -> Result<Option<ObjectFacts>, PortError> {
        let head = self.s3.client.head_object().bucket(&self.bucket).key(&self.key);
        let head = head.checksum_mode(ChecksumMode::Enabled).send();
        let seen = match self.call("look at", ANSWER_MAX, head).await {
            // Credentials that may write and not read.
            Err(error) if error.kind == ErrorKind::Denied => return Ok(None),
            seen => seen?,
        };
        let size_bytes = seen
            .content_length()
            .and_then(|length| u64::try_from(length).ok());
        let whole = seen.checksum_type() == Some(&ChecksumType::FullObject);
        let sha256 = seen
            .checksum_sha256()
            .filter(|_| whole)
            .and_then(|sha256| STANDARD.decode(sha256).ok());
        Ok(size_bytes.map(|size_bytes| ObjectFacts {
            size_bytes,
            etag: seen.e_tag().map(str::to_owned),
            sha256: sha256.map(hex::encode),
        }))
    }
}
