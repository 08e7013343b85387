//! Whether a Metabase runs on the database: it would go on with the old key.

use std::time::{Duration, Instant};

use metaferry_domain::quiesce::CheckIn;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::quartz::liveness::{Liveness, Observation, judge_nodes, longest_silence_ms};

use crate::nodes::lately;

use super::{KeyedRows, RekeyOptions, RekeyReport, Running, go_on};

/// Between two looks at the check-ins of nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The check-ins of nodes at one moment.
#[derive(Debug, Default)]
pub(crate) struct CheckIns {
    pub(crate) nodes: Vec<CheckIn>,
    /// The database's clock, in Unix milliseconds.
    pub(crate) now_ms: i64,
}

/// Refuses, or says, that one does.
pub(super) async fn look_for_nodes<R: KeyedRows>(
    rows: &mut R,
    options: &RekeyOptions,
    report: &mut RekeyReport,
) -> Result<(), PortError> {
    let began = Instant::now();
    let mut looks: Vec<Observation> = Vec::new();
    loop {
        let seen = rows.check_ins().await?;
        let nodes = lately(seen.nodes, seen.now_ms);
        if options.running == Running::Warn {
            if !nodes.is_empty() {
                let names: Vec<&str> = nodes.iter().map(|node| node.node.as_str()).collect();
                report.notes.push(format!(
                    "nodes of Metabase have checked in within ten minutes ({}): one that still runs goes on with the old \
                     key until it is started again",
                    names.join(", ")
                ));
            }
            return Ok(());
        }
        if looks.is_empty() && !nodes.is_empty() {
            tracing::info!(
                nodes = nodes.len(),
                "watching whether Metabase's nodes still check in; this takes a quarter of a minute"
            );
        }
        let look = Observation {
            at_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
            check_ins: nodes,
        };
        let longest = longest_silence_ms(&look);
        let at_ms = look.at_ms;
        // The first look and the newest decide.
        looks.truncate(1);
        looks.push(look);
        let judged = judge_nodes(&looks);
        let live: Vec<&str> = judged
            .iter()
            .filter(|(_, liveness)| **liveness == Liveness::Live)
            .map(|(name, _)| name.as_str())
            .collect();
        if !live.is_empty() {
            return Err(PortError::new(
                ErrorKind::Conflict,
                format!(
                    "a Metabase runs on this app DB (node {}): it would go on with the old key; stop it and try again, or \
                     go on with --force and start it again at once",
                    live.join(", ")
                ),
            ));
        }
        let undecided = judged.values().any(|liveness| *liveness == Liveness::Undecided);
        if !undecided || at_ms > longest {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        go_on(options)?;
    }
}
