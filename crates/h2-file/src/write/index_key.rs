//! Keys whose bytes compare as H2 compares the values, so that an index can be sorted without knowing types.
//! What the index map itself stores are the values' own encodings, not these.

use super::case_fold::fold;
use super::decimal::ordered_decimal;
use super::value_encode::{date_value, minimal_two_complement};
use crate::{Date, DecFloat, Decimal, Interval, Text, TimeOfDay, Unscaled, Value};

/// H2's sort type bits.
const DESCENDING: u8 = 1;
const NULLS_LAST: u8 = 4;

/// Appends the key of one column. NULL is placed by its own bits; DESC turns the value only.
pub(crate) fn column(out: &mut Vec<u8>, value: &Value<'_>, sort_type: u8) {
    if matches!(value, Value::Null) {
        // Without bits (a primary key) there are no NULLs.
        out.push(if sort_type & NULLS_LAST == 0 { 0 } else { 2 });
        return;
    }
    out.push(1);
    let start = out.len();
    ascending(out, value);
    if sort_type & DESCENDING != 0 {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

fn signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&(number.cast_unsigned() ^ 1 << 63).to_be_bytes());
}

fn ascending(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => {}
        Value::Boolean(truth) => out.push(u8::from(*truth)),
        Value::TinyInt(number) => out.push(number.cast_unsigned() ^ 0x80),
        Value::SmallInt(number) => out.extend_from_slice(&(number.cast_unsigned() ^ 0x8000).to_be_bytes()),
        Value::Integer(number) => out.extend_from_slice(&(number.cast_unsigned() ^ 1 << 31).to_be_bytes()),
        Value::BigInt(number) => signed(out, *number),
        // All values of a NUMERIC column have its scale, so the unscaled parts compare.
        Value::Numeric(Decimal { unscaled, .. }) => match unscaled {
            Unscaled::Small(number) => two_complement(out, minimal_two_complement(&number.to_be_bytes())),
            Unscaled::Wide(bytes) => two_complement(out, minimal_two_complement(bytes)),
        },
        Value::DecFloat(number) => match number {
            DecFloat::NegativeInfinity => out.push(0),
            DecFloat::Finite(decimal) => ordered_decimal(out, decimal),
            DecFloat::PositiveInfinity => out.push(4),
            DecFloat::NaN => out.push(5),
        },
        Value::Real(number) => ordered_f64(out, f64::from(*number)),
        Value::Double(number) => ordered_f64(out, *number),
        Value::Char(text) => char_text(out, text),
        Value::Varchar(text) | Value::Clob(text) => units(out, text),
        Value::VarcharIgnoreCase(text) => folded(out, text),
        // BINARY is padded with zero bytes to one length, given or not.
        Value::Binary(bytes) => {
            let length = bytes.iter().rposition(|one| *one != 0).map_or(0, |last| last + 1);
            delimited(out, &bytes[..length]);
        }
        Value::Varbinary(bytes)
        | Value::Blob(bytes)
        | Value::Json(bytes)
        | Value::JavaObject(bytes)
        | Value::Geometry(bytes) => delimited(out, bytes),
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
        Value::Date(day) => signed(out, date_value(*day)),
        Value::Time(time) => out.extend_from_slice(&time.nanos.to_be_bytes()),
        Value::TimeTz(time, offset) => {
            signed(out, time.nanos.cast_signed() - i64::from(*offset) * 1_000_000_000)
        }
        Value::Timestamp(day, time) => {
            signed(out, date_value(*day));
            out.extend_from_slice(&time.nanos.to_be_bytes());
        }
        Value::TimestampTz(day, time, offset) => instant(out, *day, *time, *offset),
        Value::Enum(ordinal) => out.extend_from_slice(&ordinal.to_be_bytes()),
        Value::Interval(one) => interval(out, one),
        Value::Array(elements) | Value::Row(elements) => {
            for element in elements {
                // More elements are greater than fewer; NULL is the lowest element.
                out.push(1);
                column(out, element, 0);
            }
            out.push(0);
        }
    }
}

