//! What one command costs: wall time, its own CPU and peak memory (by GNU time), and the server's CPU beside it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::servers::TempPostgres;

/// The cost of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    /// User and system time of the command and the children it waited for.
    pub(crate) cpu_seconds: f64,
    /// The same of Postgres meanwhile.
    pub(crate) server_cpu_seconds: f64,
    /// The largest resident set that one of its processes had.
    pub(crate) peak_mib: f64,
    /// Size of what it wrote.
    pub(crate) file_mib: Option<f64>,
}

/// How often Linux counts in `/proc/PID/stat`; it has been 100 on every architecture that runs Postgres.
const TICKS_PER_SECOND: f64 = 100.0;
/// A backend ends soon after its client; the postmaster counts its CPU only then.
const BACKENDS_END_SECONDS_MAX: u64 = 10;

/// Runs `command` to its end. Its error output goes to the terminal; a failure is its exit code.
pub(super) fn run(command: Command, file: Option<&Path>, postgres: &TempPostgres) -> Result<Cost, Failure> {
    let report = postgres.folder().join("bench/time");
    let postmaster = postgres.pid()?;
    let before = server_cpu_seconds(postmaster)?;
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["-q", "-f", "%e %U %S %M", "-o"])
        .arg(&report)
        .arg(command.get_program())
        .args(command.get_args());
    let status = timed.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(Failure::while_doing("run GNU time"))?;
    if !status.success() {
        return Err(Failure::Child(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ));
    }
    let text = std::fs::read_to_string(&report).map_err(Failure::while_doing("read what GNU time wrote"))?;
    let mut cost = parse(&text).ok_or_else(|| Failure::Failed(format!("GNU time wrote {text:?}")))?;
    wait_until_backends_ended(postmaster);
    cost.server_cpu_seconds = server_cpu_seconds(postmaster)? - before;
    if let Some(file) = file {
        let length = std::fs::metadata(file)
            .map_err(Failure::while_doing(format!("look at {}", file.display())))?
            .len();
        #[expect(clippy::cast_precision_loss, reason = "a size to print, not to add up")]
        let mib = length as f64 / (1024.0 * 1024.0);
        cost.file_mib = Some(mib);
        // Room for the next one.
        let _ = std::fs::remove_file(file);
    }
    Ok(cost)
}

/// `wall user system peak-KiB`.
fn parse(text: &str) -> Option<Cost> {
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [wall, user, system, peak_kib] = numbers[..] else {
        return None;
    };
    Some(Cost {
        wall_seconds: wall,
        cpu_seconds: user + system,
        server_cpu_seconds: 0.0,
        peak_mib: peak_kib / 1024.0,
        file_mib: None,
    })
}

/// The postmaster's own time and that of all children that have ended.
fn server_cpu_seconds(postmaster: u32) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{postmaster}/stat"));
    let stat = stat.map_err(Failure::while_doing("read the postmaster's CPU time"))?;
    cpu_ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .ok_or_else(|| Failure::Failed("/proc/PID/stat is not as proc(5) describes it".to_owned()))
}

/// Sum of utime, stime, cutime and cstime: fields 14 to 17, counted after the name, which may hold spaces.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let times: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .map_while(|word| word.parse().ok())
        .collect();
    (times.len() == 4).then(|| times.iter().sum())
}

/// Waits until only Postgres's own helpers are left; they name no client address in their title.
fn wait_until_backends_ended(postmaster: u32) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(BACKENDS_END_SECONDS_MAX) {
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let backends = children.unwrap_or_default().split_whitespace().any(|child| {
            let title = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            // An empty title is a backend that has ended and is not yet counted.
            title.is_empty() || String::from_utf8_lossy(&title).contains("127.0.0.1(")
        });
        if !backends {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gnu_time_writes_is_understood() {
        let cost = parse("1.50 0.25 0.50 204800\n").unwrap();
        assert_eq!(
            (cost.wall_seconds, cost.cpu_seconds, cost.peak_mib),
            (1.5, 0.75, 200.0)
        );
        assert_eq!(
            parse("Command exited with non-zero status 1\n1.50 0.25 0.50 204800\n"),
            None
        );
    }

    #[test]
    fn cpu_ticks_are_fields_14_to_17_whatever_the_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 5 6 7 8 10 20 300 4000 20 0 1 0 99";
        assert_eq!(cpu_ticks(stat), Some(4330.0));
        assert_eq!(cpu_ticks("42 (x) S 1"), None);
    }
}
