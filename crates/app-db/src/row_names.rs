//! What a value that cannot be carried is called: table, column and the row's key.

use metaferry_domain::row_batch::Cell;
use metaferry_domain::schema::Table;
use metaferry_domain::{ErrorKind, PortError};

/// Tables whose keys are credentials: never shown.
const SECRET_KEYS: [&str; 1] = ["core_session"];
/// Characters of a text key that are shown.
const KEY_CHARS_MAX: usize = 60;

/// Why a value cannot be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Infinity,
    NotANumber,
    OutOfRange,
    InvalidText,
    /// Not the bytes that the type's binary form has.
    Malformed,
    /// A day or month of 0, which MySQL may hold.
    ZeroDate,
    /// A time of a day that has more than 24 hours, or a negative one.
    NoTimeOfDay,
    /// Neither 0 nor 1 where a boolean is meant.
    NotBoolean,
}

impl Refusal {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Infinity
            | Self::NotANumber
            | Self::OutOfRange
            | Self::ZeroDate
            | Self::NoTimeOfDay
            | Self::NotBoolean => ErrorKind::Unsupported,
            Self::InvalidText | Self::Malformed => ErrorKind::Corrupt,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Infinity => "is infinite, which other databases cannot hold",
            Self::NotANumber => "is an exact number's NaN, which other databases cannot hold",
            Self::OutOfRange => "is a time later than other databases can hold",
            Self::InvalidText => "is not valid UTF-8",
            Self::Malformed => "is not in the form of its type",
            Self::ZeroDate => "has a day or month of 0, which other databases cannot hold",
            Self::NoTimeOfDay => "is not within the 24 hours of a day, which other databases cannot hold",
            Self::NotBoolean => "is neither 0 nor 1, and its type counts as a boolean",
        }
    }
}

/// Names of a table's columns, in the order of the cells.
#[derive(Debug)]
pub(crate) struct RowNames {
    table: String,
    columns: Vec<String>,
    /// Cells of the primary key.
    key: Vec<usize>,
}

/// Are the keys of that table, in any case, never to be shown?
pub(crate) fn is_secret(table: &str) -> bool {
    SECRET_KEYS.contains(&table.to_lowercase().as_str())
}

impl RowNames {
    /// For rows of these columns of the table.
    pub(crate) fn new(table: &Table, columns: &[usize]) -> Self {
        let names: Vec<String> = columns
            .iter()
            .filter_map(|&at| table.columns.get(at))
            .map(|column| column.name.to_string())
            .collect();
        let key_columns = match &table.primary_key {
            Some(key) if !SECRET_KEYS.contains(&table.name.key().as_str()) => &key.columns[..],
            Some(_) | None => &[],
        };
        let key: Option<Vec<usize>> = key_columns
            .iter()
            .map(|name| names.iter().position(|column| column == name.as_str()))
            .collect();
        Self {
            table: table.name.to_string(),
            columns: names,
            key: key.unwrap_or_default(),
        }
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// The error for a value that cannot be carried, after `rows` whole rows. `shown` gives a cell of the key in words.
    pub(crate) fn refused(
        &self,
        column: usize,
        refusal: Refusal,
        rows: u64,
        shown: impl Fn(usize) -> Option<String>,
    ) -> PortError {
        let named_column = self.columns.get(column).map_or("", String::as_str);
        PortError::new(
            refusal.kind(),
            format!(
                "table {}, column {named_column}, {}: the value {}; correct it or leave the table out, then retry",
                self.table,
                self.row(rows, shown),
                refusal.why()
            ),
        )
    }

    /// The error of a reader that nobody listens to any more.
    pub(crate) fn abandoned(&self) -> PortError {
        PortError::new(
            ErrorKind::Cancelled,
            format!("table {} is not read any further", self.table),
        )
    }

    /// A row by its key, or by its place where it has none that may be shown.
    fn row(&self, rows: u64, shown: impl Fn(usize) -> Option<String>) -> String {
        let parts: Option<Vec<String>> = self
            .key
            .iter()
            .map(|&cell| Some(format!("{} = {}", self.columns.get(cell)?, shown(cell)?)))
            .collect();
        match parts {
            Some(parts) if !parts.is_empty() => format!("row {}", parts.join(", ")),
            Some(_) | None => format!("row number {} as read", rows + 1),
        }
    }
}

/// A key's cell in words, if it is of a kind that keys are of.
pub(crate) fn show(cell: Cell<'_>) -> Option<String> {
    Some(match cell {
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
