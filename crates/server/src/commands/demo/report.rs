//! What a demo found on both shores, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use metaferry_domain::ports::TableReport;
use metaferry_domain::state::Arrived;
use metaferry_store::DumpFacts;
use metaferry_transfer::verify::{Scan, TableComparison, compare};

/// What was read at every place that the rows passed.
#[derive(Debug)]
pub(super) struct Crossing {
    /// The source, as the copy policy carries it, beside the restored database.
    comparisons: Vec<TableComparison>,
    left: Scan,
    right: Scan,
    /// What the store found in the dump that it received.
    received: Vec<TableReport>,
    arrived: Arrived,
}

impl Crossing {
    pub(super) fn new(left: Scan, received: DumpFacts, right: Scan, arrived: Arrived) -> Self {
        let received = received
            .tables
            .into_iter()
            .map(|table| TableReport {
                name: table.name,
                rows: table.rows,
                digest: table.digest,
            })
            .collect();
        Self {
            comparisons: compare(&left.tables, &right.tables),
            left,
            right,
            received,
            arrived,
        }
    }

    fn rows(&self) -> u64 {
        self.left.tables.iter().map(|table| table.rows).sum()
    }

    /// There is something, it is the same at every place, and all its foreign keys hold.
    pub(super) fn is_equal(&self) -> bool {
        let same_as = |other: &[TableReport]| {
            compare(&self.left.tables, other)
                .iter()
                .all(TableComparison::is_equal)
        };
        self.rows() > 0
            && self.comparisons.iter().all(TableComparison::is_equal)
            && same_as(&self.received)
            && same_as(&self.arrived.snapshot.tables)
            && self.left.dangling.is_empty()
            && self.right.dangling.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:<30} {:>9}  {:<36}  {:<36}\n",
            "table", "rows", "source", "restored"
        );
        for table in self
            .comparisons
            .iter()
            .filter(|table| table.left.is_some() || !table.is_equal())
        {
            let digest = |side: &Option<TableReport>| {
                side.as_ref()
                    .map_or_else(|| "absent".to_owned(), |s| s.digest.clone())
            };
            let rows = table.left.as_ref().map_or(0, |side| side.rows);
            let verdict = if table.is_equal() { "equal" } else { "DIFFERENT" };
            let (left, right) = (digest(&table.left), digest(&table.right));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<30} {rows:>9}  {left:<36}  {right:<36}  {verdict}",
                table.name
            );
        }
        for left_out in self
            .arrived
            .snapshot
            .left_out
            .iter()
            .filter(|left_out| left_out.rows > 0)
        {
            let _ = writeln!(
                text,
                "left out: {} ({} rows): {}",
                left_out.name, left_out.rows, left_out.why
            );
        }
        for dangling in self.left.dangling.iter().chain(&self.right.dangling) {
            let _ = writeln!(text, "{dangling}");
        }
        let verdict = if self.is_equal() {
            "equal on both shores"
        } else {
            "NOT equal on both shores"
        };
        let _ = write!(
            text,
            "{verdict}: {} tables, {} rows",
            self.left.tables.len(),
            self.rows()
        );
        text
    }

    /// The object of the contract, with the other shore beside it.
    pub(super) fn json(&self, seconds: f64) -> serde_json::Value {
        let tables: Vec<serde_json::Value> = self
            .comparisons
            .iter()
            .filter_map(|table| table.left.as_ref().map(|left| (table, left)))
            .map(|(table, left)| {
                serde_json::json!({
                    "name": left.name,
                    "rows": left.rows,
                    "digest": left.digest,
                    "restored": table.right,
                    "equal": table.is_equal(),
                })
            })
            .collect();
        let snapshot = &self.arrived.snapshot;
        serde_json::json!({
            "tables": tables,
            "left_out": snapshot.left_out,
            "rows": self.rows(),
            "bytes": self.arrived.file.size_bytes,
            "seconds": seconds,
            "snapshot_seconds": Duration::from_millis(snapshot.snapshot_ms).as_secs_f64(),
            "equal": self.is_equal(),
        })
    }
}
