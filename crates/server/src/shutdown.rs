//! Asked to end: SIGINT or SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// Returns when the process is asked to end.
pub(crate) async fn requested() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => {
            if let Err(error) = interrupted {
                tracing::warn!(%error, "SIGINT cannot be watched");
                std::future::pending::<()>().await;
            }
        }
        _ = terminate.recv() => {}
    }
}
