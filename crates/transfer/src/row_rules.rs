//! One table's copy policy, compiled to column positions: which rows stay, which cells change on the way.

use std::collections::HashSet;

use metaferry_domain::copy_policy::{CellRewrite, NewValue, RewriteWhen, RowFilter};
use metaferry_domain::ports::{RowOrder, Snapshot, TableRead};
use metaferry_domain::recoding::RowRecoder;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};
use metaferry_domain::{ErrorKind, PortError};

use crate::digest::canonical;
use crate::error::TransferError;
use crate::plan::TablePlan;

/// Keys of a parent that a [`RowFilter::Dangling`] may hold in memory; a named limit.
const PARENT_KEYS_MAX: usize = 1_000_000;

/// The rules of one table. Most tables have none, and their batches pass untouched.
#[derive(Debug, Default)]
pub(crate) struct RowRules {
    filters: Vec<Filter>,
    rewrites: Vec<Rewrite>,
    recoder: Option<Box<dyn RowRecoder>>,
}

#[derive(Debug)]
enum Filter {
    TextEquals {
        position: usize,
        value: String,
    },
    NotIn {
        position: usize,
        column: Column,
        keys: HashSet<Vec<u8>>,
    },
}

#[derive(Debug)]
struct Rewrite {
    position: usize,
    when: When,
    to: NewValue,
}

#[derive(Debug)]
enum When {
    Always,
    TextEquals { position: usize, value: String },
    IsTrue { position: usize },
}

impl RowRules {
    /// The rules of a planned table, for the columns that are read of it.
    pub(crate) async fn of(
        snapshot: &dyn Snapshot,
        table: &Table,
        plan: &TablePlan,
    ) -> Result<Self, TransferError> {
        let columns = plan.columns(table);
        let mut rules = Self::compile(snapshot, &columns, &plan.drop_rows, &plan.rewrites).await?;
        rules.recoder = plan
            .recoding
            .as_ref()
            .and_then(|recoding| recoding.0.table(table, &columns));
        Ok(rules)
    }

    /// Compiles filters and rewrites against the columns that are read. A rule whose column the table does not
    /// have says nothing: versions differ, and the policy knows them all.
    async fn compile(
        snapshot: &dyn Snapshot,
        columns: &[&Column],
        drop_rows: &[RowFilter],
        rewrites: &[CellRewrite],
    ) -> Result<Self, TransferError> {
        let position = |key: &str| columns.iter().position(|column| column.name.key() == key);
        let mut rules = Self::default();
        for filter in drop_rows {
            match filter {
                RowFilter::TextEquals { column, value } => {
                    if let Some(position) = position(column) {
                        rules.filters.push(Filter::TextEquals {
                            position,
                            value: value.clone(),
                        });
                    }
                }
                RowFilter::Dangling {
                    column,
                    parent_table,
                    parent_column,
                } => {
                    if let Some(position) = position(column) {
                        let keys = parent_keys(snapshot, parent_table, parent_column).await?;
                        let column = columns[position].clone();
                        rules.filters.push(Filter::NotIn {
                            position,
                            column,
                            keys,
                        });
                    }
                }
            }
        }
        for rewrite in rewrites {
            let when = match &rewrite.when {
                RewriteWhen::Always => Some(When::Always),
                RewriteWhen::TextEquals { column, value } => {
                    position(column).map(|position| When::TextEquals {
                        position,
                        value: value.clone(),
                    })
                }
                RewriteWhen::IsTrue { column } => position(column).map(|position| When::IsTrue { position }),
            };
            if let (Some(position), Some(when)) = (position(&rewrite.column), when) {
                rules.rewrites.push(Rewrite {
                    position,
                    when,
                    to: rewrite.to.clone(),
                });
            }
        }
        Ok(rules)
    }

