//! An S3 server in this process: s3s over a folder, made as strict as S3 is where s3s-fs is lax.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use md5::{Digest, Md5};
use metaferry_domain::ports::Destination;
use metaferry_uploader::{ContentMd5, S3Client, S3Config, S3Encryption, Stores};
use s3s::auth::SimpleAuth;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
    HeadObjectInput, HeadObjectOutput, ListPartsInput, ListPartsOutput, Part, PutObjectInput,
    PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;

use crate::support::http;

const BUCKET: &str = "freight";
/// Parts in one page of a list.
const PAGE: usize = 2;

/// Shorter parts than S3 takes are put together here: s3s-fs refuses them, and tests want small ones.
const S3_PART_MIN: i64 = 5 << 20;

type Uploads = Arc<Mutex<HashMap<String, BTreeMap<i32, (ETag, i64)>>>>;

/// The server, serving.
pub(crate) struct S3Server {
    endpoint: String,
    dir: TempDir,
    uploads: Uploads,
    objects: AtomicU32,
}

impl S3Server {
    pub(crate) async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let uploads = Uploads::default();
        let strict = Strict {
            fs: FileSystem::new(dir.path()).unwrap(),
            uploads: uploads.clone(),
            root: dir.path().to_owned(),
            joined: Mutex::default(),
        };
        let mut service = S3ServiceBuilder::new(strict);
        service.set_auth(SimpleAuth::from_single("access", "secret"));
        let service = service.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _client_gone = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            endpoint,
            dir,
            uploads,
            objects: AtomicU32::new(0),
        }
    }

    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            access_key_id: "access".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
            endpoint: Some(self.endpoint.clone()),
            encryption: S3Encryption::OfBucket,
        }
    }

    pub(crate) fn stores(&self) -> Stores {
        let s3 = S3Client::new(self.config()).unwrap();
        Stores {
            http: http(),
            store_api: None,
            content_md5: ContentMd5::Sent,
            s3: Some(s3),
        }
    }

    pub(crate) fn new_object(&self) -> Destination {
        let key = format!(
            "dumps/name with ü {}.mv.db",
            self.objects.fetch_add(1, Ordering::SeqCst)
        );
        Destination::Bucket {
            bucket: BUCKET.to_owned(),
            key,
        }
    }

    fn path(&self, destination: &Destination) -> PathBuf {
        match destination {
            Destination::Bucket { bucket, key } => self.dir.path().join(bucket).join(key),
            Destination::Store { .. } => panic!("not in a bucket"),
        }
    }

    /// The bytes that arrived, as they lie on the server's disk.
    pub(crate) fn arrived(&self, destination: &Destination) -> Vec<u8> {
        std::fs::read(self.path(destination)).unwrap()
    }

    pub(crate) fn overwrite(&self, destination: &Destination, bytes: &[u8]) {
        std::fs::write(self.path(destination), bytes).unwrap();
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.lock().unwrap().len()
    }
}

/// Compares `Content-MD5` and part `ETags`, gives them in lists, pages those, and knows ended uploads.
#[derive(Debug)]
struct Strict {
    fs: FileSystem,
    uploads: Uploads,
    root: PathBuf,
    /// `ETags` of the objects of small parts, by bucket and key.
    joined: Mutex<HashMap<(String, String), ETag>>,
}

impl Strict {
    fn known(&self, upload_id: &str) -> S3Result<()> {
        if self.uploads.lock().unwrap().contains_key(upload_id) {
            Ok(())
        } else {
            Err(s3_error!(NoSuchUpload))
        }
    }
}

