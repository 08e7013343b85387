//! Are two databases equal in what a copy carries? Rows and digests, table by table, and the foreign keys.

use std::collections::{BTreeMap, BTreeSet};

use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{GeneratedColumns, RowOrder, Snapshot, TableReport};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Catalogue;

use crate::copy::{BATCH_BYTES, confirmed};
use crate::digest::TableDigest;
use crate::error::TransferError;
use crate::foreign_keys::{ForeignKeyCheck, KEY_MEMORY_BYTES, Share, next_split};
use crate::plan::{Plan, TablePlan};
use crate::row_rules::RowRules;

/// Rows and digest of every carried table, and foreign keys that dangle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Per table, by name.
    pub tables: Vec<TableReport>,
    /// Names of the columns that were read, per table, in lower case: a digest is of values in the order of the names, and
    /// does not tell one name from another between the same neighbours.
    pub columns: BTreeMap<String, BTreeSet<String>>,
    /// In words; empty if all hold.
    pub dangling: Vec<String>,
}

/// Reads everything that the policy carries, and checks the foreign keys of what was read.
///
/// # Errors
/// The first that any table met, or [`TransferError::SnapshotLost`].
pub async fn scan(
    snapshot: &dyn Snapshot,
    policy: &CopyPolicy,
    cancel: &Cancellation,
) -> Result<Scan, TransferError> {
    let found = read_all(snapshot, policy, cancel).await;
    confirmed(snapshot, found).await
}

async fn read_all(
    snapshot: &dyn Snapshot,
    policy: &CopyPolicy,
    cancel: &Cancellation,
) -> Result<Scan, TransferError> {
    let plan = Plan::new(
        snapshot.catalogue(),
        policy,
        RowOrder::Any,
        GeneratedColumns::Computed,
    );
    let carried = carried(snapshot.catalogue(), &plan);
    let mut pass = Pass {
        snapshot,
        cancel,
        check: Some(ForeignKeyCheck::new(&carried, Share::ALL, KEY_MEMORY_BYTES)),
    };
    let mut tables = Vec::with_capacity(plan.tables.len());
    for table in &plan.tables {
        tables.push(pass.table(table).await?);
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let columns = plan.tables.iter().filter_map(|planned| {
        let table = snapshot.catalogue().table(&planned.read.table)?;
        let columns = planned.columns(table).into_iter();
        let names = columns.map(|column| column.name.key()).collect();
        Some((planned.read.table.clone(), names))
    });
    let columns = columns.collect();
    let dangling = match pass.check.take() {
        Some(check) => check.violations(),
        None => dangling_in_passes(snapshot, &plan, &carried, cancel).await?,
    };
    Ok(Scan {
        tables,
        columns,
        dangling,
    })
}

/// The catalogue of what was carried: foreign keys of tables that stayed behind say nothing.
fn carried(catalogue: &Catalogue, plan: &Plan) -> Catalogue {
    let mut carried = catalogue.clone();
    carried.tables.retain(|table| {
        let key = table.name.key();
        plan.tables.iter().any(|planned| planned.read.table == key)
    });
    carried
}

async fn dangling_in_passes(
    snapshot: &dyn Snapshot,
    plan: &Plan,
    carried: &Catalogue,
    cancel: &Cancellation,
) -> Result<Vec<String>, TransferError> {
    let mut parts = 1;
    'wider: loop {
        parts = next_split(parts)?;
        let mut dangling = Vec::new();
        for share in Share::split(parts) {
            let mut pass = Pass {
                snapshot,
                cancel,
                check: Some(ForeignKeyCheck::new(carried, share, KEY_MEMORY_BYTES)),
            };
            for table in &plan.tables {
                pass.table(table).await?;
                if pass.check.is_none() {
                    continue 'wider;
                }
            }
            dangling.extend(
                pass.check
                    .take()
                    .map(ForeignKeyCheck::violations)
                    .unwrap_or_default(),
            );
        }
        return Ok(dangling);
    }
}

/// One reading of all tables.
struct Pass<'a> {
    snapshot: &'a dyn Snapshot,
    cancel: &'a Cancellation,
    /// `None` once its keys no longer fit.
    check: Option<ForeignKeyCheck>,
}

