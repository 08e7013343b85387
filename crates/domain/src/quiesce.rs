//! When everything is quiet: which nodes live, whether their jobs have ended, and how long a change of a setting
//! takes until every node has seen it.
//!
//! A node lives if its check-in advances; rows of nodes that are gone stay in the table and prove nothing.

use std::collections::BTreeMap;

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

/// Jobs that run on a node that lives, or may.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RunningJobs {
    /// The node.
    pub node: String,
    /// Their names; one that runs twice is named twice.
    pub jobs: Vec<String>,
}

/// So many names of jobs are told of one node.
const JOBS_NAMED_MAX: usize = 5;

/// How many, where, and which, for people: `2 jobs (a, b) on n1`.
#[must_use]
pub fn jobs_in_words(running: &[RunningJobs]) -> String {
    let told = running.iter().map(|executing| {
        let count = executing.jobs.len();
        let mut names = executing
            .jobs
            .iter()
            .take(JOBS_NAMED_MAX)
            .cloned()
            .collect::<Vec<_>>();
        if count > names.len() {
            names.push(format!("{} more", count - names.len()));
        }
        let jobs = if count == 1 { "job" } else { "jobs" };
        format!("{count} {jobs} ({}) on {}", names.join(", "), executing.node)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// What a running effect waits for, and for how long at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Wait {
    /// What for.
    pub what: WaitFor,
    /// Milliseconds that are left at most from when this is written down.
    pub left_ms: u64,
    /// What a person should know besides.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Until every node must have seen that read-only is on.
    Nodes {
        /// Those that check in; there may be others.
        nodes: Vec<String>,
    },
    /// Until nodes that can be asked say so themselves.
    Confirmation {
        /// By their addresses.
        nodes: Vec<String>,
    },
    /// Transactions that began to write before tables were guarded.
    Writers {
        /// How many.
        transactions: u64,
    },
    /// Jobs that ran already when the scheduler was paused.
    Jobs {
        /// Where.
        running: Vec<RunningJobs>,
    },
}

impl WaitFor {
    /// For people: `waiting until every node has seen read-only: 75 s left`.
    #[must_use]
    pub fn in_words(&self, seconds_left: u64) -> String {
        match self {
            Self::Nodes { .. } => {
                format!("waiting until every node has seen read-only: {seconds_left} s left")
            }
            Self::Confirmation { nodes } => format!(
                "waiting until {} says that read-only is on: {seconds_left} s left at most",
                nodes.join(", ")
            ),
            Self::Writers { transactions } => format!(
                "waiting for {transactions} transactions that began to write before read-only: {seconds_left} s left at most"
            ),
            Self::Jobs { running } => format!(
                "waiting for running jobs: {}; {seconds_left} s left at most",
                jobs_in_words(running)
            ),
        }
    }
}

/// What of a change of Metabase's settings the node hears that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was asked itself, through its API, and goes by the change at once.
    ThroughItsApi,
    /// Nothing: the setting was written in the database, and is seen when a cache is renewed.
    BehindItsBack,
}

/// What shows how many nodes there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEvidence {
    /// How the setting was changed.
    pub told: Told,
    /// Nodes that checked in lately, by their own clocks: those that are gone since stay among them. `None` if nobody could look.
    pub check_ins: Option<Vec<CheckIn>>,
    /// Hosts in the database's own list of connections, ours left out; `None` if nobody could look.
    pub client_hosts: Option<Vec<String>>,
}

impl NodeEvidence {
    /// Where nobody keeps a copy of the setting.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            told: Told::BehindItsBack,
            check_ins: Some(Vec::new()),
            client_hosts: Some(Vec::new()),
        }
    }

    /// Names of the nodes that checked in lately.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let check_ins = self.check_ins.iter().flatten();
        check_ins.map(|seen| seen.node.clone()).collect()
    }
}

