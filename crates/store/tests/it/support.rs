//! A store on the loopback device, and what it asks of others, scripted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use metaferry_domain::ports::Clock;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_store::{
    DumpFacts, DumpInspector, Restorer, Store, StoreConfig, StoreDeps, StoreError, TableFacts,
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Time stands still unless it is moved.
#[derive(Debug)]
pub(crate) struct FakeClock(AtomicU64);

impl FakeClock {
    pub(crate) fn advance(&self, duration: Duration) {
        self.0
            .fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// What the inspector answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Facts(DumpFacts),
    Error(ErrorKind, &'static str),
    Panic,
}

/// Answers as told and keeps what it was shown.
#[derive(Debug)]
pub(crate) struct Inspector {
    answer: Answer,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Inspector {
    pub(crate) fn answering(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            answer,
            seen: Mutex::default(),
        })
    }

    pub(crate) fn finding(facts: DumpFacts) -> Arc<Self> {
        Self::answering(Answer::Facts(facts))
    }

    pub(crate) fn looked_at(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl DumpInspector for Inspector {
    async fn inspect(&self, file: &Path) -> Result<DumpFacts, PortError> {
        self.seen.lock().unwrap().push(std::fs::read(file).unwrap());
        match &self.answer {
            Answer::Facts(facts) => Ok(facts.clone()),
            Answer::Error(kind, what) => Err(PortError::new(*kind, *what)),
            Answer::Panic => panic!("hostile bytes"),
        }
    }
}

pub(crate) fn good_facts() -> DumpFacts {
    let core_user = TableFacts {
        name: "core_user".to_owned(),
        rows: 2,
        digest: "mf1:00".to_owned(),
    };
    DumpFacts {
        tables: vec![core_user],
        users: 2,
        dangling: Vec::new(),
    }
}

/// Restores into memory, or fails as told.
#[derive(Debug, Default)]
pub(crate) struct Restores {
    pub(crate) done: Mutex<Vec<(String, Vec<u8>)>>,
    pub(crate) error: Mutex<Option<PortError>>,
}

#[async_trait]
impl Restorer for Restores {
    async fn restore(&self, migration: &str, file: &Path, _facts: &DumpFacts) -> Result<String, PortError> {
        if let Some(error) = self.error.lock().unwrap().take() {
            return Err(error);
        }
        self.done
            .lock()
            .unwrap()
            .push((migration.to_owned(), std::fs::read(file).unwrap()));
        Ok("a test's memory".to_owned())
    }
}

/// One answer over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// That status, and a body that begins so.
    pub(crate) fn assert(&self, status: u16, words: &str) {
        assert!(
            self.status == status && self.body.starts_with(words),
            "expected {status} {words}, got {self:?}"
        );
    }

    pub(crate) fn etag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }
}

pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) upload_url: String,
}

pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) urls: BTreeMap<u32, String>,
}

/// A store, serving.
pub(crate) struct Harbour {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) inspector: Arc<Inspector>,
    pub(crate) dir: TempDir,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
}

impl Harbour {
    pub(crate) async fn open() -> Self {
        Self::with(Inspector::finding(good_facts()), None, |_| ()).await
    }

    pub(crate) async fn with(
        inspector: Arc<Inspector>,
        restores: Option<Arc<Restores>>,
        change: impl FnOnce(&mut StoreConfig),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::new(dir.path());
        change(&mut config);
        Self::serve(
            dir,
            config,
            Arc::new(FakeClock(AtomicU64::new(1_795_690_800_000))),
            inspector,
            restores,
        )
        .await
    }

