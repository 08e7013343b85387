//! The process dies between any two calls, and a later one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{
    Destination, ObjectFacts, ObjectStore, PartBody, PartReceipt, UploadRequest, Uploader,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_uploader::{ObjectStores, SentMeter};

use crate::s3_server::S3Server;
use crate::support::{FakeClock, Freight, MemoryLog, Shore, Told, engine, parts_of, presigned};

const PART: usize = 10_000;

/// When the process dies: before the call is made, or after the store did it and before anybody knew.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Before,
    After,
}

/// Dies at the n-th call; counts the bytes of every PUT that was not refused.
struct Mortal<S> {
    inner: S,
    life: Arc<Life>,
}

struct Life {
    calls_left: AtomicU32,
    moment: Moment,
    put_bytes: AtomicU64,
    /// Called before every part.
    before_part: Box<dyn Fn() + Send + Sync>,
}

impl Life {
    fn of(calls: u32, moment: Moment) -> Arc<Self> {
        Arc::new(Self {
            calls_left: AtomicU32::new(calls),
            moment,
            put_bytes: AtomicU64::new(0),
            before_part: Box::new(|| ()),
        })
    }

    /// The last call is the fatal one; so is every later one.
    async fn call<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let died = || Err(PortError::new(ErrorKind::Cancelled, "the process died"));
        let spend = |left: u32| left.checked_sub(1);
        match self
            .calls_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
        {
            Err(_) => died(),
            Ok(1) if self.moment == Moment::Before => died(),
            Ok(1) => {
                call.await?;
                died()
            }
            Ok(_) => call.await,
        }
    }
}

impl<S: ObjectStores> ObjectStores for Mortal<S> {
    fn open(
        &self,
        destination: &Destination,
        meter: Arc<SentMeter>,
    ) -> Result<Arc<dyn ObjectStore>, PortError> {
        Ok(Arc::new(MortalStore {
            inner: self.inner.open(destination, meter)?,
            life: self.life.clone(),
        }))
    }
}

struct MortalStore {
    inner: Arc<dyn ObjectStore>,
    life: Arc<Life>,
}

#[async_trait]
impl ObjectStore for MortalStore {
    async fn put(&self, body: &PartBody) -> Result<Option<String>, PortError> {
        self.life.call(self.inner.put(body)).await
    }

    async fn create(&self, parts: u32) -> Result<String, PortError> {
        self.life.call(self.inner.create(parts)).await
    }

    async fn put_part(
        &self,
        upload_id: &str,
        number: PartNumber,
        body: &PartBody,
    ) -> Result<String, PortError> {
        (self.life.before_part)();
        let put = async {
            // Counted when it begins: what is dropped half-way was sent, too.
            self.life.put_bytes.fetch_add(body.size_bytes, Ordering::SeqCst);
            let put = self.inner.put_part(upload_id, number, body).await;
            if put
                .as_ref()
                .is_err_and(|error| matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied))
            {
                self.life.put_bytes.fetch_sub(body.size_bytes, Ordering::SeqCst);
            }
            put
        };
        self.life.call(put).await
    }

    async fn parts(&self, upload_id: &str) -> Result<Option<Vec<PartReceipt>>, PortError> {
        self.life.call(self.inner.parts(upload_id)).await
    }

    async fn complete(&self, upload_id: &str, parts: &[PartReceipt]) -> Result<Option<String>, PortError> {
        self.life.call(self.inner.complete(upload_id, parts)).await
    }

    async fn abort(&self, upload_id: &str) -> Result<bool, PortError> {
        self.life.call(self.inner.abort(upload_id)).await
    }

    async fn facts(&self) -> Result<Option<ObjectFacts>, PortError> {
        self.life.call(self.inner.facts()).await
    }
}

