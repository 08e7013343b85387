//! Sends what is written to the disk while more is being made, so that little is left to wait for at the end.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// So much is written between two requests.
const SYNC_BYTES: u64 = 32 << 20;

/// A thread that syncs a file when it is told that there is enough.
#[derive(Debug)]
pub(crate) struct Writeback {
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    unsynced_bytes: u64,
}

impl Writeback {
    /// Syncs through `file`, another handle on the file that is written.
    pub(crate) fn new(file: File) -> Self {
        let (requests, received) = sync_channel(1);
        let work = move || {
            for () in received {
                file.sync_data()?;
            }
            Ok(())
        };
        // Without a thread the last sync does all the work.
        let thread = std::thread::Builder::new()
            .name("h2-writeback".to_owned())
            .spawn(work)
            .ok();
        Self {
            requests: thread.is_some().then_some(requests),
            thread,
            unsynced_bytes: 0,
        }
    }

    /// Notes that bytes were written; never waits.
    pub(crate) fn written(&mut self, bytes: u64) {
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes < SYNC_BYTES {
            return;
        }
        self.unsynced_bytes = 0;
        if let Some(requests) = &self.requests {
            match requests.try_send(()) {
                // One more is waiting already, and will sync these bytes too.
                Ok(()) | Err(TrySendError::Full(())) => {}
                // The thread met an error, which the end reports.
                Err(TrySendError::Disconnected(())) => self.requests = None,
            }
        }
    }

    /// Ends the thread and says whether any sync failed: the system reports a failure only once.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.requests = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the syncing thread panicked")),
        }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        // Errors no longer matter to a file that was given up.
        let _ = self.finish();
    }
}
