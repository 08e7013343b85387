//! Writes the rows of one table and, at its end, its indexes. Several tables are written at once, each by its own
//! thread: only whole pages meet in the shared chunk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::column_value::{self, Refusal};
use super::database::{IndexRoot, Shared, TableState, WrittenTable};
use super::encode::varlong;
use super::index_key;
use super::key_log::KeyLog;
use super::lob::TableLobs;
use super::page::PagePosition;
use super::plan::{IndexKind, IndexPlan, TablePlan};
use super::sorter::Sorter;
use super::tree::{TreeBuilder, Versioning};
use super::value_encode;
use crate::{SqlType, Value, WriteError};

/// Writes one table; made by [`DatabaseWriter::table`](crate::DatabaseWriter::table).
///
/// Rows of a table whose primary key is a single integer are cheapest in ascending order of that key: the key
/// is then the row key and needs no index. From the first row out of order on, rows are numbered and the key gets
/// an index like any other, which H2 itself does for a key that was added to a filled table.
#[derive(Debug)]
pub struct TableWriter {
    shared: Arc<Shared>,
    position: usize,
    rows: TreeBuilder,
    /// Where each value of the row ends in the leaf's values.
    ends: Vec<usize>,
    row_keys: RowKeys,
    /// Place in the plan and records so far of each index that gets a map.
    indexes: Vec<(usize, Sorter)>,
    sorting_bytes: usize,
    row_count: u64,
    highest_identity: Option<i64>,
    lowest_identity: Option<i64>,
    state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Writing,
    Failed,
    Finished,
}

#[derive(Debug)]
enum RowKeys {
    /// The value of the key column; rows came in its order so far.
    Column {
        column: usize,
        last: Option<i64>,
        log: KeyLog,
    },
    /// A number.
    Counter { next: i64 },
}

impl TableWriter {
    pub(super) fn new(shared: Arc<Shared>, position: usize) -> Self {
        let plan = &shared.plan.tables[position];
        let row_keys = match plan.key_column {
            Some(column) => RowKeys::Column {
                column,
                last: None,
                log: KeyLog::default(),
            },
            None => RowKeys::Counter { next: 1 },
        };
        let first = usize::from(plan.key_column.is_some());
        let indexes = (first..plan.indexes.len())
            .map(|index| (index, Sorter::new(&shared.temp_dir)))
            .collect();
        Self {
            rows: TreeBuilder::new(plan.map, Versioning::Versioned),
            ends: Vec::with_capacity(plan.columns.len()),
            row_keys,
            indexes,
            sorting_bytes: 0,
            row_count: 0,
            highest_identity: None,
            lowest_identity: None,
            state: Progress::Writing,
            position,
            shared,
        }
    }

