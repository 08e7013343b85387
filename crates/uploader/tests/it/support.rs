//! What the tests share: files, a clock that does not wait, a remembered upload, a store on the loopback device.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::part_plan::PartRules;
use metaferry_domain::ports::{
    Clock, Destination, PartReceipt, StoreClient, UploadLog, UploadObserver, UploadRequest,
};
use metaferry_store::{DumpFacts, DumpInspector, Store, StoreConfig, StoreDeps};
use metaferry_uploader::{
    ContentMd5, HttpClient, HttpConfig, ObjectStores, Proxies, StoreApiClient, Stores, UploadConfig,
    UploadEngine,
};
use tempfile::TempDir;

/// Time that only moves when something waits, and then at once.
#[derive(Debug)]
pub(crate) struct FakeClock {
    now_ms: AtomicU64,
    pub(crate) waits: Mutex<Vec<Duration>>,
}

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            now_ms: AtomicU64::new(1_795_690_800_000),
            waits: Mutex::default(),
        })
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.now_ms
            .fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    async fn sleep(&self, duration: Duration) {
        self.waits.lock().unwrap().push(duration);
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}

type Remembered = Option<(String, u64, Vec<PartReceipt>)>;

/// Remembers an upload as a journal would.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog(pub(crate) Mutex<Remembered>);

#[async_trait]
impl UploadLog for MemoryLog {
    async fn begun(&self, upload_id: &str, part_size_bytes: u64) -> Result<(), PortError> {
        *self.0.lock().unwrap() = Some((upload_id.to_owned(), part_size_bytes, Vec::new()));
        Ok(())
    }

    async fn part(&self, upload_id: &str, receipt: &PartReceipt) -> Result<(), PortError> {
        let mut remembered = self.0.lock().unwrap();
        let (id, _, parts) = remembered.as_mut().unwrap();
        assert_eq!(id, upload_id);
        parts.push(receipt.clone());
        Ok(())
    }

    async fn resume(&self) -> Result<Remembered, PortError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// Keeps what it was told.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<(u64, u64)>>);

impl UploadObserver for Told {
    fn sent(&self, bytes: u64, of: u64) {
        self.0.lock().unwrap().push((bytes, of));
    }
}

impl Told {
    /// Never falls, never beyond the end, ends at the end.
    pub(crate) fn assert_complete(&self, size_bytes: u64) {
        let told = self.0.lock().unwrap();
        assert!(told.is_sorted(), "{told:?}");
        assert!(told.iter().all(|(_, of)| *of == size_bytes), "{told:?}");
        assert_eq!(told.last().map(|(sent, _)| *sent), Some(size_bytes));
    }
}

/// A file of bytes that repeat nowhere, in a folder of its own.
pub(crate) struct Freight {
    dir: TempDir,
    pub(crate) size_bytes: u64,
}

impl Freight {
    pub(crate) fn of(size_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size_bytes as u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(size_bytes)
        .collect();
        std::fs::write(dir.path().join("freight"), bytes).unwrap();
        Self {
            dir,
            size_bytes: size_bytes as u64,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("freight")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub(crate) fn request(&self, destination: Destination) -> UploadRequest {
        UploadRequest {
            file: self.path(),
            size_bytes: self.size_bytes,
            sha256: None,
            destination,
        }
    }
}

/// Small parts; everything else as in production.
pub(crate) fn parts_of(part_size_bytes: u64) -> UploadConfig {
    let rules = PartRules {
        single_put_max_bytes: part_size_bytes,
        part_size_bytes,
        ..PartRules::default()
    };
    UploadConfig {
        rules,
        ..UploadConfig::default()
    }
}

/// An engine that spreads its waits not at all.
pub(crate) fn engine(
    stores: impl ObjectStores + 'static,
    clock: Arc<FakeClock>,
    config: UploadConfig,
) -> UploadEngine {
    UploadEngine::new(Arc::new(stores), clock, Arc::new(|| 1.0), config)
}

pub(crate) fn http() -> HttpClient {
    HttpClient::new(HttpConfig {
        proxies: Proxies::None,
        ..HttpConfig::default()
    })
    .unwrap()
}

pub(crate) fn presigned(base: &str) -> Stores {
    let http = http();
    let store_api = StoreApiClient::new(http.clone(), base).unwrap();
    Stores {
        http,
        store_api: Some(store_api),
        content_md5: ContentMd5::Sent,
        s3: None,
    }
}

/// Opens everything; what it would find is not these tests' matter.
struct Inspector;

#[async_trait]
impl DumpInspector for Inspector {
    async fn inspect(&self, _file: &Path) -> Result<DumpFacts, PortError> {
        Ok(DumpFacts {
            users: 1,
            ..DumpFacts::default()
        })
    }
}

/// The real store, serving.
pub(crate) struct Shore {
    pub(crate) base: String,
    pub(crate) clock: Arc<FakeClock>,
    dir: TempDir,
    _store: Arc<Store>,
}

impl Shore {
    pub(crate) async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = FakeClock::new();
        let deps = StoreDeps {
            clock: clock.clone(),
            inspector: Arc::new(Inspector),
            restorer: None,
        };
        let store = Arc::new(Store::open(StoreConfig::new(dir.path()), deps).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = store.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        Self {
            base,
            clock,
            dir,
            _store: store,
        }
    }

    pub(crate) fn api(&self) -> StoreApiClient {
        StoreApiClient::new(http(), &self.base).unwrap()
    }

    pub(crate) async fn new_migration(&self) -> Destination {
        let created = self.api().create("v0.58.1").await.unwrap();
        Destination::Store {
            external_id: created.external_id,
            upload_url: created.upload_url,
        }
    }

    /// The bytes that arrived, as they lie on the store's disk.
    pub(crate) fn arrived(&self, destination: &Destination) -> Vec<u8> {
        let dir = self.dir.path().join("migrations").join(external_id(destination));
        let objects = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let is_object = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("object-");
        let objects: Vec<_> = objects.filter(is_object).collect();
        assert_eq!(objects.len(), 1, "{objects:?}");
        std::fs::read(&objects[0]).unwrap()
    }
}

pub(crate) fn external_id(destination: &Destination) -> &str {
    match destination {
        Destination::Store { external_id, .. } => external_id,
        Destination::Bucket { .. } => panic!("a bucket has no external id"),
    }
}
