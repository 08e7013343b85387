//! Answers that take long, and that somebody may no longer wait for.

use std::future::Future;
use std::pin::Pin;

use tokio::runtime::Handle;

/// An answer that is waited for. The server goes on with it when nobody does any more, and keeps what it needs from others:
/// dropped, this asks the server to end it.
pub(crate) struct Awaited {
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Awaited {
    /// `end` is what asks the server.
    pub(crate) fn or(end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            end: Some(Box::pin(end)),
        }
    }

    /// It has come.
    pub(crate) fn answered(mut self) {
        self.end = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(end) = self.end.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(end);
        }
    }
}
