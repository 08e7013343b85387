//! Nothing secret is in the logs, not even at the finest level, not even those of the libraries beneath.

use std::io;
use std::sync::{Arc, Mutex};

use metaferry_domain::Cancellation;
use metaferry_domain::ports::Uploader;
use metaferry_uploader::{S3Client, S3Config, Stores};
use tracing_subscriber::filter::LevelFilter;

use crate::s3_server::S3Server;
use crate::stub::{Act, Stub};
use crate::support::{FakeClock, Freight, MemoryLog, Shore, Told, engine, parts_of, presigned};

const PART: usize = 10_000;
const SECRET_KEY: &str = "wJalrXUtnFEMI-K7MDENG";
const SESSION_TOKEN: &str = "FwoGZXIvYXdzEBYaD";

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_shows_a_presigned_query_or_a_secret_key() {
    let captured = Captured::default();
    let writer = captured.clone();
    // For the whole process: libraries log from threads of their own, and other tests' lines count as well.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let acts = [
        Act::Answer("500 Oops", ""),
        Act::HangUpAfter(10),
        Act::Answer("403 Forbidden", ""),
    ];
    for size in [PART, 3 * PART] {
        let stub = Stub::playing(acts.clone()).await;
        let engine = engine(presigned(&stub.base), FakeClock::new(), parts_of(PART as u64));
        let request = Freight::of(size);
        let sent = request.request(stub.destination());
        let log = Arc::new(MemoryLog::default());
        // One of them fails, and that is as well.
        let _either = engine
            .upload(&sent, log, Arc::new(Told::default()), &Cancellation::new())
            .await;
    }

    let shore = Shore::open().await;
    let freight = Freight::of(3 * PART);
    let request = freight.request(shore.new_migration().await);
    let to_store = engine(presigned(&shore.base), FakeClock::new(), parts_of(PART as u64));
    let log = Arc::new(MemoryLog::default());
    to_store
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();

    let server = S3Server::open().await;
    let config = S3Config {
        secret_access_key: SECRET_KEY.to_owned(),
        session_token: Some(SESSION_TOKEN.to_owned()),
        ..server.config()
    };
    let stores = Stores {
        s3: Some(S3Client::new(config).unwrap()),
        ..server.stores()
    };
    let to_bucket = engine(stores, FakeClock::new(), parts_of(PART as u64));
    let request = freight.request(server.new_object());
    let log = Arc::new(MemoryLog::default());
    to_bucket
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap_err();

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("is tried again"), "our own lines are captured");
    assert!(text.contains("hyper"), "lines of the libraries are captured");
    // The test's own S3 server shows every request that it gets.
    let ours = || text.lines().filter(|line| !line.contains(" s3s::"));
    for secret in ["5ec4e7", "signature=", SECRET_KEY, SESSION_TOKEN] {
        let leak = ours().find(|line| line.contains(secret));
        assert_eq!(leak, None, "{secret} is in the log");
    }
}
