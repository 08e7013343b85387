//! What is read of each table, fixed before the first row moves.

use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::{CellRewrite, CopyPolicy, Origin, RowFilter, TablePolicy};
use metaferry_domain::ports::{GeneratedColumns, RowOrder, Snapshot, TableRead, Unplaced};
use metaferry_domain::recoding::Recoding;
use metaferry_domain::schema::{Catalogue, Column, DataType, Table};

use crate::error::TransferError;

/// The tables that go along, largest first, and those that do not.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) tables: Vec<TablePlan>,
    /// Table key and why.
    pub(crate) left_out: Vec<(String, String)>,
    /// Carried, but none of the application's.
    pub(crate) unknown: Vec<String>,
}

/// One table that goes along.
#[derive(Debug, Clone)]
pub(crate) struct TablePlan {
    pub(crate) read: TableRead,
    pub(crate) drop_rows: Vec<RowFilter>,
    pub(crate) rewrites: Vec<CellRewrite>,
    pub(crate) recoding: Option<Recoding>,
    pub(crate) rows_estimate: u64,
    bytes_estimate: u64,
}

impl Plan {
    pub(crate) fn new(
        catalogue: &Catalogue,
        policy: &CopyPolicy,
        order: RowOrder,
        generated: GeneratedColumns,
    ) -> Self {
        let mut plan = Self {
            tables: Vec::new(),
            left_out: Vec::new(),
            unknown: Vec::new(),
        };
        for table in &catalogue.tables {
            let key = table.name.key();
            match policy.table(&key) {
                TablePolicy::LeaveOut { why } => plan.left_out.push((key, why)),
                TablePolicy::Carry {
                    drop_rows,
                    rewrites,
                    origin,
                } => {
                    match origin {
                        Origin::Unknown => plan.unknown.push(key.clone()),
                        Origin::Known => {}
                    }
                    let columns = table
                        .columns
                        .iter()
                        .enumerate()
                        .filter(|(_, column)| {
                            generated == GeneratedColumns::Supplied || !column.is_generated()
                        })
                        .map(|(position, _)| position)
                        .collect();
                    let order = if is_keyed_by_number(table) {
                        order
                    } else {
                        RowOrder::Any
                    };
                    plan.tables.push(TablePlan {
                        read: TableRead {
                            table: key,
                            columns,
                            order,
                        },
                        drop_rows,
                        rewrites,
                        recoding: policy.recoding.clone(),
                        rows_estimate: table.rows_estimate,
                        bytes_estimate: table.bytes_estimate,
                    });
                }
            }
        }
        plan.largest_first();
        plan
    }
}

impl Plan {
    /// Leaves behind what the target has no place for; answers notes.
    pub(crate) fn leave_behind(&mut self, catalogue: &Catalogue, unplaced: &[Unplaced]) -> Vec<String> {
        let mut notes = Vec::new();
        for unplaced in unplaced {
            let key = &unplaced.table;
            if unplaced.columns.is_empty() {
                self.tables.retain(|table| table.read.table != *key);
                self.unknown.retain(|table| table != key);
                self.left_out
                    .push((key.clone(), "the target has no such table".to_owned()));
                continue;
            }
            let (Some(plan), Some(table)) = (
                self.tables.iter_mut().find(|plan| plan.read.table == *key),
                catalogue.table(key),
            ) else {
                continue;
            };
            plan.read
                .columns
                .retain(|&position| !unplaced.columns.contains(&table.columns[position].name.key()));
            notes.push(format!(
                "table {key}: left behind, for the target has no such columns: {}",
                unplaced.columns.join(", ")
            ));
        }
        notes
    }
}

/// Bytes of a value of any length, and of any other value, where a source says nothing of sizes.
const LONG_VALUE_BYTES: u64 = 500;
const SHORT_VALUE_BYTES: u64 = 16;

impl Plan {
    /// Counts what the source has no estimates of, as a file has not, and orders the tables anew: a long one that is
    /// begun last is what everybody waits for.
    pub(crate) async fn weigh(
        &mut self,
        snapshot: &dyn Snapshot,
        cancel: &Cancellation,
    ) -> Result<(), TransferError> {
        if self.tables.iter().any(|table| table.rows_estimate > 0) {
            return Ok(());
        }
        for plan in &mut self.tables {
            cancel.check()?;
            let Some(table) = snapshot.catalogue().table(&plan.read.table) else {
                continue;
            };
            plan.rows_estimate =
                snapshot
                    .count(&plan.read.table)
                    .await
                    .map_err(|source| TransferError::Table {
                        table: plan.read.table.clone(),
                        source,
                    })?;
            let row_bytes: u64 = table
                .columns
                .iter()
                .map(|column| match column.data_type {
                    DataType::Text | DataType::Blob | DataType::Json => LONG_VALUE_BYTES,
                    _ => SHORT_VALUE_BYTES,
                })
                .sum();
            plan.bytes_estimate = plan.rows_estimate.saturating_mul(row_bytes);
        }
        self.largest_first();
        Ok(())
    }

    fn largest_first(&mut self) {
        self.tables.sort_by(|a, b| {
            b.bytes_estimate
                .cmp(&a.bytes_estimate)
                .then(a.read.table.cmp(&b.read.table))
        });
    }
}

impl TablePlan {
    /// The columns that are read, in the order of the cells.
    pub(crate) fn columns<'a>(&self, table: &'a Table) -> Vec<&'a Column> {
        self.read
            .columns
            .iter()
            .map(|&position| &table.columns[position])
            .collect()
    }
}

/// Ordering pays only where the key is one whole number: that is what targets key their rows by.
fn is_keyed_by_number(table: &Table) -> bool {
    let Some(key) = &table.primary_key else {
        return false;
    };
    let [name] = &key.columns[..] else { return false };
    table.column(&name.key()).is_some_and(|column| {
        matches!(
            column.data_type,
            DataType::SmallInt | DataType::Integer | DataType::BigInt
        )
    })
}
