//! What a value that cannot be carried is called: table, column and the row's key.

use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Table;
use metaferry_domain::{ErrorKind, PortError};

use crate::postgres::copy_binary::{Unreadable, value_of};
use crate::postgres::types::{Refusal, Wire, push};

/// Tables whose keys are credentials: never shown.
const SECRET_KEYS: [&str; 1] = ["core_session"];
/// Characters of a text key that are shown.
const KEY_CHARS_MAX: usize = 60;

/// Names of a table's columns, in the order of the cells.
pub(super) struct RowNames {
    table: String,
    columns: Vec<String>,
    key: Vec<KeyPart>,
}

struct KeyPart {
    column: usize,
    wire: Wire,
}

impl RowNames {
    pub(super) fn new(table: &Table, columns: &[usize], wires: &[Wire]) -> Self {
        let names: Vec<String> = columns
            .iter()
            .filter_map(|&at| table.columns.get(at))
            .map(|column| column.name.to_string())
            .collect();
        let key_columns = match &table.primary_key {
            Some(key) if !SECRET_KEYS.contains(&table.name.key().as_str()) => &key.columns[..],
            Some(_) | None => &[],
        };
        let key: Option<Vec<KeyPart>> = key_columns
            .iter()
            .map(|name| {
                let column = names.iter().position(|column| column == name.as_str())?;
                Some(KeyPart {
                    column,
                    wire: *wires.get(column)?,
                })
            })
            .collect();
        Self {
            table: table.name.to_string(),
            columns: names,
            key: key.unwrap_or_default(),
        }
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The error for a stream that broke after `rows` whole rows.
    pub(super) fn error(&self, unreadable: Unreadable, rows: u64) -> PortError {
        let (column, refusal, row) = match unreadable {
            Unreadable::Format(why) => {
                return PortError::new(ErrorKind::Corrupt, format!("read table {}: {why}", self.table));
            }
            Unreadable::Value { column, refusal, row } => (column, refusal, row),
        };
        let (kind, why) = match refusal {
            Refusal::Infinity => (
                ErrorKind::Unsupported,
                "is infinite, which other databases cannot hold",
            ),
            Refusal::NotANumber => (
                ErrorKind::Unsupported,
                "is an exact number's NaN, which other databases cannot hold",
            ),
            Refusal::OutOfRange => (
                ErrorKind::Unsupported,
                "is a time later than other databases can hold",
            ),
            Refusal::InvalidText => (ErrorKind::Corrupt, "is not valid UTF-8"),
            Refusal::Malformed => (ErrorKind::Corrupt, "is not in the form of its type"),
        };
        let named_column = self.columns.get(column).map_or("", String::as_str);
        PortError::new(
            kind,
            format!(
                "table {}, column {named_column}, {}: the value {why}; correct it or leave the table out, then retry",
                self.table,
                self.row(&row, rows)
            ),
        )
    }

    /// A row by its key, or by its place where it has none that may be shown.
    fn row(&self, row: &[u8], rows: u64) -> String {
        let parts: Option<Vec<String>> = self
            .key
            .iter()
            .map(|part| {
                let value = show(part.wire, value_of(row, part.column)?)?;
                Some(format!("{} = {value}", self.columns.get(part.column)?))
            })
            .collect();
        match parts {
            Some(parts) if !parts.is_empty() => format!("row {}", parts.join(", ")),
            Some(_) | None => format!("row number {} as read", rows + 1),
        }
    }
}

fn show(wire: Wire, value: &[u8]) -> Option<String> {
    let mut batch = RowBatch::new(1);
    push(wire, value, &mut batch, &mut String::new()).ok()?;
    batch.end_row();
    Some(match batch.cell(0, 0) {
        Cell::Int(number) => number.to_string(),
        Cell::Decimal(number) => number.to_owned(),
        Cell::Text(text) => format!("{:?}", text.chars().take(KEY_CHARS_MAX).collect::<String>()),
        Cell::Boolean(value) => value.to_string(),
        Cell::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).to_string(),
        Cell::Null
        | Cell::Real(_)
        | Cell::Double(_)
        | Cell::Bytes(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::TimeTz(..)
        | Cell::Timestamp(_)
        | Cell::TimestampTz(..) => return None,
    })
}
