//! The domain's `Uploader`: chooses one PUT or parts, watches file, cancellation and progress while they go.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::part_plan::UploadPlan;
use metaferry_domain::ports::{
    Clock, Destination, ObjectStore, UploadLog, UploadObserver, UploadReceipt, UploadRequest, Uploader,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};

use crate::attempt::{Attempts, Jitter};
use crate::file_range::FileWatch;
use crate::{ObjectStores, SentMeter, UploadConfig, multipart, single};

/// How often cancellation is looked at and progress told. Half of what is promised.
const TICK: Duration = Duration::from_millis(50);

/// Carries files to whatever store stands behind a destination.
pub struct UploadEngine {
    stores: Arc<dyn ObjectStores>,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    config: UploadConfig,
}

impl fmt::Debug for UploadEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadEngine")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// One upload under way.
pub(crate) struct Voyage<'a> {
    pub(crate) config: &'a UploadConfig,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) jitter: &'a Jitter,
    pub(crate) store: &'a dyn ObjectStore,
    pub(crate) log: &'a dyn UploadLog,
    pub(crate) meter: &'a SentMeter,
    pub(crate) file: FileWatch,
    pub(crate) request: &'a UploadRequest,
    pub(crate) cancel: &'a Cancellation,
}

impl Voyage<'_> {
    /// The policy of calls that send and complete.
    pub(crate) fn sending(&self) -> Attempts<'_> {
        Attempts {
            policy: self.config.retry,
            clock: self.clock,
            jitter: self.jitter,
        }
    }
}

impl UploadEngine {
    /// An engine over those stores. `clock` waits between tries; `jitter` spreads the waits.
    pub fn new(
        stores: Arc<dyn ObjectStores>,
        clock: Arc<dyn Clock>,
        jitter: Jitter,
        config: UploadConfig,
    ) -> Self {
        Self {
            stores,
            clock,
            jitter,
            config,
        }
    }
}

#[async_trait]
impl Uploader for UploadEngine {
    async fn upload(
        &self,
        request: &UploadRequest,
        log: Arc<dyn UploadLog>,
        observer: Arc<dyn UploadObserver>,
        cancel: &Cancellation,
    ) -> Result<UploadReceipt, PortError> {
        let plan = self.config.rules.plan(request.size_bytes).map_err(|error| {
            PortError::new(
                ErrorKind::Exhausted,
                format!("cannot upload {}", request.file.display()),
            )
            .because(error)
        })?;
        let meter = Arc::new(SentMeter::default());
        let store = self.stores.open(&request.destination, meter.clone())?;
        let voyage = Voyage {
            config: &self.config,
            clock: &*self.clock,
            jitter: &self.jitter,
            store: &*store,
            log: &*log,
            meter: &meter,
            file: FileWatch::begin(&request.file, request.size_bytes)?,
            request,
            cancel,
        };
        let work = async {
            match plan {
                UploadPlan::Single { .. } => single::put(&voyage).await,
                UploadPlan::Parts(plan) => multipart::send(&voyage, plan).await,
            }
        };
        watched(work, &meter, &*observer, request.size_bytes, cancel).await
    }

    async fn verify(&self, request: &UploadRequest, receipt: &UploadReceipt) -> Result<bool, PortError> {
        let store = self.stores.open(&request.destination, Arc::default())?;
        let attempts = Attempts {
            policy: self.config.retry,
            clock: &*self.clock,
            jitter: &self.jitter,
        };
        let Some(facts) = attempts.run("looking at the object", || store.facts()).await? else {
            return Ok(false);
        };
        let differs = |what: String| {
            Err(PortError::new(
                ErrorKind::Corrupt,
                format!("what arrived at {:?} {what}", request.destination),
            ))
        };
        if facts.size_bytes != request.size_bytes {
            return differs(format!(
                "has {} bytes, {} were sent",
                facts.size_bytes, request.size_bytes
            ));
        }
        if let (Some(theirs), Some(ours)) = (&facts.sha256, &request.sha256)
            && theirs != ours
        {
            return differs("has another SHA-256 than the file".to_owned());
        }
        if let (Some(now), Some(then)) = (&facts.etag, &receipt.etag)
            && now.trim_matches('"') != then.trim_matches('"')
        {
            return differs(format!("was replaced since: its ETag is {now}, it was {then}"));
        }
        Ok(true)
    }

    async fn abort(&self, destination: &Destination, log: Arc<dyn UploadLog>) -> Result<(), PortError> {
        let Some((upload_id, ..)) = log.resume().await? else {
            return Ok(());
        };
        let store = self.stores.open(destination, Arc::default())?;
        let attempts = Attempts {
            policy: self.config.undo,
            clock: &*self.clock,
            jitter: &self.jitter,
        };
        if !attempts
            .run("aborting the upload", || store.abort(&upload_id))
            .await?
        {
            tracing::info!(
                ?destination,
                "this store cannot abort an upload: its parts end when the store ends them"
            );
        }
        Ok(())
    }
}

/// Does `work` until it ends or cancellation is asked for, which drops it; tells progress meanwhile.
async fn watched<T>(
    work: impl Future<Output = Result<T, PortError>>,
    meter: &SentMeter,
    observer: &dyn UploadObserver,
    of: u64,
    cancel: &Cancellation,
) -> Result<T, PortError> {
    let mut work = pin!(work);
    let mut tick = tokio::time::interval(TICK);
    let mut told = None;
    loop {
        let done = tokio::select! {
            biased;
            _ = tick.tick() => None,
            done = &mut work => Some(done),
        };
        let shown = meter.shown().min(of);
        if told != Some(shown) {
            observer.sent(shown, of);
            told = Some(shown);
        }
        match done {
            Some(done) => return done,
            None => cancel.check()?,
        }
    }
}
