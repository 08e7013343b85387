//! What a command says: what it is doing on standard error, its result on standard output, as text or as one JSON object.
#![expect(clippy::print_stderr, reason = "the one place that prints")]

use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use metaferry_domain::ports::DumpObserver;

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A line for people.
    pub(crate) fn say(self, line: &str) {
        eprintln!("{line}");
    }

    /// The result: text for people, or the JSON object.
    pub(crate) fn result(self, text: &str, json: &serde_json::Value) {
        let mut standard_output = std::io::stdout().lock();
        let written = if self.json {
            writeln!(standard_output, "{json}")
        } else {
            writeln!(standard_output, "{text}")
        };
        match written {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("metaferry: the result could not be written: {error}");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// How often progress is told where nobody watches a terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);
const BAR_EVERY: Duration = Duration::from_millis(100);

/// Tells progress: a line that renews itself on a terminal, elsewhere a line every few seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    began: Instant,
    told: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            began: Instant::now(),
            told: Mutex::new(None),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn tell(&self, line: impl FnOnce(f64) -> String) {
        let every = if self.terminal { BAR_EVERY } else { LINE_EVERY };
        let mut told = self.told.lock().expect("nothing panics while it holds this");
        let since = told.unwrap_or(self.began);
        if since.elapsed() < every {
            return;
        }
        *told = Some(Instant::now());
        let line = line(self.began.elapsed().as_secs_f64());
        if self.terminal {
            eprint!("\r\x1b[2K{}: {line}", self.what);
        } else {
            eprintln!("{}: {line}", self.what);
        }
    }

    /// Ends the line that renews itself.
    pub(crate) fn end(&self) {
        if self.terminal && self.told.lock().is_ok_and(|told| told.is_some()) {
            eprintln!();
        }
    }
}

impl DumpObserver for Progress {
    fn copied(&self, rows: u64, bytes: u64, rows_estimate: u64) {
        self.tell(|seconds| {
            #[expect(clippy::cast_precision_loss, reason = "shown to a few digits")]
            let (rows_rate, megabytes_rate) = (rows as f64 / seconds, bytes as f64 / 1e6 / seconds);
            format!("{rows} of about {rows_estimate} rows, {rows_rate:.0} rows/s, {megabytes_rate:.1} MB/s")
        });
    }
}
