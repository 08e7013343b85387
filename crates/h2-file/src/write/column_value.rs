//! A value on its way into a column: does it fit what the column declares, and what does H2 make of it
//! (CHARACTER and BINARY are padded). The bytes of a value are described elsewhere.

use super::decimal::digits;
use super::encode::{length, string_data, unit, utf16_len};
use super::plan::ColumnPlan;
use super::value_encode::{self, LobStore, text_units};
use crate::definition::Nullability;
use crate::{Date, Decimal, SqlType, Text, TimeOfDay, Unscaled, Value, WriteError};

/// Why a value is not written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It does not fit.
    Unfit(String),
    /// Storing it failed.
    Failed(WriteError),
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

/// Checks `value` against its column and appends it.
pub(crate) fn append(
    out: &mut Vec<u8>,
    column: &ColumnPlan,
    value: &Value<'_>,
    lobs: &mut impl LobStore,
) -> Result<(), Refusal> {
    if matches!(value, Value::Null) && column.nullability == Nullability::NotNull {
        return Err(Refusal::Unfit("NULL in a NOT NULL column".to_owned()));
    }
    check(&column.sql_type, value).map_err(Refusal::Unfit)?;
    match (&column.sql_type, value) {
        (SqlType::Char(declared), Value::Char(text)) => padded_char(out, text, *declared as usize),
        (SqlType::Binary(declared), Value::Binary(bytes)) => {
            out.push(137);
            length(out, *declared as usize);
            out.extend_from_slice(bytes);
            out.extend(std::iter::repeat_n(0, *declared as usize - bytes.len()));
        }
        _ => value_encode::value(out, value, lobs)?,
    }
    Ok(())
}

fn padded_char(out: &mut Vec<u8>, text: &Text<'_>, declared: usize) {
    out.push(21);
    length(out, declared);
    let missing = match text {
        Text::Utf8(text) => {
            string_data(out, text);
            declared - utf16_len(text)
        }
        Text::Units(units) => {
            units.iter().for_each(|one| unit(out, *one));
            declared - units.len()
        }
    };
    out.extend(std::iter::repeat_n(b' ', missing));
}

#[inline]
fn check(sql_type: &SqlType, value: &Value<'_>) -> Result<(), String> {
    match (sql_type, value) {
        (_, Value::Null)
        | (SqlType::Boolean, Value::Boolean(_))
        | (SqlType::TinyInt, Value::TinyInt(_))
        | (SqlType::SmallInt, Value::SmallInt(_))
        | (SqlType::Integer, Value::Integer(_))
        | (SqlType::BigInt, Value::BigInt(_))
        | (SqlType::DecFloat(_), Value::DecFloat(_))
        | (SqlType::Real, Value::Real(_))
        | (SqlType::Double, Value::Double(_))
        | (SqlType::Clob, Value::Clob(_))
        | (SqlType::Blob, Value::Blob(_))
        | (SqlType::Json, Value::Json(_))
        | (SqlType::JavaObject, Value::JavaObject(_))
        | (SqlType::Geometry, Value::Geometry(_))
        | (SqlType::Uuid, Value::Uuid(_)) => Ok(()),
        (SqlType::Numeric { precision, scale }, Value::Numeric(decimal)) => {
            numeric(decimal, *precision, *scale)
        }
        (SqlType::Char(max), Value::Char(text))
        | (SqlType::Varchar(max), Value::Varchar(text))
        | (SqlType::VarcharIgnoreCase(max), Value::VarcharIgnoreCase(text)) => {
            // A text has no more units than bytes, so most need no counting.
            match text {
                Text::Utf8(text) if text.len() <= *max as usize => Ok(()),
                text => within("UTF-16 units", text_units(text), *max),
            }
        }
        (SqlType::Binary(max), Value::Binary(bytes)) | (SqlType::Varbinary(max), Value::Varbinary(bytes)) => {
            within("bytes", bytes.len(), *max)
        }
        (SqlType::Date, Value::Date(day)) => date(*day),
        (SqlType::Time(digits), Value::Time(time)) => time_of_day(*time, *digits),
        (SqlType::TimeTz(digits), Value::TimeTz(time, offset)) => {
            time_of_day(*time, *digits)?;
            zone(*offset)
        }
        (SqlType::Timestamp(digits), Value::Timestamp(day, time)) => {
            date(*day)?;
            time_of_day(*time, *digits)
        }
        (SqlType::TimestampTz(digits), Value::TimestampTz(day, time, offset)) => {
            date(*day)?;
            time_of_day(*time, *digits)?;
            zone(*offset)
        }
        (SqlType::Enum(labels), Value::Enum(ordinal)) => {
            let known = (1..=labels.len()).contains(&(*ordinal as usize));
            if known {
                Ok(())
            } else {
                Err(format!(
                    "ordinal {ordinal}, but there are {} labels",
                    labels.len()
                ))
            }
        }
        (SqlType::Interval(qualifier), Value::Interval(one)) => {
            let same = one.qualifier == *qualifier;
            if same {
                Ok(())
            } else {
                Err("an interval of another kind".to_owned())
            }
        }
        (SqlType::Array(element), Value::Array(elements)) => {
            elements.iter().try_for_each(|one| check(element, one))
        }
        (SqlType::Row(fields), Value::Row(values)) => {
            if fields.len() != values.len() {
                return Err(format!("{} fields instead of {}", values.len(), fields.len()));
            }
            fields
                .iter()
                .zip(values)
                .try_for_each(|((_, field), one)| check(field, one))
        }
        _ => Err(format!(
            "a value of another type than {}",
            super::sql_text::type_name(sql_type)
        )),
    }
}

