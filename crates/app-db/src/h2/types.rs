//! Types: the words that all databases share, and H2's. Values are `write`'s and `read`'s business.

use metaferry_domain::schema::{Column, DataType, DecimalBounds, Table};
use metaferry_h2_file::SqlType;

/// The longest CHARACTER VARYING, `VARCHAR_IGNORECASE` and BINARY VARYING that H2 declares; also what it means by
/// one without a length.
pub(super) const LENGTH_MAX: u32 = 1_048_576;

/// The precision of DECFLOAT without one, H2's highest.
const DECFLOAT_DIGITS: u32 = 100_000;

/// Digits of a second that Postgres keeps unless told otherwise.
const FRACTION_DIGITS: u8 = 6;
/// The most that H2 keeps.
const FRACTION_DIGITS_MAX: u8 = 9;

/// Is a column part of a key or a unique index? H2 indexes no large objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Part of a primary, unique or foreign key or a unique index.
    Keyed,
    /// Not so.
    Plain,
}

/// A type for H2, and what a person should know about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct H2Type {
    pub(super) sql_type: SqlType,
    pub(super) note: Option<String>,
}

/// Columns of Metabase that have a narrower type on H2 than the shared word says: the e-mail address and the
/// 256-bit hashes of queries (reference: schema and types).
fn metabase_type(table: &str, column: &str, data_type: &DataType) -> Option<SqlType> {
    match (table, column, data_type) {
        ("core_user", "email", DataType::VarcharIgnoreCase(None)) => Some(SqlType::VarcharIgnoreCase(254)),
        ("query", "query_hash", DataType::Blob)
        | ("query_cache", "query_hash", DataType::Blob)
        | ("query_execution", "hash", DataType::Blob) => Some(SqlType::Binary(32)),
        _ => None,
    }
}

/// The H2 type of a column.
pub(super) fn to_h2(table: &Table, column: &Column, usage: Usage) -> H2Type {
    if let Some(sql_type) = metabase_type(&table.name.key(), &column.name.key(), &column.data_type) {
        return H2Type { sql_type, note: None };
    }
    let exact = |sql_type| H2Type { sql_type, note: None };
    let noted = |sql_type, note: String| {
        let note = format!("table {}, column {}: {note}", table.name.key(), column.name.key());
        H2Type {
            sql_type,
            note: Some(note),
        }
    };
    let text = || match usage {
        Usage::Plain => exact(SqlType::Clob),
        Usage::Keyed => noted(
            SqlType::Varchar(LENGTH_MAX),
            format!(
                "is part of a key, so it becomes CHARACTER VARYING({LENGTH_MAX}): H2 indexes no longer text"
            ),
        ),
    };
    match &column.data_type {
        DataType::Boolean => exact(SqlType::Boolean),
        DataType::SmallInt => exact(SqlType::SmallInt),
        DataType::Integer => exact(SqlType::Integer),
        DataType::BigInt => exact(SqlType::BigInt),
        DataType::Real => exact(SqlType::Real),
        DataType::Double => exact(SqlType::Double),
        DataType::Decimal(Some(DecimalBounds { precision, scale })) => {
            // A scale above the precision is allowed in Postgres; H2 wants room for the leading zeros too.
            exact(SqlType::Numeric {
                precision: *precision.max(scale),
                scale: *scale,
            })
        }
        DataType::Decimal(None) => exact(SqlType::DecFloat(DECFLOAT_DIGITS)),
        DataType::Char(length) if *length <= LENGTH_MAX => exact(SqlType::Char(*length)),
        DataType::Varchar(Some(length)) if *length <= LENGTH_MAX => exact(SqlType::Varchar(*length)),
        DataType::VarcharIgnoreCase(Some(length)) if *length <= LENGTH_MAX => {
            exact(SqlType::VarcharIgnoreCase(*length))
        }
        DataType::VarcharIgnoreCase(_) => noted(
            SqlType::VarcharIgnoreCase(LENGTH_MAX),
            format!("{} becomes VARCHAR_IGNORECASE({LENGTH_MAX})", column.native_type),
        ),
        DataType::Text if column.native_type == "xml" => noted(
            text().sql_type,
            format!(
                "{} travels as text, in a CHARACTER LARGE OBJECT",
                column.native_type
            ),
        ),
        DataType::Char(_) | DataType::Varchar(_) | DataType::Text => text(),
        DataType::Binary(length) if *length <= LENGTH_MAX => exact(SqlType::Binary(*length)),
        DataType::Binary(_) | DataType::Blob => match usage {
            Usage::Plain => exact(SqlType::Blob),
            Usage::Keyed => noted(
                SqlType::Varbinary(LENGTH_MAX),
                format!(
                    "is part of a key, so it becomes BINARY VARYING({LENGTH_MAX}): H2 indexes no large object"
                ),
            ),
        },
        DataType::Date => exact(SqlType::Date),
        DataType::Time => exact(SqlType::Time(fraction_digits(&column.native_type))),
        DataType::TimeTz => exact(SqlType::TimeTz(fraction_digits(&column.native_type))),
        DataType::Timestamp => exact(SqlType::Timestamp(fraction_digits(&column.native_type))),
        DataType::TimestampTz => exact(SqlType::TimestampTz(fraction_digits(&column.native_type))),
        DataType::Uuid => exact(SqlType::Uuid),
        DataType::Json | DataType::Other => {
            let sql_type = text().sql_type;
            let name = if sql_type == SqlType::Clob {
                "CHARACTER LARGE OBJECT"
            } else {
                "CHARACTER VARYING"
            };
            noted(
                sql_type,
                format!("{} travels as text, in a {name}", column.native_type),
            )
        }
    }
}

