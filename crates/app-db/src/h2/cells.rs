//! H2 values to cells.

use metaferry_domain::row_batch::{Cell, RowBatch, TimeOfDay};
use metaferry_h2_file::{DecFloat, SqlType, Text, Value};

use super::types::spelled;
use super::{calendar, decimal};

/// Appends a value of a column of that type. `Err` says what no cell can hold, to follow "column …: ".
pub(super) fn push(
    batch: &mut RowBatch,
    value: &Value<'_>,
    sql_type: &SqlType,
    scratch: &mut String,
) -> Result<(), String> {
    let beyond = || "a moment more than 292,000 years from 1970".to_owned();
    match value {
        Value::Null => batch.push(Cell::Null),
        Value::Boolean(value) => batch.push(Cell::Boolean(*value)),
        Value::TinyInt(number) => batch.push(Cell::Int((*number).into())),
        Value::SmallInt(number) => batch.push(Cell::Int((*number).into())),
        Value::Integer(number) => batch.push(Cell::Int((*number).into())),
        Value::BigInt(number) => batch.push(Cell::Int(*number)),
        Value::Numeric(number) | Value::DecFloat(DecFloat::Finite(number)) => {
            scratch.clear();
            decimal::print(number, scratch);
            batch.push(Cell::Decimal(scratch));
        }
        Value::DecFloat(DecFloat::NaN) => batch.push(Cell::Decimal("NaN")),
        Value::DecFloat(DecFloat::PositiveInfinity) => batch.push(Cell::Decimal("Infinity")),
        Value::DecFloat(DecFloat::NegativeInfinity) => batch.push(Cell::Decimal("-Infinity")),
        Value::Real(number) => batch.push(Cell::Real(*number)),
        Value::Double(number) => batch.push(Cell::Double(*number)),
        Value::Char(text) => batch.push(Cell::Text(utf8(text)?.trim_end_matches(' '))),
        Value::Varchar(text) | Value::VarcharIgnoreCase(text) | Value::Clob(text) => {
            batch.push(Cell::Text(utf8(text)?));
        }
        Value::Json(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => batch.push(Cell::Text(text)),
            Err(_) => return Err("JSON that is not UTF-8".to_owned()),
        },
        Value::Binary(bytes)
        | Value::Varbinary(bytes)
        | Value::Blob(bytes)
        | Value::JavaObject(bytes)
        | Value::Geometry(bytes) => batch.push(Cell::Bytes(bytes)),
        Value::Uuid(bytes) => batch.push(Cell::Uuid(*bytes)),
        Value::Date(date) => batch.push(Cell::Date(calendar::days_of(*date))),
        Value::Time(time) => batch.push(Cell::Time(TimeOfDay { nanos: time.nanos })),
        Value::TimeTz(time, seconds_east) => {
            batch.push(Cell::TimeTz(TimeOfDay { nanos: time.nanos }, *seconds_east));
        }
        Value::Timestamp(date, time) => {
            batch.push(Cell::Timestamp(
                calendar::instant_of(*date, *time).ok_or_else(beyond)?,
            ));
        }
        Value::TimestampTz(date, time, seconds_east) => {
            let local = calendar::instant_of(*date, *time).ok_or_else(beyond)?;
            let instant = calendar::later(local, -i64::from(*seconds_east)).ok_or_else(beyond)?;
            batch.push(Cell::TimestampTz(instant, *seconds_east));
        }
        Value::Enum(ordinal) => match label(sql_type, *ordinal) {
            Some(label) => batch.push(Cell::Text(label)),
            None => return Err(format!("ordinal {ordinal} of an ENUM with fewer labels")),
        },
        Value::Array(elements) => {
            let text = array(elements, sql_type).ok_or_else(|| not_carried(sql_type))?;
            batch.push(Cell::Text(&text));
        }
        Value::Interval(_) | Value::Row(_) => return Err(not_carried(sql_type)),
    }
    Ok(())
}

fn not_carried(sql_type: &SqlType) -> String {
    format!(
        "{} values are not carried yet; leave the table out",
        spelled(sql_type)
    )
}

/// An array as H2 writes it in text, `[1, 2]`; `None` for elements that have no text here.
fn array(elements: &[Value<'_>], sql_type: &SqlType) -> Option<String> {
    let element_type = match sql_type {
        SqlType::Array(element) => &**element,
        _ => return None,
    };
    let mut text = String::from("[");
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        match element {
            Value::Null => text.push_str("null"),
            Value::Boolean(value) => text.push_str(if *value { "TRUE" } else { "FALSE" }),
            Value::TinyInt(number) => text.push_str(&number.to_string()),
            Value::SmallInt(number) => text.push_str(&number.to_string()),
            Value::Integer(number) => text.push_str(&number.to_string()),
            Value::BigInt(number) => text.push_str(&number.to_string()),
            Value::Real(number) => text.push_str(&number.to_string()),
            Value::Double(number) => text.push_str(&number.to_string()),
            Value::Numeric(number) | Value::DecFloat(DecFloat::Finite(number)) => {
                decimal::print(number, &mut text);
            }
            Value::Char(word) | Value::Varchar(word) | Value::VarcharIgnoreCase(word) | Value::Clob(word) => {
                text.push_str(utf8(word).ok()?);
            }
            Value::Uuid(bytes) => text.push_str(&uuid::Uuid::from_bytes(*bytes).to_string()),
            Value::Array(elements) => text.push_str(&array(elements, element_type)?),
            _ => return None,
        }
    }
    text.push(']');
    Some(text)
}

fn utf8<'v>(text: &'v Text<'_>) -> Result<&'v str, String> {
    match text {
        Text::Utf8(text) => Ok(text),
        Text::Units(_) => Err("text with half a surrogate pair, which no other database holds".to_owned()),
    }
}

/// Labels count from 1.
fn label(sql_type: &SqlType, ordinal: u32) -> Option<&str> {
    match sql_type {
        SqlType::Enum(labels) => labels.get((ordinal as usize).checked_sub(1)?).map(String::as_str),
        _ => None,
    }
}
