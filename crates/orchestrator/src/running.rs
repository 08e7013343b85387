//! The migration that this process steers: its driver as a task of its own, and the channels to it.

use std::sync::Arc;

use metaferry_domain::event::Canceller;
use metaferry_domain::journal::JournalEntry;
use metaferry_domain::state::MigrationState;
use tokio::sync::watch as channel;

use crate::Orchestrator;
use crate::run::{Driver, Ended, View};

/// The migration that this process steers, or steered last.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) cancel: Arc<channel::Sender<Option<Canceller>>>,
    pub(crate) view: channel::Receiver<View>,
    ended: channel::Receiver<Option<Ended>>,
}

impl Running {
    pub(crate) fn is_over(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Waits for the end. A driver that panicked leaves its lease to run out: whoever recovers goes on.
    pub(crate) async fn end(mut self) -> Ended {
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => None,
        }
        .unwrap_or(Ended::LeaseLost)
    }
}

/// A driver that was not begun, with what it shows and how it is cancelled.
pub(crate) struct Ready {
    pub(crate) driver: Driver,
    view: channel::Receiver<View>,
    cancel: channel::Sender<Option<Canceller>>,
}

impl Orchestrator {
    pub(crate) fn driver(&self, state: MigrationState, entries: Vec<JournalEntry>) -> Ready {
        let (shown, view) = channel::channel(View {
            state: state.clone(),
            row: None,
        });
        let (cancel, requests) = channel::channel(None);
        let driver = Driver::new(
            self.ports.clone(),
            Arc::clone(&self.settings),
            state,
            entries,
            shown,
            requests,
        )
        .with_faults(self.faults.clone());
        Ready { driver, view, cancel }
    }
}

/// Begins it, in the place of whatever this process steered before.
pub(crate) fn spawn(slot: &mut Option<Running>, ready: Ready) -> Running {
    let (told, ended) = channel::channel(None);
    tokio::spawn(async move {
        let how = ready.driver.run().await;
        told.send_replace(Some(how));
    });
    let running = Running {
        cancel: Arc::new(ready.cancel),
        view: ready.view,
        ended,
    };
    *slot = Some(running.clone());
    running
}