/// Sign and length before the bytes of a minimal two's complement number.
fn two_complement(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX >> 1);
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let rank = if negative {
        (1_u32 << 31) - 1 - length
    } else {
        (1_u32 << 31) + length
    };
    out.extend_from_slice(&rank.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// NaN is the greatest; -0.0 is stored as 0.0.
fn ordered_f64(out: &mut Vec<u8>, number: f64) {
    let bits = if number.is_nan() {
        0x7FF8_0000_0000_0000
    } else if number == 0.0 {
        0
    } else {
        number.to_bits()
    };
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Bytes with an end that is lower than every byte: 0 and 1 are written as two bytes.
fn delimited(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if *byte < 2 {
            out.push(1);
            out.push(byte + 1);
        } else {
            out.push(*byte);
        }
    }
    out.push(0);
}

/// Text without its trailing spaces: CHAR compares so.
fn char_text(out: &mut Vec<u8>, text: &Text<'_>) {
    match text {
        Text::Utf8(text) => str_units(out, text.trim_end_matches(' ')),
        Text::Units(all) => {
            let length = all.iter().rposition(|one| *one != 32).map_or(0, |last| last + 1);
            raw_units(out, &all[..length]);
        }
    }
}

/// UTF-16 units in an order-preserving form: UTF-8, with surrogates as three bytes each.
fn units(out: &mut Vec<u8>, text: &Text<'_>) {
    match text {
        Text::Utf8(text) => str_units(out, text),
        Text::Units(units) => raw_units(out, units),
    }
}

fn str_units(out: &mut Vec<u8>, text: &str) {
    // UTF-8 compares as UTF-16 does, except for characters of four bytes.
    if text.bytes().all(|byte| (2..0xF0).contains(&byte)) {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    } else {
        text.encode_utf16()
            .for_each(|one| ordered_code(out, u32::from(one)));
        out.push(0);
    }
}

fn raw_units(out: &mut Vec<u8>, units: &[u16]) {
    units.iter().for_each(|one| ordered_code(out, u32::from(*one)));
    out.push(0);
}

/// Code points, upper-cased and then lower-cased one by one.
fn folded(out: &mut Vec<u8>, text: &Text<'_>) {
    match text {
        Text::Utf8(text) => text
            .chars()
            .for_each(|one| ordered_code(out, fold(u32::from(one)))),
        Text::Units(units) => {
            for one in char::decode_utf16(units.iter().copied()) {
                let code = one.map_or_else(|lone| u32::from(lone.unpaired_surrogate()), u32::from);
                ordered_code(out, fold(code));
            }
        }
    }
    out.push(0);
}

/// A code as UTF-8 would write it, surrogates included; 0 and 1 as two bytes, so that 0 can be the end.
fn ordered_code(out: &mut Vec<u8>, code: u32) {
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3F) as u8;
    match code {
        0..2 => out.extend_from_slice(&[1, (code & 1) as u8 + 1]),
        2..0x80 => out.push((code & 0x7F) as u8),
        0x80..0x800 => out.extend_from_slice(&[0xC0 | (code >> 6 & 0x1F) as u8, tail(0)]),
        0x800..0x1_0000 => out.extend_from_slice(&[0xE0 | (code >> 12 & 0xF) as u8, tail(6), tail(0)]),
        _ => out.extend_from_slice(&[0xF0 | (code >> 18 & 7) as u8, tail(12), tail(6), tail(0)]),
    }
}

/// The instant in UTC: day and nanoseconds.
fn instant(out: &mut Vec<u8>, day: Date, time: TimeOfDay, offset_seconds: i32) {
    const DAY: i64 = 86_400_000_000_000;
    let nanos = time.nanos.cast_signed() - i64::from(offset_seconds) * 1_000_000_000;
    signed(out, epoch_day(day) + nanos.div_euclid(DAY));
    signed(out, nanos.rem_euclid(DAY));
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
pub(crate) fn epoch_day(day: Date) -> i64 {
    // Years begin in March, so that the leap day is the last of a year.
    let (month, year) = (
        i64::from(day.month),
        i64::from(day.year) - i64::from(day.month <= 2),
    );
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day.day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn interval(out: &mut Vec<u8>, one: &Interval) {
    let negative = one.negative && (one.leading, one.remaining) != (0, 0);
    let turn = |number: u64| if negative { !number } else { number };
    out.push(u8::from(!negative));
    out.extend_from_slice(&turn(one.leading).to_be_bytes());
    out.extend_from_slice(&turn(one.remaining).to_be_bytes());
}

#[cfg(test)]
mod tests;