    async fn serve(
        dir: TempDir,
        config: StoreConfig,
        clock: Arc<FakeClock>,
        inspector: Arc<Inspector>,
        restores: Option<Arc<Restores>>,
    ) -> Self {
        let restorer = restores.map(|restores| restores as Arc<dyn Restorer>);
        let deps = StoreDeps {
            clock: clock.clone(),
            inspector: inspector.clone(),
            restorer,
        };
        let store = Store::open(config, deps).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = oneshot::channel();
        let stopped = tokio::spawn(async move {
            let shutdown = async {
                let _asked_or_dropped = stopping.await;
            };
            store.serve(listener, shutdown).await.unwrap();
        });
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            address,
            clock,
            inspector,
            dir,
            http,
            stop,
            stopped,
        }
    }

    /// Ends this store; answers its folder once it is let go of, and its clock.
    pub(crate) async fn closed(self) -> (TempDir, Arc<FakeClock>) {
        self.stop.send(()).unwrap();
        self.stopped.await.unwrap();
        let lock = std::fs::File::open(self.dir.path().join("lock")).unwrap();
        while lock.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
        (self.dir, self.clock)
    }

    /// Ends this store and begins another over the same folder.
    pub(crate) async fn restarted(self, inspector: Arc<Inspector>, restores: Option<Arc<Restores>>) -> Self {
        let (dir, clock) = self.closed().await;
        let config = StoreConfig::new(dir.path());
        Self::serve(dir, config, clock, inspector, restores).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> Reply {
        let url = format!("http://{}{path}", self.address);
        let request = self
            .http
            .request(method.parse().unwrap(), url)
            .body(body.to_owned());
        reply(request).await
    }

    /// A whole object with the encryption that its URL is signed with, or a part.
    pub(crate) async fn put(&self, url: &str, body: &[u8], mut headers: HeaderMap) -> Reply {
        // http://HOST/objects/ID, and for a part /UPLOAD/NUMBER after it.
        let is_part = url.split('?').next().unwrap_or_default().matches('/').count() > 4;
        if !is_part {
            headers.insert("x-amz-server-side-encryption", "aws:kms".parse().unwrap());
        }
        self.put_plainly(url, body, headers).await
    }

    pub(crate) async fn put_plainly(&self, url: &str, body: &[u8], headers: HeaderMap) -> Reply {
        reply(self.http.put(url).headers(headers).body(body.to_vec())).await
    }

    pub(crate) async fn create(&self) -> Created {
        let reply = self
            .request("POST", "/api/v2/migration", r#"{"local_mb_version": "v0.58.1"}"#)
            .await;
        reply.assert(201, "");
        let created: Value = serde_json::from_str(&reply.body).unwrap();
        let text = |key: &str| created[key].as_str().unwrap().to_owned();
        Created {
            id: text("id"),
            upload_url: text("upload_url"),
        }
    }

    pub(crate) async fn multipart(&self, id: &str, parts: u32) -> Upload {
        let path = format!("/api/v2/migration/{id}/multipart");
        let reply = self
            .request("PUT", &path, &json!({"part_count": parts}).to_string())
            .await;
        reply.assert(200, "");
        let begun: Value = serde_json::from_str(&reply.body).unwrap();
        let urls: BTreeMap<u32, String> = serde_json::from_value(begun["multipart_urls"].clone()).unwrap();
        assert_eq!(urls.len(), parts as usize);
        Upload {
            id: begun["multipart_upload_id"].as_str().unwrap().to_owned(),
            urls,
        }
    }

    pub(crate) async fn complete(&self, id: &str, upload: &str, etags: &Value) -> Reply {
        let body = json!({"multipart_upload_id": upload, "multipart_etags": etags}).to_string();
        self.request(
            "PUT",
            &format!("/api/v2/migration/{id}/multipart/complete"),
            &body,
        )
        .await
    }

    pub(crate) async fn uploaded(&self, id: &str) -> Reply {
        self.request("PUT", &format!("/api/v2/migration/{id}/uploaded"), "")
            .await
    }

    pub(crate) async fn status(&self, id: &str) -> Value {
        let reply = self.request("GET", &format!("/api/v2/migration/{id}"), "").await;
        reply.assert(200, "");
        serde_json::from_str(&reply.body).unwrap()
    }

    /// The first status that `wanted` holds of. Each look is a round trip; 5 000 of them are far too many.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..5_000 {
            let status = self.status(id).await;
            if wanted(&status) {
                return status;
            }
        }
        panic!("it did not come about: {}", self.status(id).await);
    }

    pub(crate) async fn settled(&self, id: &str) -> Value {
        self.until(id, |status| {
            status["state"] == "verified" || status["state"] == "rejected"
        })
        .await
    }

    pub(crate) fn files(&self, id: &str) -> Vec<PathBuf> {
        list(&self.dir.path().join("migrations").join(id))
    }

    pub(crate) fn temp_files(&self) -> Vec<PathBuf> {
        list(&self.dir.path().join("tmp"))
    }
}

fn list(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let reply = request.send().await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Reply {
        status,
        headers,
        body: reply.text().await.unwrap(),
    }
}

/// Tries to open a store over that folder.
pub(crate) fn open(dir: &Path, clock: Arc<FakeClock>) -> Result<Store, StoreError> {
    let deps = StoreDeps {
        clock,
        inspector: Inspector::finding(good_facts()),
        restorer: None,
    };
    Store::open(StoreConfig::new(dir), deps)
}

pub(crate) fn md5_header(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

pub(crate) fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

pub(crate) fn path_of(url: &str) -> &str {
    url.split_once("//").unwrap().1.split_once('/').unwrap().1
}
