//! Asked to end: SIGINT, SIGTERM, or SIGHUP where the terminal is gone.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns when the process is asked to end.
pub(crate) async fn requested() {
    let mut watched = Vec::new();
    let hangup = (!ignores_hangup()).then(SignalKind::hangup);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()]
        .into_iter()
        .chain(hangup)
    {
        match signal(kind) {
            Ok(signal) => watched.push(signal),
            Err(error) => tracing::warn!(%error, ?kind, "a signal cannot be watched"),
        }
    }
    std::future::poll_fn(|context| {
        let mut asked = std::task::Poll::Pending;
        for signal in &mut watched {
            if Signal::poll_recv(signal, context).is_ready() {
                asked = std::task::Poll::Ready(());
            }
        }
        asked
    })
    .await;
}

/// Was it started to outlive its terminal, as by `nohup`? Where that cannot be seen it is taken for so.
fn ignores_hangup() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    ignored.is_none_or(|mask| mask & 1 == 1)
}
