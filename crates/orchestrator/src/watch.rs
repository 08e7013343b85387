//! What running effects tell the driver while they run: how far they are, and what of an upload must be remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use metaferry_domain::effect::Effect;
use metaferry_domain::event::Event;
use metaferry_domain::ports::{DumpObserver, PartReceipt, UploadLog, UploadObserver};
use metaferry_domain::progress::percent_of;
use metaferry_domain::quiesce::Wait;
use metaferry_domain::undo::UploadMemory;
use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::{mpsc, oneshot};

/// Signals that may wait for the driver; progress that does not fit is dropped, the next one makes up for it.
pub(crate) const SIGNALS_MAX: usize = 64;

/// Something for the driver to record.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) event: Event,
    /// Told when the event is durable; `None` where nobody waits.
    pub(crate) recorded: Option<oneshot::Sender<Result<(), PortError>>>,
}

/// Turns what observers see into signals, one per whole percent.
#[derive(Debug)]
pub(crate) struct ProgressSignals {
    signals: mpsc::Sender<Signal>,
}

impl ProgressSignals {
    pub(crate) fn new(signals: mpsc::Sender<Signal>) -> Self {
        Self { signals }
    }

    /// What an effect waits for.
    pub(crate) fn waits(&self, effect: Effect, wait: Wait) {
        let event = Event::Waiting { effect, wait };
        // Where the queue is full, people are told the next time.
        let _ = self.signals.try_send(Signal {
            event,
            recorded: None,
        });
    }

    pub(crate) fn dump_observer(&self) -> Arc<dyn DumpObserver> {
        Arc::new(Percents::new(self.signals.clone(), Effect::CopySnapshot))
    }

    pub(crate) fn upload_observer(&self) -> Arc<dyn UploadObserver> {
        Arc::new(Percents::new(self.signals.clone(), Effect::UploadDump))
    }
}

struct Percents {
    signals: mpsc::Sender<Signal>,
    effect: Effect,
    told: AtomicU8,
}

impl Percents {
    fn new(signals: mpsc::Sender<Signal>, effect: Effect) -> Self {
        Self {
            signals,
            effect,
            told: AtomicU8::new(0),
        }
    }

    fn reached(&self, percent: u8) {
        if self.told.fetch_max(percent, Ordering::Relaxed) < percent {
            let event = Event::Progressed {
                effect: self.effect,
                percent,
            };
            // A full queue loses nothing: the next percent tells more.
            let _ = self.signals.try_send(Signal {
                event,
                recorded: None,
            });
        }
    }
}

impl DumpObserver for Percents {
    fn copied(&self, rows: u64, _: u64, rows_estimate: u64) {
        // An estimate may be too low; the last percent is for the end.
        self.reached(percent_of(rows, rows_estimate).min(99));
    }
}

impl UploadObserver for Percents {
    fn sent(&self, bytes: u64, of: u64) {
        self.reached(percent_of(bytes, of));
    }
}

/// The upload's memory: the journal, written by the driver.
pub(crate) struct JournaledUpload {
    signals: mpsc::Sender<Signal>,
    remembered: Option<UploadMemory>,
}

impl JournaledUpload {
    pub(crate) fn new(signals: mpsc::Sender<Signal>, remembered: Option<UploadMemory>) -> Self {
        Self { signals, remembered }
    }

    async fn record(&self, event: Event) -> Result<(), PortError> {
        let gone = || {
            PortError::new(
                ErrorKind::Cancelled,
                "the migration no longer runs in this process",
            )
        };
        let (recorded, durable) = oneshot::channel();
        let signal = Signal {
            event,
            recorded: Some(recorded),
        };
        self.signals.send(signal).await.map_err(|_| gone())?;
        durable.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl UploadLog for JournaledUpload {
    async fn begun(&self, upload_id: &str, part_size_bytes: u64) -> Result<(), PortError> {
        self.record(Event::UploadBegun {
            upload_id: upload_id.to_owned(),
            part_size_bytes,
        })
        .await
    }

    async fn part(&self, upload_id: &str, receipt: &PartReceipt) -> Result<(), PortError> {
        self.record(Event::PartArrived {
            upload_id: upload_id.to_owned(),
            receipt: receipt.clone(),
        })
        .await
    }

    async fn resume(&self) -> Result<Option<(String, u64, Vec<PartReceipt>)>, PortError> {
        Ok(self.remembered.as_ref().map(|memory| {
            (
                memory.upload_id.clone(),
                memory.part_size_bytes,
                memory.parts.clone(),
            )
        }))
    }
}
