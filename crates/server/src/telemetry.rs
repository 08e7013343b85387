//! Logs to standard error: text for people, or JSON with `METAFERRY_LOG_FORMAT=json`; `METAFERRY_LOG` filters.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Begins logging; the first call counts.
pub(crate) fn begin(filter: Option<&str>, format: Option<&str>) {
    let filter = EnvFilter::try_new(filter.unwrap_or("warn,cloud_migration=info"))
        .unwrap_or_else(|_| EnvFilter::new("warn"));
    let coloured =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(coloured)
        .with_writer(std::io::stderr);
    // A second subscriber in one process is a test's business; the first stays.
    let _ = if format == Some("json") {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
}