/// How long it takes at most until every node has seen a changed setting: its cache lives 60 s, and half as much is
/// added for slow ones. In milliseconds.
pub const PROPAGATION_MS: u64 = 90_000;

/// Whether nodes have to be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Propagation {
    /// Nobody is connected and nobody checks in: nobody has anything cached.
    NobodyIsThere,
    /// The one node that there is was told itself.
    TheOneWasTold,
    /// More nodes check in than were declared, unless some of these rows are of nodes that are gone: watched for
    /// [`watch_ms`], that shows. Until then it is waited.
    Watch,
    /// They must be waited for.
    Wait {
        /// How what was declared is contradicted, if it is.
        contradiction: Option<String>,
    },
}

/// Whether to wait after read-only was switched on. A node that was told itself goes by it at once, so that nothing is
/// waited for where it is the only one: as declared, unless check-ins or connections contradict that, or, where nothing is
/// declared, because check-ins *and* connections both show a single one, for neither alone proves it. A single node that was not told
/// keeps its cache as long as any other.
#[must_use]
pub fn propagation(evidence: &NodeEvidence, declared: Option<u32>) -> Propagation {
    let nodes = evidence.check_ins.as_ref().map(Vec::len);
    let hosts = evidence.client_hosts.as_ref().map(Vec::len);
    if evidence.told == Told::BehindItsBack && nodes == Some(0) && hosts == Some(0) {
        return Propagation::NobodyIsThere;
    }
    let single = match evidence.told {
        Told::ThroughItsApi => {
            declared == Some(1) || (declared.is_none() && nodes == Some(1) && hosts == Some(1))
        }
        Told::BehindItsBack => false,
    };
    if let Some(contradiction) = declared.and_then(|declared| more_hosts(evidence, declared)) {
        return Propagation::Wait {
            contradiction: Some(contradiction),
        };
    }
    let exceeded =
        |declared| nodes.is_some_and(|nodes| nodes > usize::try_from(declared).unwrap_or(usize::MAX));
    if declared.is_some_and(exceeded) {
        Propagation::Watch
    } else if single {
        Propagation::TheOneWasTold
    } else {
        Propagation::Wait { contradiction: None }
    }
}

fn more_hosts(evidence: &NodeEvidence, declared: u32) -> Option<String> {
    let hosts = evidence.client_hosts.as_ref()?;
    (hosts.len() > usize::try_from(declared).unwrap_or(usize::MAX)).then(|| {
        format!(
            "--nodes says {declared}, and {} hosts are connected to the app DB: {}",
            hosts.len(),
            hosts.join(", ")
        )
    })
}

/// The same once nodes were watched: `first` and what is seen now, `elapsed_ms` later.
#[must_use]
pub fn propagation_watched(
    first: &NodeEvidence,
    now: &NodeEvidence,
    elapsed_ms: u64,
    declared: u32,
) -> Propagation {
    let (Some(before), Some(after)) = (&first.check_ins, &now.check_ins) else {
        return Propagation::Wait { contradiction: None };
    };
    let nodes = liveness(before, after, elapsed_ms);
    let count = |wanted| nodes.iter().filter(move |(_, found)| **found == wanted);
    let live: Vec<String> = count(Liveness::Live).map(|(node, _)| node.clone()).collect();
    let declared_nodes = usize::try_from(declared).unwrap_or(usize::MAX);
    if live.len() > declared_nodes {
        return Propagation::Wait {
            contradiction: Some(format!(
                "--nodes says {declared}, and {} nodes check in: {}",
                live.len(),
                live.join(", ")
            )),
        };
    }
    if live.len() + count(Liveness::Unknown).count() > declared_nodes {
        return Propagation::Watch;
    }
    match now.told {
        Told::ThroughItsApi if declared == 1 => Propagation::TheOneWasTold,
        Told::ThroughItsApi | Told::BehindItsBack => Propagation::Wait { contradiction: None },
    }
}

#[cfg(test)]
mod tests;
