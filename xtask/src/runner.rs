//! Runs a child with its output passed through, and remembers the lines with which test runners close, and those by which
//! a test says that it was skipped. Of what a passed test says nothing else is shown.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

/// How a child ended, and what it said last.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// `SKIPPED: …` of tests, then `Summary […]` of nextest and `test result: …` of cargo test, in the order they came.
    pub(crate) closing_lines: Vec<String>,
}

impl Ended {
    /// The child's own code; a child that was killed counts as failed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.status.code() {
            Some(0) => Ok(()),
            Some(code) => Err(Failure::Child(u8::try_from(code).unwrap_or(1))),
            None => Err(Failure::Child(1)),
        }
    }
}

/// Runs `command` to its end; `started` learns the child as soon as it runs.
pub(crate) fn run(command: &mut Command, started: impl FnOnce(&Child)) -> Result<Ended, Failure> {
    run_into(command, started, std::io::stdout(), std::io::stderr())
}

fn run_into(
    command: &mut Command,
    started: impl FnOnce(&Child),
    out: impl Write + Send + 'static,
    err: impl Write + Send + 'static,
) -> Result<Ended, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::while_doing(format!("start {name}")))?;
    started(&child);
    let closing_lines = Arc::new(Mutex::new(Vec::new()));
    let pumps = [
        child.stdout.take().map(|pipe| pump(pipe, out, &closing_lines)),
        child.stderr.take().map(|pipe| pump(pipe, err, &closing_lines)),
    ];
    let status = child
        .wait()
        .map_err(Failure::while_doing(format!("wait for {name}")))?;
    for pump in pumps.into_iter().flatten() {
        // A pump ends with its pipe and has nothing to return; a panic in it loses output only.
        let _ = pump.join();
    }
    let closing_lines = std::mem::take(&mut *closing_lines.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Ended {
        status,
        closing_lines,
    })
}

/// `--color=…` for a child whose pipe hides the terminal from it.
pub(crate) fn color() -> &'static str {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        "always"
    } else {
        "never"
    }
}

fn pump(
    pipe: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    closing_lines: &Arc<Mutex<Vec<String>>>,
) -> std::thread::JoinHandle<()> {
    let closing_lines = Arc::clone(closing_lines);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        let mut about = About::Run;
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = without_escapes(&String::from_utf8_lossy(&line));
            about = about.after(&text);
            let is_told = about == About::Run || is_verdict(&text) || is_of_note(&text);
            if is_told {
                // A reader who went away (`| head`) must not end the run.
                let _ = to.write_all(&line).and_then(|()| to.flush());
            }
            if is_closing_line(&text) || is_of_note(&text) {
                closing_lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(text.trim_end().to_owned());
            }
            line.clear();
        }
    })
}

/// What a line of nextest's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The run, or a test that failed.
    Run,
    /// What a passed test has said.
    PassedTest,
}

impl About {
    /// A test's own words follow its verdict, indented.
    fn after(self, text: &str) -> Self {
        if text.trim_start().starts_with("PASS [") {
            Self::PassedTest
        } else if is_verdict(text) || !(text.starts_with(' ') || text.trim().is_empty()) {
            Self::Run
        } else {
            self
        }
    }
}

/// `PASS [ 0.1s] …`, `FAIL […] …` and the other lines by which nextest tells of a test or of all.
fn is_verdict(text: &str) -> bool {
    let text = text.trim_start();
    [
        "PASS [",
        "FAIL [",
        "SLOW [",
        "LEAK [",
        "TIMEOUT [",
        "SIGNAL",
        "ABORT",
        "Summary [",
    ]
    .iter()
    .any(|verdict| text.starts_with(verdict))
}

/// A test that did not try what it is for, or found a promise kept late.
fn is_of_note(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("SKIPPED: ") || text.starts_with("LATE: ")
}

/// cargo's line stands at the margin; nextest shows that of a failed test indented, which is not the run's.
fn is_closing_line(text: &str) -> bool {
    text.trim_start().starts_with("Summary [") || text.starts_with("test result: ")
}

/// `text` without terminal colours (`ESC [ … letter`).
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::io::sink;

    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_kept_and_nothing_else() {
        let script = "echo one; printf '\\033[1m     Summary\\033[0m [ 1.0s] 2 tests run\\n' >&2; echo 'test result: ok. 3 passed'; echo '    test result: no'; exit 7";
        let ended = run_into(Command::new("sh").args(["-c", script]), |_| (), sink(), sink()).unwrap();
        let mut lines = ended.closing_lines.clone();
        lines.sort();
        assert_eq!(
            lines,
            ["     Summary [ 1.0s] 2 tests run", "test result: ok. 3 passed"]
        );
        assert!(matches!(ended.check(), Err(Failure::Child(7))));
    }

    #[test]
    fn of_a_passed_test_only_what_it_skipped_is_kept_and_of_a_failed_one_everything() {
        let script = "cat <<'END' >&2
        PASS [ 0.1s] one
  stderr ───

    noise of one
    SKIPPED: there is no server
        FAIL [ 0.1s] two
  stderr ───

    why two failed
     Summary [ 1.0s] 2 tests run
END";
        let told = Told::default();
        let ended = run_into(
            Command::new("sh").args(["-c", script]),
            |_| (),
            sink(),
            told.clone(),
        )
        .unwrap();
        let told = told.text();
        assert!(!told.contains("noise of one"), "{told}");
        for line in [
            "PASS [ 0.1s] one",
            "SKIPPED: there is no server",
            "FAIL [ 0.1s] two",
            "why two failed",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert_eq!(
            ended.closing_lines,
            [
                "    SKIPPED: there is no server",
                "     Summary [ 1.0s] 2 tests run"
            ]
        );
    }

    /// What was passed through.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Told {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_killed_child_counts_as_failed() {
        let ended = run_into(
            Command::new("sh").args(["-c", "kill -9 $$"]),
            |_| (),
            sink(),
            sink(),
        )
        .unwrap();
        assert!(matches!(ended.check(), Err(Failure::Child(1))));
    }
}