/// The digits of a second that a type declares in its first parentheses, as `timestamp(3) with time zone`.
fn fraction_digits(native_type: &str) -> u8 {
    let declared = native_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let declared = declared.and_then(|(digits, _)| digits.trim().parse::<u8>().ok());
    declared.unwrap_or(FRACTION_DIGITS).min(FRACTION_DIGITS_MAX)
}

/// The shared word for an H2 type.
pub(super) fn from_h2(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Boolean => DataType::Boolean,
        SqlType::TinyInt | SqlType::SmallInt => DataType::SmallInt,
        SqlType::Integer => DataType::Integer,
        SqlType::BigInt => DataType::BigInt,
        SqlType::Numeric { precision, scale } => DataType::Decimal(Some(DecimalBounds {
            precision: *precision,
            scale: *scale,
        })),
        SqlType::DecFloat(_) => DataType::Decimal(None),
        SqlType::Real => DataType::Real,
        SqlType::Double => DataType::Double,
        SqlType::Char(length) => DataType::Char(*length),
        SqlType::Varchar(length) => DataType::Varchar(Some(*length)),
        SqlType::VarcharIgnoreCase(length) => DataType::VarcharIgnoreCase(Some(*length)),
        SqlType::Clob => DataType::Text,
        SqlType::Binary(length) => DataType::Binary(*length),
        SqlType::Varbinary(_) | SqlType::Blob | SqlType::JavaObject | SqlType::Geometry => DataType::Blob,
        SqlType::Json => DataType::Json,
        SqlType::Uuid => DataType::Uuid,
        SqlType::Date => DataType::Date,
        SqlType::Time(_) => DataType::Time,
        SqlType::TimeTz(_) => DataType::TimeTz,
        SqlType::Timestamp(_) => DataType::Timestamp,
        SqlType::TimestampTz(_) => DataType::TimestampTz,
        SqlType::Enum(_) | SqlType::Interval(_) | SqlType::Array(_) | SqlType::Row(_) => DataType::Other,
    }
}

/// H2's spelling of a type, for messages.
pub(super) fn spelled(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Boolean => "BOOLEAN".to_owned(),
        SqlType::TinyInt => "TINYINT".to_owned(),
        SqlType::SmallInt => "SMALLINT".to_owned(),
        SqlType::Integer => "INTEGER".to_owned(),
        SqlType::BigInt => "BIGINT".to_owned(),
        SqlType::Numeric { precision, scale } => format!("NUMERIC({precision}, {scale})"),
        SqlType::DecFloat(digits) => format!("DECFLOAT({digits})"),
        SqlType::Real => "REAL".to_owned(),
        SqlType::Double => "DOUBLE PRECISION".to_owned(),
        SqlType::Char(length) => format!("CHARACTER({length})"),
        SqlType::Varchar(length) => format!("CHARACTER VARYING({length})"),
        SqlType::VarcharIgnoreCase(length) => format!("VARCHAR_IGNORECASE({length})"),
        SqlType::Clob => "CHARACTER LARGE OBJECT".to_owned(),
        SqlType::Binary(length) => format!("BINARY({length})"),
        SqlType::Varbinary(length) => format!("BINARY VARYING({length})"),
        SqlType::Blob => "BINARY LARGE OBJECT".to_owned(),
        SqlType::Json => "JSON".to_owned(),
        SqlType::JavaObject => "JAVA_OBJECT".to_owned(),
        SqlType::Geometry => "GEOMETRY".to_owned(),
        SqlType::Uuid => "UUID".to_owned(),
        SqlType::Date => "DATE".to_owned(),
        SqlType::Time(digits) => format!("TIME({digits})"),
        SqlType::TimeTz(digits) => format!("TIME({digits}) WITH TIME ZONE"),
        SqlType::Timestamp(digits) => format!("TIMESTAMP({digits})"),
        SqlType::TimestampTz(digits) => format!("TIMESTAMP({digits}) WITH TIME ZONE"),
        SqlType::Enum(labels) => format!("ENUM of {} labels", labels.len()),
        SqlType::Interval(_) => "INTERVAL".to_owned(),
        SqlType::Array(element) => format!("{} ARRAY", spelled(element)),
        SqlType::Row(_) => "ROW".to_owned(),
    }
}