impl Pass<'_> {
    async fn table(&mut self, plan: &TablePlan) -> Result<TableReport, TransferError> {
        let name = plan.read.table.clone();
        let at_table = |source| TransferError::Table {
            table: name.clone(),
            source,
        };
        let Some(table) = self.snapshot.catalogue().table(&name) else {
            return Ok(TableReport {
                name,
                rows: 0,
                digest: String::new(),
            });
        };
        let columns = plan.columns(table);
        let mut rules = RowRules::of(self.snapshot, table, plan).await?;
        let mut keys = self.check.as_ref().map(|check| check.table(table, &columns));
        let mut digest = TableDigest::new(&columns);
        let mut reader = self.snapshot.read(&plan.read).await.map_err(at_table)?;
        let mut read = RowBatch::new(columns.len());
        let mut changed = RowBatch::new(columns.len());
        loop {
            self.cancel.check()?;
            reader.next(&mut read, BATCH_BYTES).await.map_err(at_table)?;
            if read.rows() == 0 {
                break;
            }
            let batch = rules.apply(&read, &mut changed).map_err(at_table)?;
            digest.add(batch);
            if let (Some(check), Some(keys)) = (self.check.as_mut(), keys.as_mut())
                && !check.add(keys, batch)
            {
                self.check = None;
            }
        }
        Ok(TableReport {
            rows: digest.rows(),
            digest: digest.digest().to_string(),
            name,
        })
    }
}

/// How one table compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableComparison {
    /// Table, in lower case.
    pub name: String,
    /// Left, if it is there.
    pub left: Option<TableReport>,
    /// Right, if it is there.
    pub right: Option<TableReport>,
    /// What differs beside the rows, in words.
    pub shape: Vec<String>,
}

/// What two databases are compared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Rows, and the columns that hold them. A table without rows may be missing.
    Rows,
    /// Every table and every column.
    Whole,
}

impl TableComparison {
    /// Same rows, same digest, or absent on one side and empty on the other; and nothing else that was compared differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let rows = match (&self.left, &self.right) {
            (Some(left), Some(right)) => left.rows == right.rows && left.digest == right.digest,
            (Some(one), None) | (None, Some(one)) => one.rows == 0,
            (None, None) => true,
        };
        rows && self.shape.is_empty()
    }
}

/// Pairs two scans by table.
#[must_use]
pub fn compare_scans(left: &Scan, right: &Scan, likeness: Likeness) -> Vec<TableComparison> {
    let mut comparisons = compare(&left.tables, &right.tables);
    for table in &mut comparisons {
        let both_hold_rows = [&table.left, &table.right]
            .iter()
            .all(|side| side.as_ref().is_some_and(|report| report.rows > 0));
        match (left.columns.get(&table.name), right.columns.get(&table.name)) {
            (Some(ours), Some(theirs)) => {
                if likeness == Likeness::Whole || both_hold_rows {
                    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, side: &str| {
                        let names: Vec<&str> = these.difference(those).map(String::as_str).collect();
                        (!names.is_empty()).then(|| format!("only {side} has column {}", names.join(", ")))
                    };
                    table.shape.extend(only(ours, theirs, "left"));
                    table.shape.extend(only(theirs, ours, "right"));
                }
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                if likeness == Likeness::Whole {
                    table.shape.push("one side does not have it".to_owned());
                }
            }
        }
    }
    comparisons
}

/// What differs, in words: the left side was read, the right side is `there`.
pub(crate) fn differences(comparisons: &[TableComparison], there: &str) -> Vec<String> {
    let side = |report: &Option<TableReport>| {
        report.as_ref().map_or_else(
            || "absent".to_owned(),
            |report| format!("{} rows, {}", report.rows, report.digest),
        )
    };
    comparisons
        .iter()
        .filter(|table| !table.is_equal())
        .map(|table| {
            format!(
                "{}: read {}; {there} {}",
                table.name,
                side(&table.left),
                side(&table.right)
            )
        })
        .collect()
}

/// Pairs two lists of reports by name.
#[must_use]
pub fn compare(left: &[TableReport], right: &[TableReport]) -> Vec<TableComparison> {
    let find = |side: &[TableReport], name: &str| side.iter().find(|table| table.name == name).cloned();
    let mut names: Vec<&str> = left
        .iter()
        .chain(right)
        .map(|table| table.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| TableComparison {
            name: name.to_owned(),
            left: find(left, name),
            right: find(right, name),
            shape: Vec::new(),
        })
        .collect()
}
