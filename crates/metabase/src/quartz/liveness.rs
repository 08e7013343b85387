//! Which nodes of the scheduler are alive. Rows of dead nodes stay for good when nobody is left to remove them, and
//! the times in them are by each node's own clock: so a node is judged by whether its check-in advances between looks,
//! never by comparing its time with ours. Nodes whose scheduler is disabled never check in and are not seen here.

use super::{CHECKIN_INTERVAL_MS, FiredRow, FiredState};
use metaferry_domain::quiesce::{CheckIn, RunningJobs};
use std::collections::BTreeMap;

/// Silence beyond the check-in interval after which Quartz itself takes a node for failed, in milliseconds.
const GRACE_MS: i64 = 7_500;

/// `QRTZ_SCHEDULER_STATE` at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When we looked, in milliseconds by a clock of ours that never goes back.
    pub at_ms: i64,
    /// The rows: `INSTANCE_NAME`, `LAST_CHECKIN_TIME` and `CHECKIN_INTERVAL`.
    pub check_ins: Vec<CheckIn>,
}

/// What the looks say about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It checked in, or appeared, between two looks, and has not been silent for too long since.
    Live,
    /// It was silent for longer than any live node is.
    Silent,
    /// Not watched for long enough. Treat it as live, and look again.
    Undecided,
    /// It was there, and is no longer.
    Gone,
}

/// Judges every node that any look saw. Give the looks in order of time; two that lie
/// [`longest_silence_ms`] apart decide everything.
#[must_use]
pub fn judge_nodes(observations: &[Observation]) -> BTreeMap<String, Liveness> {
    let mut watched: BTreeMap<&str, Watched> = BTreeMap::new();
    for (look, observation) in observations.iter().enumerate() {
        for check_in in &observation.check_ins {
            let node = watched.entry(&check_in.node).or_insert(Watched {
                last_ms: check_in.last_ms,
                same_since_ms: observation.at_ms,
                has_advanced: look > 0,
                seen_in_look: look,
                silence_ms: 0,
            });
            // Any change counts, also backwards: a node's clock may be set while it runs.
            if node.last_ms != check_in.last_ms {
                node.last_ms = check_in.last_ms;
                node.same_since_ms = observation.at_ms;
                node.has_advanced = true;
            }
            node.seen_in_look = look;
            node.silence_ms = silence_ms(check_in.interval_ms);
        }
    }
    let Some(last) = observations.last() else {
        return BTreeMap::new();
    };
    watched
        .into_iter()
        .map(|(instance, node)| {
            let liveness = if node.seen_in_look + 1 < observations.len() {
                Liveness::Gone
            } else if last.at_ms.saturating_sub(node.same_since_ms) > node.silence_ms {
                Liveness::Silent
            } else if node.has_advanced {
                Liveness::Live
            } else {
                Liveness::Undecided
            };
            (instance.to_owned(), liveness)
        })
        .collect()
}

struct Watched {
    last_ms: i64,
    same_since_ms: i64,
    has_advanced: bool,
    seen_in_look: usize,
    silence_ms: i64,
}

/// How long to watch, in milliseconds, so that no node stays undecided.
#[must_use]
pub fn longest_silence_ms(observation: &Observation) -> i64 {
    observation
        .check_ins
        .iter()
        .map(|check_in| silence_ms(check_in.interval_ms))
        .max()
        .unwrap_or_else(|| silence_ms(CHECKIN_INTERVAL_MS.unsigned_abs()))
        .saturating_add(1)
}

fn silence_ms(interval_ms: u64) -> i64 {
    let interval_ms = i64::try_from(interval_ms).unwrap_or(i64::MAX);
    interval_ms.max(CHECKIN_INTERVAL_MS).saturating_add(GRACE_MS)
}

/// Jobs that run on nodes that may be alive, by node. Runs of silent and gone nodes, and of nodes that no look saw, do not
/// count: their rows stay until somebody recovers them.
#[must_use]
pub fn running_jobs(fired: &[FiredRow], nodes: &BTreeMap<String, Liveness>) -> Vec<RunningJobs> {
    let mut running: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in fired {
        let counts = match nodes.get(&row.instance) {
            Some(Liveness::Live | Liveness::Undecided) => row.state == FiredState::Executing,
            Some(Liveness::Silent | Liveness::Gone) | None => false,
        };
        if counts {
            let job = row.job.as_ref().map_or("a job without a name", |job| &job.name);
            running.entry(&row.instance).or_default().push(job.to_owned());
        }
    }
    let named = |(node, mut jobs): (&str, Vec<String>)| {
        jobs.sort_unstable();
        RunningJobs {
            node: node.to_owned(),
            jobs,
        }
    };
    running.into_iter().map(named).collect()
}