    /// The batch as it is to be carried: `batch` itself, or `scratch` filled from it.
    pub(crate) fn apply<'a>(
        &mut self,
        batch: &'a RowBatch,
        scratch: &'a mut RowBatch,
    ) -> Result<&'a RowBatch, PortError> {
        if self.filters.is_empty() && self.rewrites.is_empty() && self.recoder.is_none() {
            return Ok(batch);
        }
        scratch.clear(batch.columns());
        // Taken out while the other rules are looked at.
        let mut recoder = self.recoder.take();
        for row in 0..batch.rows() {
            if self.filters.iter().any(|filter| filter.drops(batch, row)) {
                continue;
            }
            for (position, cell) in batch.row(row).enumerate() {
                let cell = self.rewritten(batch, row, position).unwrap_or(cell);
                let recoded = match &mut recoder {
                    Some(recoder) => recoder.recode(batch, row, position, cell)?,
                    None => None,
                };
                scratch.push(recoded.as_ref().map_or(cell, |recoded| recoded.cell()));
            }
            scratch.end_row();
        }
        self.recoder = recoder;
        Ok(scratch)
    }

    /// Fills `batch` with the rows that come after the table's own.
    pub(crate) fn append(&mut self, batch: &mut RowBatch, columns: usize) {
        batch.clear(columns);
        if let Some(recoder) = &mut self.recoder {
            recoder.append(batch);
        }
    }

    /// What a person should know of the values that were changed.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.recoder
            .as_ref()
            .map_or_else(Vec::new, |recoder| recoder.notes())
    }

    fn rewritten(&self, batch: &RowBatch, row: usize, position: usize) -> Option<Cell<'_>> {
        let rewrite = self.rewrites.iter().find(|rewrite| {
            rewrite.position == position
                && match &rewrite.when {
                    When::Always => true,
                    When::TextEquals { position, value } => {
                        matches!(batch.cell(row, *position), Cell::Text(text) if text == value)
                    }
                    When::IsTrue { position } => matches!(batch.cell(row, *position), Cell::Boolean(true)),
                }
        })?;
        Some(match &rewrite.to {
            NewValue::Null => Cell::Null,
            NewValue::Text(text) => Cell::Text(text),
            NewValue::Boolean(value) => Cell::Boolean(*value),
        })
    }
}

impl Filter {
    fn drops(&self, batch: &RowBatch, row: usize) -> bool {
        match self {
            Self::TextEquals { position, value } => {
                matches!(batch.cell(row, *position), Cell::Text(text) if text == value)
            }
            Self::NotIn {
                position,
                column,
                keys,
            } => {
                let cell = batch.cell(row, *position);
                if cell == Cell::Null {
                    return false;
                }
                let mut key = Vec::new();
                canonical(cell, column, &mut key);
                !keys.contains(&key)
            }
        }
    }
}

async fn parent_keys(
    snapshot: &dyn Snapshot,
    parent_table: &str,
    parent_column: &str,
) -> Result<HashSet<Vec<u8>>, TransferError> {
    let mut keys = HashSet::new();
    let Some(table) = snapshot.catalogue().table(parent_table) else {
        return Ok(keys);
    };
    let Some(position) = table
        .columns
        .iter()
        .position(|column| column.name.key() == parent_column)
    else {
        return Err(PortError::new(
            ErrorKind::Unsupported,
            format!("table {parent_table} has no column {parent_column}, which rows are to be kept by"),
        )
        .into());
    };
    let read = TableRead {
        table: table.name.key(),
        columns: vec![position],
        order: RowOrder::Any,
    };
    let mut reader = snapshot.read(&read).await?;
    let mut batch = RowBatch::new(1);
    loop {
        reader.next(&mut batch, 1 << 18).await?;
        if batch.rows() == 0 {
            return Ok(keys);
        }
        for row in 0..batch.rows() {
            let mut key = Vec::new();
            canonical(batch.cell(row, 0), &table.columns[position], &mut key);
            keys.insert(key);
        }
        if keys.len() > PARENT_KEYS_MAX {
            return Err(TransferError::Limit(format!(
                "table {parent_table} has more than {PARENT_KEYS_MAX} rows, too many to keep rows by"
            )));
        }
    }
}

#[cfg(test)]
mod tests;
