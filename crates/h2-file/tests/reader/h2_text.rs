//! H2's text form of values, written anew for the comparison with what H2 printed.

use metaferry_h2_file::{Date, DecFloat, Decimal, Interval, SqlType, Text, TimeOfDay, Unscaled, Value};

/// What `ResultSet.getString` gives. `None` for values that the fixtures describe otherwise (binary, floats).
pub(crate) fn text(value: &Value<'_>, sql_type: &SqlType) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => value.to_string().to_uppercase(),
        Value::TinyInt(value) => value.to_string(),
        Value::SmallInt(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::BigInt(value) => value.to_string(),
        Value::Numeric(value) => plain_number(value),
        Value::DecFloat(DecFloat::Finite(value)) => scientific_number(value),
        Value::DecFloat(DecFloat::NaN) => "NaN".to_owned(),
        Value::DecFloat(DecFloat::PositiveInfinity) => "Infinity".to_owned(),
        Value::DecFloat(DecFloat::NegativeInfinity) => "-Infinity".to_owned(),
        Value::Char(text) | Value::Varchar(text) | Value::VarcharIgnoreCase(text) | Value::Clob(text) => {
            match text {
                Text::Utf8(text) => text.to_string(),
                Text::Units(units) => String::from_utf16_lossy(units),
            }
        }
        Value::Json(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Value::Uuid(bytes) => {
            let hex = hex::encode(bytes);
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
        }
        Value::Date(value) => date(*value),
        Value::Time(value) => time(*value),
        Value::TimeTz(value, offset) => format!("{}{}", time(*value), zone(*offset)),
        Value::Timestamp(day, value) => format!("{} {}", date(*day), time(*value)),
        Value::TimestampTz(day, value, offset) => format!("{} {}{}", date(*day), time(*value), zone(*offset)),
        Value::Enum(ordinal) => {
            let SqlType::Enum(labels) = sql_type else {
                panic!("ENUM value in a column of {sql_type:?}")
            };
            labels[*ordinal as usize - 1].clone()
        }
        Value::Interval(value) => interval(*value),
        Value::Array(values) => {
            let SqlType::Array(element) = sql_type else {
                panic!("ARRAY value in a column of {sql_type:?}")
            };
            format!(
                "[{}]",
                values
                    .iter()
                    .map(|value| text(value, element))
                    .collect::<Option<Vec<_>>>()?
                    .join(", ")
            )
        }
        Value::Row(values) => {
            let SqlType::Row(fields) = sql_type else {
                panic!("ROW value in a column of {sql_type:?}")
            };
            let values = values
                .iter()
                .zip(fields)
                .map(|(value, (_, field))| text(value, field));
            format!("ROW ({})", values.collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Real(_)
        | Value::Double(_)
        | Value::Binary(_)
        | Value::Varbinary(_)
        | Value::Blob(_)
        | Value::JavaObject(_)
        | Value::Geometry(_) => return None,
    })
}

/// Sign and decimal digits.
fn digits(unscaled: &Unscaled<'_>) -> (bool, String) {
    let bytes = match unscaled {
        Unscaled::Small(value) => return (*value < 0, value.unsigned_abs().to_string()),
        Unscaled::Wide(bytes) => bytes,
    };
    let negative = bytes[0] >= 0x80;
    let mut magnitude: Vec<u8> = bytes
        .iter()
        .map(|byte| if negative { !byte } else { *byte })
        .collect();
    if negative {
        for byte in magnitude.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u32;
        for byte in &mut magnitude {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 10).unwrap();
            rest = value % 10;
        }
        digits.push(char::from_digit(rest, 10).unwrap());
    }
    (negative, digits.into_iter().rev().collect())
}

fn plain_number(value: &Decimal<'_>) -> String {
    let (negative, mut digits) = digits(&value.unscaled);
    let scale = usize::try_from(value.scale).unwrap();
    if scale > 0 {
        digits = format!("{digits:0>width$}", width = scale + 1);
        digits.insert(digits.len() - scale, '.');
    }
    format!("{}{digits}", if negative { "-" } else { "" })
}

/// As `BigDecimal.toString`.
fn scientific_number(value: &Decimal<'_>) -> String {
    let (negative, digits) = digits(&value.unscaled);
    let exponent = -i64::from(value.scale) + i64::try_from(digits.len()).unwrap() - 1;
    if value.scale >= 0 && exponent >= -6 {
        return plain_number(value);
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!(
        "{}{first}{point}{rest}E{exponent:+}",
        if negative { "-" } else { "" }
    )
}

fn date(value: Date) -> String {
    let sign = if value.year < 0 { "-" } else { "" };
    format!(
        "{sign}{:04}-{:02}-{:02}",
        value.year.unsigned_abs(),
        value.month,
        value.day
    )
}

fn time(value: TimeOfDay) -> String {
    let seconds = value.nanos / 1_000_000_000;
    let fraction = fraction(value.nanos % 1_000_000_000);
    format!(
        "{:02}:{:02}:{:02}{fraction}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn fraction(nanos: u64) -> String {
    if nanos == 0 {
        String::new()
    } else {
        format!(".{nanos:09}").trim_end_matches('0').to_owned()
    }
}

fn zone(offset: i32) -> String {
    let seconds = offset.unsigned_abs();
    let mut text = format!("{}{:02}", if offset < 0 { '-' } else { '+' }, seconds / 3600);
    if !seconds.is_multiple_of(3600) {
        text += &format!(":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        text += &format!(":{:02}", seconds % 60);
    }
    text
}

fn interval(value: Interval) -> String {
    let Interval {
        qualifier,
        negative,
        leading,
        remaining,
    } = value;
    const SECOND: u64 = 1_000_000_000;
    let (fields, name) = match qualifier {
        0 => (format!("{leading}"), "YEAR"),
        1 => (format!("{leading}"), "MONTH"),
        2 => (format!("{leading}"), "DAY"),
        3 => (format!("{leading}"), "HOUR"),
        4 => (format!("{leading}"), "MINUTE"),
        5 => (format!("{leading}{}", fraction(remaining)), "SECOND"),
        6 => (format!("{leading}-{remaining}"), "YEAR TO MONTH"),
        7 => (format!("{leading} {remaining:02}"), "DAY TO HOUR"),
        8 => (
            format!("{leading} {:02}:{:02}", remaining / 60, remaining % 60),
            "DAY TO MINUTE",
        ),
        9 => (
            format!("{leading} {}", time(TimeOfDay { nanos: remaining })),
            "DAY TO SECOND",
        ),
        10 => (format!("{leading}:{remaining:02}"), "HOUR TO MINUTE"),
        11 => {
            let (minutes, seconds) = (remaining / (60 * SECOND), remaining / SECOND % 60);
            (
                format!(
                    "{leading}:{minutes:02}:{seconds:02}{}",
                    fraction(remaining % SECOND)
                ),
                "HOUR TO SECOND",
            )
        }
        _ => (
            format!(
                "{leading}:{:02}{}",
                remaining / SECOND,
                fraction(remaining % SECOND)
            ),
            "MINUTE TO SECOND",
        ),
    };
    format!("INTERVAL '{}{fields}' {name}", if negative { "-" } else { "" })
}