/// Dies at every call in turn until an upload survives; answers how many calls that took.
async fn dies_everywhere<S: ObjectStores + 'static>(
    concurrency: usize,
    moment: Moment,
    stores: impl Fn() -> S,
    freight: &Freight,
    request: impl AsyncFn() -> UploadRequest,
    arrived: impl Fn(&UploadRequest) -> Vec<u8>,
) -> u32 {
    let config = metaferry_uploader::UploadConfig {
        concurrency,
        ..parts_of(PART as u64)
    };
    for calls in 1.. {
        let request = request().await;
        let log = Arc::new(MemoryLog::default());
        let first = Life::of(calls, moment);
        let mortal = engine(
            Mortal {
                inner: stores(),
                life: first.clone(),
            },
            FakeClock::new(),
            config,
        );
        let ended = mortal
            .upload(
                &request,
                log.clone(),
                Arc::new(Told::default()),
                &Cancellation::new(),
            )
            .await;
        if ended.is_ok() {
            assert!(arrived(&request) == freight.bytes());
            return calls;
        }
        let second = Life::of(u32::MAX, Moment::Before);
        let later = engine(
            Mortal {
                inner: stores(),
                life: second.clone(),
            },
            FakeClock::new(),
            config,
        );
        let told = Arc::new(Told::default());
        let receipt = later
            .upload(&request, log, told.clone(), &Cancellation::new())
            .await
            .unwrap();
        assert!(
            arrived(&request) == freight.bytes(),
            "died at call {calls}, {moment:?}"
        );
        assert!(later.verify(&request, &receipt).await.unwrap());
        assert!(told.0.lock().unwrap().is_sorted());
        let sent = first.put_bytes.load(Ordering::SeqCst) + second.put_bytes.load(Ordering::SeqCst);
        let again = sent - freight.size_bytes;
        assert!(
            again <= (concurrency * PART) as u64,
            "{again} bytes were sent again, died at call {calls}"
        );
    }
    unreachable!("the loop ends by returning");
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_at_the_store_after_a_crash_at_any_call() {
    let shore = Shore::open().await;
    let freight = Freight::of(5 * PART + 1);
    for (concurrency, moment) in [(1, Moment::Before), (1, Moment::After), (3, Moment::After)] {
        let calls = dies_everywhere(
            concurrency,
            moment,
            || presigned(&shore.base),
            &freight,
            async || freight.request(shore.new_migration().await),
            |request| shore.arrived(&request.destination),
        )
        .await;
        assert!(calls > 8, "create, six parts, complete: {calls}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_at_s3_after_a_crash_at_any_call() {
    let server = S3Server::open().await;
    let freight = Freight::of(5 * PART + 1);
    for (concurrency, moment) in [(1, Moment::Before), (1, Moment::After), (3, Moment::After)] {
        let calls = dies_everywhere(
            concurrency,
            moment,
            || server.stores(),
            &freight,
            async || freight.request(server.new_object()),
            |request| server.arrived(&request.destination),
        )
        .await;
        assert!(calls > 8, "create, six parts, complete: {calls}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_expire_in_the_middle_are_renewed_by_our_store_and_nothing_is_sent_twice() {
    let shore = Shore::open().await;
    let freight = Freight::of(6 * PART);
    let request = freight.request(shore.new_migration().await);
    let parts = AtomicU32::new(0);
    let clock = shore.clock.clone();
    let life = Arc::new(Life {
        before_part: Box::new(move || {
            if parts.fetch_add(1, Ordering::SeqCst) == 3 {
                clock.advance(Duration::from_secs(25 * 3600));
            }
        }),
        ..Arc::into_inner(Life::of(u32::MAX, Moment::Before)).unwrap()
    });
    let config = metaferry_uploader::UploadConfig {
        concurrency: 1,
        ..parts_of(PART as u64)
    };
    let engine = engine(
        Mortal {
            inner: presigned(&shore.base),
            life: life.clone(),
        },
        FakeClock::new(),
        config,
    );
    let log = Arc::new(MemoryLog::default());
    engine
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    assert!(shore.arrived(&request.destination) == freight.bytes());
    assert_eq!(life.put_bytes.load(Ordering::SeqCst), freight.size_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_upload_url_is_renewed_by_our_store() {
    let shore = Shore::open().await;
    let freight = Freight::of(PART);
    let request = freight.request(shore.new_migration().await);
    shore.clock.advance(Duration::from_secs(25 * 3600));
    let engine = engine(presigned(&shore.base), FakeClock::new(), parts_of(PART as u64));
    let log = Arc::new(MemoryLog::default());
    engine
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    assert!(shore.arrived(&request.destination) == freight.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_file_that_is_another_by_now_are_sent_again() {
    let server = S3Server::open().await;
    let freight = Freight::of(4 * PART);
    let request = freight.request(server.new_object());
    let log = Arc::new(MemoryLog::default());
    let life = Life::of(4, Moment::Before);
    let config = metaferry_uploader::UploadConfig {
        concurrency: 1,
        ..parts_of(PART as u64)
    };
    let mortal = engine(
        Mortal {
            inner: server.stores(),
            life,
        },
        FakeClock::new(),
        config,
    );
    mortal
        .upload(
            &request,
            log.clone(),
            Arc::new(Told::default()),
            &Cancellation::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(
        log.0.lock().unwrap().as_ref().unwrap().2.len(),
        2,
        "two parts arrived"
    );

    let mut other = freight.bytes();
    other[PART / 2] ^= 1;
    std::fs::write(freight.path(), &other).unwrap();
    let later = engine(server.stores(), FakeClock::new(), config);
    later
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    assert!(server.arrived(&request.destination) == other);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_store_dropped_is_begun_anew() {
    let server = S3Server::open().await;
    let freight = Freight::of(4 * PART);
    let request = freight.request(server.new_object());
    let log = Arc::new(MemoryLog::default());
    let config = metaferry_uploader::UploadConfig {
        concurrency: 1,
        ..parts_of(PART as u64)
    };
    let life = Life::of(4, Moment::Before);
    let mortal = engine(
        Mortal {
            inner: server.stores(),
            life,
        },
        FakeClock::new(),
        config,
    );
    mortal
        .upload(
            &request,
            log.clone(),
            Arc::new(Told::default()),
            &Cancellation::new(),
        )
        .await
        .unwrap_err();

    let later = engine(server.stores(), FakeClock::new(), config);
    later.abort(&request.destination, log.clone()).await.unwrap();
    assert_eq!(server.open_uploads(), 0);
    later.abort(&request.destination, log.clone()).await.unwrap();
    later
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    assert!(server.arrived(&request.destination) == freight.bytes());
}