impl Strict {
    fn has_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    /// Puts small parts together as S3 would large ones.
    fn join(&self, input: &CompleteMultipartUploadInput, parts: &[(i32, ETag)]) -> ETag {
        let (mut bytes, mut md5s) = (Vec::new(), Vec::new());
        for (number, etag) in parts {
            let name = format!(".upload_id-{}.part-{number}", input.upload_id);
            bytes.extend(std::fs::read(self.root.join(name)).unwrap());
            md5s.extend(hex::decode(etag.value()).unwrap());
        }
        let path = self.root.join(&input.bucket).join(&input.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        let etag = ETag::Strong(format!("{}-{}", hex::encode(Md5::digest(md5s)), parts.len()));
        let name = (input.bucket.clone(), input.key.clone());
        self.joined.lock().unwrap().insert(name, etag.clone());
        etag
    }
}

fn undamaged(content_md5: Option<&str>, etag: Option<&ETag>) -> S3Result<()> {
    let announced = content_md5.map(|md5| hex::encode(STANDARD.decode(md5).unwrap()));
    let received = etag.map(|etag| etag.value().to_owned());
    // Stricter than S3: here a PUT without an MD5 is refused.
    if announced.is_some() && announced == received {
        Ok(())
    } else {
        Err(s3_error!(BadDigest))
    }
}

#[async_trait]
impl S3 for Strict {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.has_bucket(&req.input.bucket)?;
        let md5 = req.input.content_md5.clone();
        let done = self.fs.put_object(req).await?;
        undamaged(md5.as_deref(), done.output.e_tag.as_ref())?;
        Ok(done)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let name = (req.input.bucket.clone(), req.input.key.clone());
        let mut seen = self.fs.head_object(req).await?;
        if let Some(etag) = self.joined.lock().unwrap().get(&name) {
            seen.output.e_tag = Some(etag.clone());
        }
        Ok(seen)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.has_bucket(&req.input.bucket)?;
        let done = self.fs.create_multipart_upload(req).await?;
        let id = done.output.upload_id.clone().unwrap();
        self.uploads.lock().unwrap().insert(id, BTreeMap::new());
        Ok(done)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.known(&req.input.upload_id)?;
        let (md5, id, number) = (
            req.input.content_md5.clone(),
            req.input.upload_id.clone(),
            req.input.part_number,
        );
        let size = req.input.content_length.unwrap();
        let done = self.fs.upload_part(req).await?;
        undamaged(md5.as_deref(), done.output.e_tag.as_ref())?;
        let part = (done.output.e_tag.clone().unwrap(), size);
        self.uploads
            .lock()
            .unwrap()
            .get_mut(&id)
            .unwrap()
            .insert(number, part);
        Ok(done)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.known(&req.input.upload_id)?;
        let uploads = self.uploads.lock().unwrap();
        let after = req.input.part_number_marker.unwrap_or(0);
        let left: Vec<_> = uploads[&req.input.upload_id].range(after + 1..).collect();
        let parts = left.iter().take(PAGE).map(|(number, (etag, size))| Part {
            part_number: Some(**number),
            e_tag: Some(etag.clone()),
            size: Some(*size),
            ..Part::default()
        });
        let parts: Vec<Part> = parts.collect();
        Ok(S3Response::new(ListPartsOutput {
            is_truncated: Some(left.len() > PAGE),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            parts: Some(parts),
            ..ListPartsOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let id = req.input.upload_id.clone();
        self.known(&id)?;
        let named = req
            .input
            .multipart_upload
            .iter()
            .flat_map(|upload| upload.parts.iter().flatten());
        let named: Vec<_> = named
            .map(|part| (part.part_number.unwrap(), part.e_tag.clone().unwrap()))
            .collect();
        let here = self.uploads.lock().unwrap()[&id].clone();
        let is_small = here.values().rev().skip(1).any(|(_, size)| *size < S3_PART_MIN);
        let here = here.into_iter().map(|(number, (etag, _))| (number, etag));
        if named != here.collect::<Vec<_>>() {
            return Err(s3_error!(InvalidPart));
        }
        let done = if is_small {
            let e_tag = Some(self.join(&req.input, &named));
            S3Response::new(CompleteMultipartUploadOutput {
                e_tag,
                ..CompleteMultipartUploadOutput::default()
            })
        } else {
            self.fs.complete_multipart_upload(req).await?
        };
        self.uploads.lock().unwrap().remove(&id);
        Ok(done)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let id = req.input.upload_id.clone();
        self.known(&id)?;
        let done = self.fs.abort_multipart_upload(req).await?;
        self.uploads.lock().unwrap().remove(&id);
        Ok(done)
    }
}
