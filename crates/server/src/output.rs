//! What a command says: what it is doing on standard error, its result on standard output, as text or as one JSON object.
#![expect(clippy::print_stderr, reason = "the one place that prints")]

use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metaferry_domain::ports::DumpObserver;

use crate::exit::Ending;

/// Whether a result could not be written: then the command has failed, whatever it did.
static RESULT_IS_LOST: AtomicBool = AtomicBool::new(false);

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
                RESULT_IS_LOST.store(true, Ordering::Relaxed);
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// How a command ends that came to `ending`: one whose result nobody can read has failed.
    pub(crate) fn ending(self, ending: Ending) -> Ending {
        match ending {
            Ending::Done if RESULT_IS_LOST.load(Ordering::Relaxed) => Ending::Failed,
            Ending::Done
            | Ending::Failed
            | Ending::Usage
            | Ending::Refused
            | Ending::Different
            | Ending::Cancelled => ending,
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
    begun: AtomicBool,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            began: Instant::now(),
            told: Mutex::new(None),
            begun: AtomicBool::new(false),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Is everything past that is refused before anything is touched?
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// A phase that is so far, of 100, and what it waits for.
    pub(crate) fn phase(&self, phase: &str, percent: u8, waiting: Option<&str>) {
        self.tell(|seconds| {
            let bar = bar(f64::from(percent) / 100.0);
            let waiting = waiting.map(|waiting| format!(", {waiting}")).unwrap_or_default();
            format!(
                "{bar} {percent:3} % {phase}, {} since it began{waiting}",
                duration(seconds)
            )
        });
    }

    /// Would a line be shown now?
    pub(crate) fn is_due(&self) -> bool {
        let told = self.told.lock().expect("nothing panics while it holds this");
        told.unwrap_or(self.began).elapsed() >= self.every()
    }

    fn every(&self) -> Duration {
        if self.terminal { BAR_EVERY } else { LINE_EVERY }
    }

    fn tell(&self, line: impl FnOnce(f64) -> String) {
        let mut told = self.told.lock().expect("nothing panics while it holds this");
        let since = told.unwrap_or(self.began);
        if since.elapsed() < self.every() {
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
    fn begins(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    fn copied(&self, rows: u64, bytes: u64, rows_estimate: u64) {
        self.tell(|seconds| copied(seconds, rows, bytes, rows_estimate));
    }
}

/// Bar, rows, rates and the time left, as far as the estimate is right.
fn copied(seconds: f64, rows: u64, bytes: u64, rows_estimate: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown to a few digits")]
    let (rows_done, of, megabytes) = (rows as f64, rows_estimate.max(rows) as f64, bytes as f64 / 1e6);
    let part = if of > 0.0 { rows_done / of } else { 1.0 };
    let left = if rows_done > 0.0 {
        format!("{} left", duration(seconds * (of - rows_done) / rows_done))
    } else {
        "time left unknown".to_owned()
    };
    format!(
        "{} {:3.0} % {rows} of about {rows_estimate} rows, {:.0} rows/s, {:.1} MB/s, {left}",
        bar(part),
        100.0 * part,
        rows_done / seconds,
        megabytes / seconds,
    )
}

/// How wide a bar is, in letters.
const BAR_LETTERS: u8 = 20;

fn bar(part: f64) -> String {
    let full = f64::from(BAR_LETTERS) * part.clamp(0.0, 1.0);
    let letters = (1..=BAR_LETTERS).map(|letter| if f64::from(letter) <= full { '#' } else { '.' });
    format!("[{}]", letters.collect::<String>())
}

/// Rounded up, in minutes where there are some.
fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.ceil()).map_or(0, |duration| duration.as_secs());
    match whole / 60 {
        0 => format!("{whole} s"),
        minutes => format!("{minutes} min {} s", whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{bar, copied, duration};

    #[test]
    fn progress_tells_rates_and_the_time_left() {
        assert_eq!(
            copied(10.0, 50_000, 20_000_000, 200_000),
            "[#####...............]  25 % 50000 of about 200000 rows, 5000 rows/s, 2.0 MB/s, 30 s left"
        );
        // An estimate that was too low.
        assert!(copied(1.0, 11, 1, 10).ends_with("0 s left"));
        assert!(copied(1.0, 0, 0, 10).ends_with("time left unknown"));
        assert_eq!(bar(2.0), format!("[{}]", "#".repeat(20)));
        assert_eq!(duration(61.2), "1 min 2 s");
    }
}
