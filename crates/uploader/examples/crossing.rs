//! Carries a file of so many megabytes to a store in this process, and tells time and memory.
//!
//! `cargo run --release -p metaferry-uploader --example crossing -- 1000`
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use metaferry_domain::ports::{
    Clock, Destination, PartReceipt, StoreClient, UploadLog, UploadObserver, UploadRequest, Uploader,
};
use metaferry_domain::{Cancellation, PortError};
use metaferry_store::{DumpFacts, DumpInspector, Store, StoreConfig, StoreDeps};
use metaferry_uploader::{
    ContentMd5, HttpClient, HttpConfig, Proxies, StoreApiClient, Stores, UploadConfig, UploadEngine,
};

struct System;

#[async_trait]
impl Clock for System {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[async_trait]
impl DumpInspector for System {
    async fn inspect(&self, _file: &Path) -> Result<DumpFacts, PortError> {
        Ok(DumpFacts::default())
    }
}

#[async_trait]
impl UploadLog for System {
    async fn begun(&self, _upload_id: &str, _part_size_bytes: u64) -> Result<(), PortError> {
        Ok(())
    }

    async fn part(&self, _upload_id: &str, _receipt: &PartReceipt) -> Result<(), PortError> {
        Ok(())
    }

    async fn resume(&self) -> Result<Option<(String, u64, Vec<PartReceipt>)>, PortError> {
        Ok(None)
    }
}

impl UploadObserver for System {
    fn sent(&self, _bytes: u64, _of: u64) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: u64 = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "300".to_owned())
        .parse()?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("freight");
    let size_bytes = megabytes * 1_000_000;
    // A hole reads as zeros: the way is measured, not the disk it comes from.
    std::fs::File::create(&file)?.set_len(size_bytes)?;

    let deps = StoreDeps {
        clock: Arc::new(System),
        inspector: Arc::new(System),
        restorer: None,
    };
    let store = Store::open(StoreConfig::new(dir.path().join("store")), deps)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });

    let http = HttpClient::new(HttpConfig {
        proxies: Proxies::None,
        ..HttpConfig::default()
    })?;
    let api = StoreApiClient::new(http.clone(), &base)?;
    let created = api.create("v0.58.1").await?;
    let stores = Stores {
        http,
        store_api: Some(api),
        content_md5: ContentMd5::Sent,
        s3: None,
    };
    let engine = UploadEngine::new(
        Arc::new(stores),
        Arc::new(System),
        Arc::new(|| 0.5),
        UploadConfig::default(),
    );
    let destination = Destination::Store {
        external_id: created.external_id,
        upload_url: created.upload_url,
    };
    let request = UploadRequest {
        file,
        size_bytes,
        sha256: None,
        destination,
    };
    let began = Instant::now();
    let receipt = engine
        .upload(&request, Arc::new(System), Arc::new(System), &Cancellation::new())
        .await?;
    let took = began.elapsed();
    println!(
        "{} parts, {megabytes} MB in {took:.1?}, seen at the store: {}",
        receipt.parts,
        engine.verify(&request, &receipt).await?
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!(
        "{}",
        status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or("peak memory: not told here")
    );
    Ok(())
}