    /// Writes one row: a value for each column of the definition, generated ones included.
    ///
    /// # Errors
    /// [`WriteError::Row`] if the row does not fit its table; it is then left out and the next one may follow.
    /// After any other error the table cannot go on.
    pub fn push(&mut self, row: &[Value<'_>]) -> Result<(), WriteError> {
        match self.state {
            Progress::Writing => {}
            Progress::Failed | Progress::Finished => return Err(WriteError::Broken),
        }
        let pushed = self.try_push(row);
        if let Err(error) = &pushed
            && !matches!(error, WriteError::Row { .. })
        {
            self.state = Progress::Failed;
        }
        pushed
    }

    fn try_push(&mut self, row: &[Value<'_>]) -> Result<(), WriteError> {
        self.encode(row)?;
        let row_key = match &mut self.row_keys {
            RowKeys::Column { column, last, log } => {
                let key = integer(&row[*column]);
                match *last {
                    Some(before) if before == key => {
                        let plan = &self.shared.plan.tables[self.position];
                        return Err(duplicate(plan, &plan.indexes[0], key, key));
                    }
                    Some(before) if before > key => self.number_rows()?,
                    _ => {
                        log.push(key, &self.shared.temp_dir)?;
                        *last = Some(key);
                        key
                    }
                }
            }
            RowKeys::Counter { next } => {
                let key = *next;
                *next += 1;
                key
            }
        };
        varlong(&mut self.rows.keys, row_key);
        self.index(row, row_key)?;
        let plan = &self.shared.plan.tables[self.position];
        if let Some(identity) = &plan.identity {
            let value = integer(&row[identity.column]);
            self.highest_identity = self.highest_identity.max(Some(value));
            self.lowest_identity = Some(self.lowest_identity.map_or(value, |lowest| lowest.min(value)));
        }
        self.row_count += 1;
        self.rows.end_entry(&mut &self.shared.sink)
    }

    /// Appends the row's values to the open leaf, or nothing if one does not fit.
    fn encode(&mut self, row: &[Value<'_>]) -> Result<(), WriteError> {
        let plan = &self.shared.plan.tables[self.position];
        if row.len() != plan.columns.len() {
            let problem = format!(
                "{} values, but the table has {} columns",
                row.len(),
                plan.columns.len()
            );
            return Err(self.row_error("*", problem));
        }
        let mut lobs = TableLobs {
            lobs: &self.shared.lobs,
            sink: &self.shared.sink,
            table_id: plan.id,
        };
        let start = self.rows.values.len();
        self.ends.clear();
        self.ends.push(start);
        for (column, value) in plan.columns.iter().zip(row) {
            if let Err(refusal) = column_value::append(&mut self.rows.values, column, value, &mut lobs) {
                self.rows.values.truncate(start);
                return Err(match refusal {
                    Refusal::Unfit(problem) => self.row_error(&column.name, problem),
                    Refusal::Failed(error) => error,
                });
            }
            self.ends.push(self.rows.values.len());
        }
        Ok(())
    }

    fn row_error(&self, column: &str, problem: String) -> WriteError {
        WriteError::Row {
            table: self.shared.plan.tables[self.position].label.clone(),
            row: self.row_count + 1,
            column: column.to_owned(),
            problem,
        }
    }

    /// Adds the row to each index.
    fn index(&mut self, row: &[Value<'_>], row_key: i64) -> Result<(), WriteError> {
        if self.indexes.is_empty() {
            return Ok(());
        }
        let plan = &self.shared.plan.tables[self.position];
        let values = &self.rows.values;
        for (place, sorter) in &mut self.indexes {
            let columns = &plan.indexes[*place].columns;
            let before = sorter.footprint();
            sorter.push(
                |key| {
                    for one in columns {
                        index_key::column(key, &row[one.column], one.sort_type);
                    }
                },
                |payload| {
                    let null = columns.iter().any(|one| matches!(row[one.column], Value::Null));
                    payload.push(u8::from(null));
                    varlong(payload, row_key);
                    for one in columns {
                        payload.extend_from_slice(&values[self.ends[one.column]..self.ends[one.column + 1]]);
                    }
                },
            );
            self.sorting_bytes = self.sorting_bytes + sorter.footprint() - before;
        }
        if self.sorting_bytes > self.shared.sort_allowance() {
            self.spill_largest()?;
        }
        Ok(())
    }

    /// Makes room: the index that holds most goes to its temporary file.
    #[cold]
    fn spill_largest(&mut self) -> Result<(), WriteError> {
        if let Some((_, sorter)) = self
            .indexes
            .iter_mut()
            .max_by_key(|(_, sorter)| sorter.footprint())
        {
            let before = sorter.footprint();
            sorter.spill()?;
            self.sorting_bytes = self.sorting_bytes + sorter.footprint() - before;
        }
        Ok(())
    }

    /// Turns from keys to numbers, because a row came out of order; returns its number. Rows written so far keep
    /// their keys, which are lower than every number from now on, and get their entries in the key's index.
    #[cold]
    fn number_rows(&mut self) -> Result<i64, WriteError> {
        let counter = RowKeys::Counter { next: 1 };
        let RowKeys::Column {
            column,
            last: Some(last),
            log,
        } = std::mem::replace(&mut self.row_keys, counter)
        else {
            return Err(WriteError::Broken);
        };
        let plan = &self.shared.plan.tables[self.position];
        // Numbers are positive, and leave H2 as much room as it can get.
        let first = last.max(0);
        if first > i64::MAX / 2 {
            return Err(WriteError::TableState {
                table: plan.label.clone(),
                problem: "rows out of order after a key of more than 2^62; push them in order of the primary key",
            });
        }
        let sql_type = &plan.columns[column].sql_type;
        let mut sorter = Sorter::new(&self.shared.temp_dir);
        let allowance = self.shared.sort_allowance();
        log.replay(|key| {
            let value = integer_value(sql_type, key);
            sorter.push(
                |out| index_key::column(out, &value, 0),
                |payload| {
                    payload.push(NO_NULL);
                    varlong(payload, key);
                    value_encode::integer_value(payload, &value);
                },
            );
            if sorter.footprint() > allowance {
                sorter.spill()
            } else {
                Ok(())
            }
        })?;
        self.sorting_bytes += sorter.footprint();
        self.indexes.push((0, sorter));
        self.row_keys = RowKeys::Counter { next: first + 2 };
        Ok(first + 1)
    }

    /// Completes the table and its indexes.
    ///
    /// # Errors
    /// [`WriteError::DuplicateKey`] if two rows have the same key in a primary key or unique index.
    pub fn finish(mut self) -> Result<(), WriteError> {
        if self.state != Progress::Writing {
            return Err(WriteError::Broken);
        }
        let shared = Arc::clone(&self.shared);
        let plan = &shared.plan.tables[self.position];
        let empty = TreeBuilder::new(plan.map, Versioning::Versioned);
        let root = std::mem::replace(&mut self.rows, empty).finish(&mut &shared.sink)?;
        let mut indexes = Vec::with_capacity(self.indexes.len());
        for (place, sorter) in std::mem::take(&mut self.indexes) {
            let index = &plan.indexes[place];
            indexes.push(IndexRoot {
                map: index.map,
                root: write_index(&shared, plan, index, sorter)?,
            });
        }
        let written = WrittenTable {
            root,
            rows: self.row_count,
            indexes,
            highest_identity: self.highest_identity,
            lowest_identity: self.lowest_identity,
        };
        self.state = Progress::Finished;
        shared.set_state(self.position, TableState::Written(written));
        Ok(())
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        self.shared.open_tables.fetch_sub(1, Ordering::Relaxed);
        if self.state != Progress::Finished {
            self.shared.set_state(self.position, TableState::Abandoned);
        }
    }
}

/// Writes an index. Entries of one key must be in the order of their row keys; rows come in that order, and the
/// sorter keeps it.
fn write_index(
    shared: &Shared,
    plan: &TablePlan,
    index: &IndexPlan,
    sorter: Sorter,
) -> Result<Option<PagePosition>, WriteError> {
    let mut tree = TreeBuilder::new(index.map, Versioning::Versioned);
    // Key and row key of the entry before.
    let mut before: Option<(Vec<u8>, i64)> = None;
    sorter.finish(|key, payload| {
        if index.kind != IndexKind::Plain {
            let row_key = first_varlong(&payload[1..]);
            match &mut before {
                Some((last, first)) if payload[0] == NO_NULL && last == key => {
                    return Err(duplicate(plan, index, *first, row_key));
                }
                Some((last, last_row_key)) => {
                    last.clear();
                    last.extend_from_slice(key);
                    *last_row_key = row_key;
                }
                None => before = Some((key.to_vec(), row_key)),
            }
        }
        tree.keys.extend_from_slice(&payload[1..]);
        tree.end_entry(&mut &shared.sink)
    })?;
    tree.finish(&mut &shared.sink)
}

/// The first byte of a record's payload, if no column of the key is NULL.
const NO_NULL: u8 = 0;

fn first_varlong(bytes: &[u8]) -> i64 {
    let mut number = 0_u64;
    for (byte, shift) in bytes.iter().zip((0..64).step_by(7)) {
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number.cast_signed()
}

fn duplicate(plan: &TablePlan, index: &IndexPlan, first: i64, second: i64) -> WriteError {
    WriteError::DuplicateKey {
        table: plan.label.clone(),
        index: index.name.clone(),
        first,
        second,
    }
}

/// The number in a column that was checked to be a NOT NULL integer.
fn integer(value: &Value<'_>) -> i64 {
    match value {
        Value::TinyInt(number) => i64::from(*number),
        Value::SmallInt(number) => i64::from(*number),
        Value::Integer(number) => i64::from(*number),
        Value::BigInt(number) => *number,
        _ => 0,
    }
}

fn integer_value(sql_type: &SqlType, number: i64) -> Value<'static> {
    match sql_type {
        SqlType::TinyInt => i8::try_from(number).map(Value::TinyInt),
        SqlType::SmallInt => i16::try_from(number).map(Value::SmallInt),
        SqlType::Integer => i32::try_from(number).map(Value::Integer),
        _ => Ok(Value::BigInt(number)),
    }
    .unwrap_or(Value::BigInt(number))
}
