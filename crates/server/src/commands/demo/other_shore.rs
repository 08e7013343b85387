//! The embedded other shore: a store over a folder that restores what it verified, and tells how that went.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_app_db::h2::H2Source;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_orchestrator::in_process::SystemClock;
use metaferry_store::{DumpFacts, DumpInspector, Restorer, Store, StoreConfig, StoreDeps, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::copy_all;
use crate::exit::{CommandError, Ending};
use crate::h2_dump::H2Inspector;

/// Verdicts on their way: one dump arrives.
const VERDICTS_MAX: usize = 4;
/// How long a store may take over a dump of the demo's size before it is given up.
const RESTORED_MAX: Duration = Duration::from_secs(600);

/// What became of a dump that arrived: what the store found in it, or why it was not restored.
type Verdict = Result<DumpFacts, String>;

/// A store that serves until it is closed or dropped.
#[derive(Debug)]
pub(super) struct EmbeddedStore {
    url: String,
    verdicts: mpsc::Receiver<Verdict>,
    close: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StoreError>>,
}

impl EmbeddedStore {
    /// Opens it over `data`, on a free port of this machine; what arrives is restored into the H2 file `into`.
    pub(super) async fn open(data: &Path, into: &Path) -> Result<Self, PortError> {
        let (tell, verdicts) = mpsc::channel(VERDICTS_MAX);
        let deps = StoreDeps {
            clock: Arc::new(SystemClock),
            inspector: Arc::new(TellingInspector { tell: tell.clone() }),
            restorer: Some(Arc::new(H2Restorer {
                into: into.to_path_buf(),
                tell,
            })),
        };
        let unavailable = |what: &'static str| PortError::new(ErrorKind::Unavailable, what);
        let store = Store::open(StoreConfig::new(data), deps)
            .map_err(|error| unavailable("open the embedded store").because(error))?;
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|error| unavailable("listen on a free port of 127.0.0.1").because(error))?;
        let address = listener
            .local_addr()
            .map_err(|error| unavailable("read the address listened on").because(error))?;
        let (close, closed) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            // Dropping the sender closes as well.
            let shutdown = async { closed.await.unwrap_or(()) };
            store.serve(listener, shutdown).await
        });
        Ok(Self {
            url: format!("http://{address}"),
            verdicts,
            close,
            serving,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the dump is restored; answers what the store found in it.
    pub(super) async fn restored(&mut self) -> Result<DumpFacts, CommandError> {
        match tokio::time::timeout(RESTORED_MAX, self.verdicts.recv()).await {
            Ok(Some(Ok(facts))) => Ok(facts),
            Ok(Some(Err(why))) => Err(CommandError::new(
                Ending::Different,
                format!("the store took no dump: {why}"),
            )),
            Ok(None) => Err(CommandError::new(
                Ending::Failed,
                "the store ended before it had restored the dump",
            )),
            Err(_) => {
                let why = format!(
                    "the store did not restore the dump within {} seconds",
                    RESTORED_MAX.as_secs()
                );
                Err(CommandError::new(Ending::Failed, why))
            }
        }
    }

    /// Ends it, letting running requests end.
    pub(super) async fn close(self) -> Result<(), PortError> {
        // A store that has ended by itself no longer listens; its result says why.
        let _ = self.close.send(());
        match self.serving.await {
            Ok(served) => served.map_err(|error| {
                PortError::new(ErrorKind::Unavailable, "serve the embedded store").because(error)
            }),
            Err(error) => {
                Err(PortError::new(ErrorKind::Unavailable, "the embedded store broke off").because(error))
            }
        }
    }
}

/// Looks as every store does, and tells at once when a dump will not be taken.
#[derive(Debug)]
struct TellingInspector {
    tell: mpsc::Sender<Verdict>,
}

#[async_trait]
impl DumpInspector for TellingInspector {
    async fn inspect(&self, file: &Path) -> Result<DumpFacts, PortError> {
        let looked = H2Inspector.inspect(file).await;
        let against = match &looked {
            Ok(facts) => facts.reason_against(),
            Err(error) => Some(error.chain()),
        };
        if let Some(why) = against {
            tell(&self.tell, Err(why));
        }
        looked
    }
}

/// Copies what arrived, row by row, into a fresh H2 file.
#[derive(Debug)]
struct H2Restorer {
    into: PathBuf,
    tell: mpsc::Sender<Verdict>,
}

#[async_trait]
impl Restorer for H2Restorer {
    async fn restore(&self, _: &str, file: &Path, facts: &DumpFacts) -> Result<String, PortError> {
        let restored = restore(file, &self.into).await;
        tell(
            &self.tell,
            restored
                .as_ref()
                .map(|()| facts.clone())
                .map_err(PortError::chain),
        );
        restored.map(|()| format!("the H2 file {}", self.into.display()))
    }
}

/// A second restore replaces what the first one left.
pub(super) async fn restore(file: &Path, into: &Path) -> Result<(), PortError> {
    match std::fs::remove_file(into) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let what = format!("replace {}", into.display());
            return Err(PortError::new(ErrorKind::Denied, what).because(error));
        }
        Ok(()) | Err(_) => {}
    }
    copy_all(&H2Source::new(file), into, &Cancellation::new())
        .await
        .map(drop)
}

fn tell(to: &mpsc::Sender<Verdict>, verdict: Verdict) {
    if to.try_send(verdict).is_err() {
        tracing::debug!("nobody waits for the store's verdict any more");
    }
}
