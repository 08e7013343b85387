//! One value of a sample row, owned, and as a cell.

use metaferry_domain::row_batch::{Cell, Instant};

/// A value of a row that was just made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Int(i64),
    Double(f64),
    /// Plain digits, as [`Cell::Decimal`] wants them.
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970 in UTC.
    Instant(i64),
    /// The same without a zone.
    Wall(i64),
}

impl Value {
    pub(crate) fn cell(&self) -> Cell<'_> {
        let at = |micros| Instant { micros, nanos: 0 };
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Double(value) => Cell::Double(*value),
            Self::Decimal(digits) => Cell::Decimal(digits),
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
            Self::Instant(micros) => Cell::TimestampTz(at(*micros), 0),
            Self::Wall(micros) => Cell::Timestamp(at(*micros)),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).expect("sample numbers are far below 2^63"))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row, its values left to right.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::value::Value::from($value)),*] };
}
pub(crate) use row;
