//! A store that is open: its shared parts, its worker, its socket.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use metaferry_domain::ports::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use crate::folder::Folder;
use crate::inspector::{DumpInspector, Restorer};
use crate::record::{MigrationRecord, Restoration, Stage};
use crate::refusal::Refusal;
use crate::signing::Presigner;
use crate::{StoreConfig, StoreError, router, verification};

/// Migrations share this many locks: enough that two seldom meet, and never more.
const LOCKS: usize = 64;

/// How long running requests may take to end after a shutdown was asked for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// What a store needs of others.
#[derive(Clone)]
pub struct StoreDeps {
    /// Time, for the life of URLs.
    pub clock: Arc<dyn Clock>,
    /// Opens what was received.
    pub inspector: Arc<dyn DumpInspector>,
    /// Where verified dumps go. `None`: it ends at `verified`.
    pub restorer: Option<Arc<dyn Restorer>>,
}

impl std::fmt::Debug for StoreDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreDeps")
            .field("restores", &self.restorer.is_some())
            .finish_non_exhaustive()
    }
}

/// What routes and worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) deps: StoreDeps,
    pub(crate) folder: Folder,
    pub(crate) presigner: Presigner,
    pub(crate) receiving: Arc<Semaphore>,
    pub(crate) migrations: AtomicUsize,
    locks: Vec<Arc<Mutex<()>>>,
}

impl Shared {
    pub(crate) fn now_s(&self) -> u64 {
        self.deps.clock.now_ms() / 1000
    }

    /// Holds every other change of that migration off.
    pub(crate) async fn lock(&self, id: Uuid) -> OwnedMutexGuard<()> {
        let index = usize::from(id.as_bytes()[0]) % LOCKS;
        self.locks[index].clone().lock_owned().await
    }

    /// Runs `work`, which reads and writes files, on the blocking pool. It runs to its end even when the caller
    /// has gone, so what it does under a lock is never half done.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let shared = self.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(error) => Err(Refusal::Internal(format!("a file task failed: {error}"))),
        }
    }

    /// The record, or a refusal that names what is wrong.
    pub(crate) fn record(&self, id: Uuid) -> Result<MigrationRecord, Refusal> {
        let record = self
            .folder
            .load(id)
            .map_err(|error| Refusal::disk("read a record", &error))?;
        record.ok_or(Refusal::UnknownMigration)
    }

    /// Makes a changed record durable, then drops the files that it no longer speaks of.
    pub(crate) fn keep(&self, record: &MigrationRecord) -> Result<(), Refusal> {
        self.folder
            .save(record)
            .map_err(|error| Refusal::disk("write a record", &error))?;
        self.folder
            .remove_strays(record)
            .map_err(|error| Refusal::disk("remove old files", &error))
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Uuid>,
}

impl Store {
    /// Opens the data folder, making what is missing, and goes on with the verifications that an earlier process
    /// left. Needs a Tokio runtime.
    ///
    /// # Errors
    /// If the folder cannot be used, or holds a damaged record or key.
    pub fn open(config: StoreConfig, deps: StoreDeps) -> Result<Self, StoreError> {
        let folder = Folder::open(&config.data_dir)?;
        let presigner = Presigner::open(&folder.signing_key())?;
        let records = folder.records()?;
        let unfinished = |record: &&MigrationRecord| match &record.stage {
            Stage::Uploaded { .. } => true,
            Stage::Verified { restoration, .. } => {
                *restoration == Restoration::Due && deps.restorer.is_some()
            }
            Stage::Waiting | Stage::Restored { .. } | Stage::Rejected { .. } => false,
        };
        let leftovers: Vec<Uuid> = records
            .iter()
            .filter(unfinished)
            .map(|record| record.id)
            .collect();
        let (queue, waiting) = mpsc::channel(config.limits.verifications_queued_max.max(1));
        let shared = Arc::new(Shared {
            receiving: Arc::new(Semaphore::new(config.limits.receiving_max)),
            migrations: AtomicUsize::new(records.len()),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            config,
            deps,
            folder,
            presigner,
        });
        // The worker ends when the store and every router of it are gone: then nobody can queue any more.
        tokio::spawn(verification::run(shared.clone(), leftovers, waiting));
        Ok(Self { shared, queue })
    }

    /// The store's routes, to be served by the caller.
    pub fn router(&self) -> Router {
        router::router(self.shared.clone(), self.queue.clone())
    }

    /// Serves until `shutdown` is done, then lets running requests end, for 10 seconds at most.
    ///
    /// # Errors
    /// If the listening socket fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        let stop = async move {
            shutdown.await;
            let _server_gone = tell.send(());
        };
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(stop);
        let patience = async move {
            match told.await {
                Ok(()) => tokio::time::sleep(SHUTDOWN_MAX).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = serving => ended.map_err(StoreError::Serve),
            () = patience => Ok(()),
        }
    }
}
