//! When everything is quiet: which nodes live, whether their jobs have ended, and how long a change of a setting
//! takes until every node has seen it.
//!
//! A node lives if its check-in advances; rows of nodes that are gone stay in the table and prove nothing.

use std::collections::{BTreeMap, BTreeSet};

/// A node's check-in, as it was seen at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckIn {
    /// The node's name.
    pub node: String,
    /// Its last check-in, in milliseconds by its own clock. Only compared with itself.
    pub last_ms: i64,
    /// How often it checks in, in milliseconds.
    pub interval_ms: u64,
}

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Its check-in advanced, or it appeared.
    Live,
    /// It did not check in although it should have, or its row is gone.
    Dead,
    /// It was not watched for long enough.
    Unknown,
}

/// How many missed check-ins make a node dead.
const MISSED_CHECK_INS: u64 = 2;

/// What two looks, `elapsed_ms` apart by our own monotonic clock, say of every node that either saw.
#[must_use]
pub fn liveness(first: &[CheckIn], second: &[CheckIn], elapsed_ms: u64) -> BTreeMap<String, Liveness> {
    let before: BTreeMap<_, _> = first.iter().map(|seen| (seen.node.as_str(), seen)).collect();
    let mut known: BTreeMap<String, Liveness> = first
        .iter()
        .map(|seen| (seen.node.clone(), Liveness::Dead))
        .collect();
    for seen in second {
        let found = match before.get(seen.node.as_str()) {
            None => Liveness::Live,
            // A clock set back is an advance too: somebody wrote.
            Some(earlier) if earlier.last_ms != seen.last_ms => Liveness::Live,
            Some(_) if elapsed_ms >= seen.interval_ms.saturating_mul(MISSED_CHECK_INS) => Liveness::Dead,
            Some(_) => Liveness::Unknown,
        };
        known.insert(seen.node.clone(), found);
    }
    known
}

/// How long two looks must be apart, in milliseconds, until no node of the first is [`Liveness::Unknown`].
#[must_use]
pub fn watch_ms(first: &[CheckIn]) -> u64 {
    first
        .iter()
        .map(|seen| seen.interval_ms.saturating_mul(MISSED_CHECK_INS))
        .max()
        .unwrap_or(0)
}

/// Jobs that a node says it is executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningJobs {
    /// The node.
    pub node: String,
    /// How many.
    pub jobs: u64,
}

/// Whether everything is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quiet {
    /// No live node executes a job.
    Quiet,
    /// These still do, or may.
    WaitFor {
        /// Nodes, sorted.
        nodes: Vec<String>,
        /// Their jobs.
        jobs: u64,
    },
}

/// Is everything quiet? Jobs of dead nodes ended with them; nodes that nothing is known of may live.
#[must_use]
pub fn quiet(nodes: &BTreeMap<String, Liveness>, running: &[RunningJobs]) -> Quiet {
    let mut waiting = BTreeSet::new();
    let mut jobs: u64 = 0;
    for executing in running.iter().filter(|executing| executing.jobs > 0) {
        match nodes.get(&executing.node).copied().unwrap_or(Liveness::Unknown) {
            Liveness::Live | Liveness::Unknown => {
                waiting.insert(executing.node.clone());
                jobs = jobs.saturating_add(executing.jobs);
            }
            Liveness::Dead => {}
        }
    }
    if waiting.is_empty() {
        Quiet::Quiet
    } else {
        Quiet::WaitFor {
            nodes: waiting.into_iter().collect(),
            jobs,
        }
    }
}

/// How many nodes there are, as far as anybody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeEvidence {
    /// What the operator says, and whether that one node itself was told to switch.
    pub declared: Declared,
    /// Nodes that live by their check-ins; `None` if nobody could look.
    pub live_nodes: Option<u32>,
    /// Hosts that the database's own list of connections shows for the application; `None` if nobody could look.
    pub client_hosts: Option<u32>,
}

/// What the operator says about the number of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Nothing, or more than one.
    Unknown,
    /// One, and it was told through its own API.
    OneThroughItsApi,
    /// One, and the setting was written behind its back.
    OneBehindItsBack,
}

/// How long it takes at most until every node has seen a changed setting: its cache lives 60 s, and half as much is
/// added for slow ones. In milliseconds.
pub const PROPAGATION_MS: u64 = 90_000;

/// How long to wait after read-only was switched on, in milliseconds. Nothing only where one node was told itself, or
/// where check-ins *and* connections both show a single host: neither alone proves it.
#[must_use]
pub fn propagation_ms(evidence: NodeEvidence) -> u64 {
    let told_itself = evidence.declared == Declared::OneThroughItsApi;
    let contradicted = evidence.live_nodes.is_some_and(|nodes| nodes > 1);
    let single = evidence.live_nodes == Some(1) && evidence.client_hosts == Some(1);
    if (told_itself && !contradicted) || single {
        0
    } else {
        PROPAGATION_MS
    }
}

#[cfg(test)]
mod tests;