fn within(unit: &str, length: usize, max: u32) -> Result<(), String> {
    if length <= max as usize {
        Ok(())
    } else {
        Err(format!("{length} {unit}, but at most {max} fit"))
    }
}

fn numeric(decimal: &Decimal<'_>, precision: u32, scale: u32) -> Result<(), String> {
    if i64::from(decimal.scale) != i64::from(scale) {
        return Err(format!("scale {}, but the column has {scale}", decimal.scale));
    }
    let fits = match &decimal.unscaled {
        Unscaled::Small(_) if precision >= 19 => true,
        Unscaled::Small(number) => number.unsigned_abs() < 10_u64.pow(precision),
        // A byte is about 2.4 digits; only numbers near the limit are worth counting.
        Unscaled::Wide(bytes) if bytes.len() * 5 / 2 < precision as usize => true,
        wide @ Unscaled::Wide(_) => digits(wide).1.len() <= precision as usize,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("more than {precision} digits"))
    }
}

fn date(day: Date) -> Result<(), String> {
    let fits = (-1_000_000_000..=1_000_000_000).contains(&day.year)
        && (1..=12).contains(&day.month)
        && (1..=days_of(day)).contains(&day.day);
    if fits {
        Ok(())
    } else {
        Err(format!("no such day: {}-{}-{}", day.year, day.month, day.day))
    }
}

/// Days of the month in the proleptic Gregorian calendar.
fn days_of(day: Date) -> u8 {
    let leap = day.year % 4 == 0 && (day.year % 100 != 0 || day.year % 400 == 0);
    match day.month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn time_of_day(time: TimeOfDay, digits: u8) -> Result<(), String> {
    if time.nanos >= 86_400_000_000_000 {
        return Err(format!(
            "{time} is no time of day for H2, whose last is 23:59:59.999999999; correct it or leave the table out"
        ));
    }
    let unit = 10_u64.pow(9 - u32::from(digits.min(9)));
    if time.nanos.is_multiple_of(unit) {
        Ok(())
    } else {
        Err(format!(
            "{time} has more than {digits} fraction digits; round it first"
        ))
    }
}

fn zone(offset_seconds: i32) -> Result<(), String> {
    if offset_seconds.abs() <= 18 * 3600 {
        Ok(())
    } else {
        Err(format!("offset {offset_seconds} s, but at most 18 hours fit"))
    }
}
