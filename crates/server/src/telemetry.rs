//! Logs to standard error: text for people, or JSON with `METAFERRY_LOG_FORMAT=json`; `METAFERRY_LOG` filters.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Begins logging; the first call counts.
pub(crate) fn begin(filter: Option<&str>, format: LogFormat) {
    let filter = EnvFilter::try_new(filter.unwrap_or("warn,cloud_migration=info"))
        .unwrap_or_else(|_| EnvFilter::new("warn"));
    let coloured =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(coloured)
        .with_writer(std::io::stderr);
    // A second subscriber in one process is a test's business; the first stays.
    let _ = match format {
        LogFormat::Json => subscriber.json().try_init(),
        LogFormat::Text => subscriber.try_init(),
    };
}
