//! Cells to H2 values of a column's type, as H2 itself would convert them, except that nothing is ever changed
//! on the way: what does not fit is refused.

use std::borrow::Cow;

use metaferry_domain::row_batch::Cell;
use metaferry_h2_file::{DecFloat, Decimal, SqlType, Text, TimeOfDay, Unscaled, Value};

use super::types::spelled;
use super::{calendar, decimal};

/// The value of a cell in a column of that type. `Err` says what does not fit, to follow "column …: ".
#[inline]
pub(super) fn value<'a>(cell: Cell<'a>, sql_type: &SqlType) -> Result<Value<'a>, String> {
    Ok(match (sql_type, cell) {
        (_, Cell::Null) => Value::Null,
        (SqlType::Integer, Cell::Int(number)) => Value::Integer(whole(number, "INTEGER")?),
        (SqlType::BigInt, Cell::Int(number)) => Value::BigInt(number),
        (SqlType::Varchar(_), Cell::Text(text)) => Value::Varchar(Text::Utf8(Cow::Borrowed(text))),
        (SqlType::Clob, Cell::Text(text)) => Value::Clob(Text::Utf8(Cow::Borrowed(text))),
        (SqlType::Boolean, Cell::Boolean(value)) => Value::Boolean(value),
        (SqlType::TimestampTz(_), Cell::TimestampTz(instant, seconds_east)) => {
            let local = calendar::later(instant, i64::from(seconds_east)).and_then(calendar::moment_of);
            let (date, time) = local.ok_or("a moment beyond H2's calendar")?;
            Value::TimestampTz(date, time, seconds_east)
        }
        (SqlType::Timestamp(_), Cell::Timestamp(instant)) => {
            let (date, time) = calendar::moment_of(instant).ok_or("a moment beyond H2's calendar")?;
            Value::Timestamp(date, time)
        }
        (SqlType::Char(_), Cell::Text(text)) => Value::Char(Text::Utf8(Cow::Borrowed(text))),
        (SqlType::VarcharIgnoreCase(_), Cell::Text(text)) => {
            Value::VarcharIgnoreCase(Text::Utf8(Cow::Borrowed(text)))
        }
        (SqlType::TinyInt, Cell::Int(number)) => Value::TinyInt(whole(number, "TINYINT")?),
        (SqlType::SmallInt, Cell::Int(number)) => Value::SmallInt(whole(number, "SMALLINT")?),
        (SqlType::Numeric { scale, .. }, Cell::Decimal(text)) => {
            Value::Numeric(decimal::parse(text, Some(*scale))?)
        }
        (SqlType::Numeric { scale: 0, .. }, Cell::Int(number)) => Value::Numeric(Decimal {
            scale: 0,
            unscaled: Unscaled::Small(number),
        }),
        (SqlType::DecFloat(_), Cell::Decimal(text)) => Value::DecFloat(match text {
            "NaN" => DecFloat::NaN,
            "Infinity" => DecFloat::PositiveInfinity,
            "-Infinity" => DecFloat::NegativeInfinity,
            text => DecFloat::Finite(decimal::parse(text, None)?),
        }),
        (SqlType::DecFloat(_), Cell::Int(number)) => Value::DecFloat(DecFloat::Finite(Decimal {
            scale: 0,
            unscaled: Unscaled::Small(number),
        })),
        // H2 stores no negative zero.
        (SqlType::Real, Cell::Real(number)) => Value::Real(if number == 0.0 { 0.0 } else { number }),
        (SqlType::Double, Cell::Double(number)) => Value::Double(if number == 0.0 { 0.0 } else { number }),
        (SqlType::Double, Cell::Real(number)) => Value::Double(f64::from(number)),
        (SqlType::Json, Cell::Text(text)) => Value::Json(Cow::Borrowed(text.as_bytes())),
        (SqlType::Binary(length), Cell::Bytes(bytes)) if bytes.len() != *length as usize => {
            // H2 would append zeros, and the value would be another.
            return Err(format!(
                "{} bytes, where BINARY({length}) takes exactly {length}",
                bytes.len()
            ));
        }
        (SqlType::Binary(_), Cell::Bytes(bytes)) => Value::Binary(Cow::Borrowed(bytes)),
        (SqlType::Varbinary(_), Cell::Bytes(bytes)) => Value::Varbinary(Cow::Borrowed(bytes)),
        (SqlType::Blob, Cell::Bytes(bytes)) => Value::Blob(Cow::Borrowed(bytes)),
        (SqlType::Uuid, Cell::Uuid(bytes)) => Value::Uuid(bytes),
        (SqlType::Date, Cell::Date(days)) => {
            Value::Date(calendar::date_of(days).ok_or("a day beyond H2's calendar")?)
        }
        (SqlType::Time(_), Cell::Time(time)) => Value::Time(TimeOfDay { nanos: time.nanos }),
        (SqlType::TimeTz(_), Cell::TimeTz(time, seconds_east)) => {
            Value::TimeTz(TimeOfDay { nanos: time.nanos }, seconds_east)
        }
        (sql_type, cell) => return Err(format!("{} in a {} column", family(cell), spelled(sql_type))),
    })
}

fn whole<T: TryFrom<i64>>(number: i64, name: &str) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("{number} is no {name}"))
}

/// What a cell is, without its contents: messages go to logs, and rows hold secrets.
fn family(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "NULL",
        Cell::Boolean(_) => "a boolean",
        Cell::Int(_) => "a whole number",
        Cell::Real(_) | Cell::Double(_) => "a floating-point number",
        Cell::Decimal(_) => "an exact number",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "bytes",
        Cell::Date(_) => "a day",
        Cell::Time(_) | Cell::TimeTz(..) => "a time of day",
        Cell::Timestamp(_) | Cell::TimestampTz(..) => "a moment",
        Cell::Uuid(_) => "a UUID",
    }
}
