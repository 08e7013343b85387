//! What of a table is read: the columns that can hold encrypted values, and so many rows at once as may be held.

use std::collections::VecDeque;

use metaferry_domain::schema::{Column, DataType, Table};
use metaferry_metabase::encryption::classify::{RAW_BYTES_MIN, TEXT_BYTES_MIN};
use metaferry_metabase::encryption::rekey::Rekey;

/// About so much is held of a table at once, or one row that is longer.
const BATCH_BYTES: u64 = 4 << 20;
/// Of so many rows the lengths are asked for at once.
pub(crate) const SIZED_ROWS: usize = 512;

/// What is read of a table: the columns that can hold encrypted values.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) table: Table,
    pub(crate) columns: Vec<WalkColumn>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalkColumn {
    /// Its place in the table.
    pub(crate) at: usize,
    pub(crate) form: Form,
    /// Values of fewer bytes come as NULL.
    pub(crate) bytes_min: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Bytes,
}

impl Walk {
    /// `None`: no column of that table can hold an encrypted value.
    pub(super) fn of(table: &Table, rekey: &Rekey) -> Option<Self> {
        let key = table.name.key();
        let columns: Vec<WalkColumn> = (0..table.columns.len())
            .filter_map(|at| {
                let column = &table.columns[at];
                let form = form(column)?;
                let bytes_min = match form {
                    _ if rekey.sees_all_of(&key, &column.name.key()) => 0,
                    Form::Text => TEXT_BYTES_MIN,
                    Form::Bytes => RAW_BYTES_MIN,
                };
                Some(WalkColumn { at, form, bytes_min })
            })
            .collect();
        (!columns.is_empty()).then(|| Self {
            table: table.clone(),
            columns,
        })
    }

    pub(super) fn described(&self) -> Vec<&Column> {
        self.columns
            .iter()
            .map(|column| &self.table.columns[column.at])
            .collect()
    }

    /// The name of one of its columns, as the database spells it.
    pub(crate) fn name(&self, column: usize) -> &str {
        self.table.columns[self.columns[column].at].name.as_str()
    }
}

fn form(column: &Column) -> Option<Form> {
    if column.is_generated() {
        return None;
    }
    match column.data_type {
        DataType::Char(_) | DataType::Varchar(_) | DataType::VarcharIgnoreCase(_) | DataType::Text => {
            Some(Form::Text)
        }
        DataType::Binary(_) | DataType::Blob => Some(Form::Bytes),
        DataType::Boolean
        | DataType::SmallInt
        | DataType::Integer
        | DataType::BigInt
        | DataType::Real
        | DataType::Double
        | DataType::Decimal(_)
        | DataType::Date
        | DataType::Time
        | DataType::TimeTz
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Json
        | DataType::Other => None,
    }
}

/// How many bytes each of the next rows will bring, as the database says before it sends them.
#[derive(Debug, Default)]
pub(crate) struct Sizes(VecDeque<u64>);

impl Sizes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of the rows that come after those. What the database does not know the length of is empty.
    pub(crate) fn add(&mut self, bytes: i64) {
        self.0.push_back(u64::try_from(bytes).unwrap_or(0));
    }

    /// How many of them make the next batch: as many as may be held, one at least, none where none is left.
    pub(crate) fn next_batch(&mut self) -> usize {
        let (mut rows, mut bytes) = (0, 0_u64);
        while let Some(next) = self.0.front() {
            bytes = bytes.saturating_add(*next);
            if rows > 0 && bytes > BATCH_BYTES {
                break;
            }
            self.0.pop_front();
            rows += 1;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH_BYTES, SIZED_ROWS, Sizes};

    fn batches(rows: impl IntoIterator<Item = i64>) -> Vec<usize> {
        let mut sizes = Sizes::default();
        for bytes in rows {
            sizes.add(bytes);
        }
        let mut batches = Vec::new();
        while !sizes.is_empty() {
            batches.push(sizes.next_batch());
        }
        assert_eq!(sizes.next_batch(), 0);
        batches
    }

    #[test]
    fn a_batch_ends_at_the_bytes_that_may_be_held_whatever_came_before() {
        let mebibyte = 1 << 20;
        let wide = i64::try_from(BATCH_BYTES).unwrap() * 5;
        assert_eq!(batches([30; SIZED_ROWS]), [SIZED_ROWS]);
        assert_eq!(batches([mebibyte; 9]), [4, 4, 1]);
        assert_eq!(batches([30, 30, mebibyte, wide, 30, wide, wide]), [3, 1, 1, 1, 1]);
        let narrow_then_wide = [30; 300].into_iter().chain([mebibyte; 7]);
        assert_eq!(batches(narrow_then_wide), [303, 4]);
    }
}
