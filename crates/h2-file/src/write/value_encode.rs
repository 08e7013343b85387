//! Values as the file stores them: one tag byte, then the payload. Large objects that are stored outside of
//! their row go through [`LobStore`]; whether a value fits its column is checked before.
#![expect(
    clippy::cast_possible_truncation,
    reason = "tags are built from lengths and numbers that were compared with 16, 32 or a unit's maximum"
)]

use super::encode::{length, string, string_data, unit, utf16_len, varint, varlong};
use crate::{Date, DecFloat, Decimal, Interval, Text, TimeOfDay, Unscaled, Value, WriteError};

/// Where values go that are too large for their row.
pub(crate) trait LobStore {
    /// Stores `octets` and returns the id of the large object, or `None` if it belongs inside the row.
    /// `length` is in octets for a BLOB and in UTF-16 units for a CLOB.
    fn store(&mut self, octets: &[u8], length: usize) -> Result<Option<StoredLob>, WriteError>;
}

/// A large object outside of its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredLob {
    /// The table it belongs to.
    pub(crate) table_id: u32,
    /// Its id.
    pub(crate) lob_id: i64,
}

const STORED: u32 = (-3_i32).cast_unsigned();

/// Appends one value.
pub(crate) fn value(out: &mut Vec<u8>, one: &Value<'_>, lobs: &mut impl LobStore) -> Result<(), WriteError> {
    match one {
        Value::Null => out.push(0),
        Value::Boolean(truth) => out.push(64 + u8::from(*truth)),
        Value::TinyInt(_) | Value::SmallInt(_) | Value::Integer(_) | Value::BigInt(_) => {
            integer_value(out, one)
        }
        Value::Numeric(number) => numeric(out, number),
        Value::DecFloat(number) => dec_float(out, number),
        Value::Real(number) => real(out, *number),
        Value::Double(number) => double(out, *number),
        Value::Char(text) => {
            out.push(21);
            counted(out, text);
        }
        Value::Varchar(text) => varchar(out, text),
        Value::VarcharIgnoreCase(text) => {
            out.push(14);
            counted(out, text);
        }
        Value::Clob(text) => clob(out, text, lobs)?,
        Value::Binary(bytes) => tagged_bytes(out, 137, bytes),
        Value::Varbinary(bytes) => varbinary(out, bytes),
        Value::Blob(bytes) => blob(out, bytes, lobs)?,
        Value::Json(bytes) => tagged_bytes(out, 134, bytes),
        Value::JavaObject(bytes) => tagged_bytes(out, 19, bytes),
        Value::Geometry(bytes) => tagged_bytes(out, 22, bytes),
        Value::Uuid(bytes) => {
            out.push(20);
            out.extend_from_slice(bytes);
        }
        Value::Date(day) => {
            out.push(10);
            date(out, *day);
        }
        Value::Time(time) => {
            out.push(9);
            varlong(out, (time.nanos / 1_000_000).cast_signed());
            varint(out, (time.nanos % 1_000_000) as u32);
        }
        Value::TimeTz(time, offset) => {
            out.push(136);
            varint(out, (time.nanos / 1_000_000_000) as u32);
            varint(out, (time.nanos % 1_000_000_000) as u32);
            zone(out, *offset);
        }
        Value::Timestamp(day, time) => {
            out.push(11);
            date_and_time(out, *day, *time);
        }
        Value::TimestampTz(day, time, offset) => {
            out.push(135);
            date_and_time(out, *day, *time);
            zone(out, *offset);
        }
        Value::Enum(ordinal) => {
            if *ordinal < 16 {
                out.push(32 + *ordinal as u8);
            } else {
                out.push(25);
                varint(out, *ordinal);
            }
        }
        Value::Interval(one) => interval(out, one),
        Value::Array(elements) => several(out, 17, elements, lobs)?,
        Value::Row(fields) => several(out, 27, fields, lobs)?,
    }
    Ok(())
}

/// Appends an integer; there is nothing to store elsewhere.
pub(crate) fn integer_value(out: &mut Vec<u8>, one: &Value<'_>) {
    match one {
        Value::TinyInt(number) => out.extend_from_slice(&[2, number.cast_unsigned()]),
        Value::SmallInt(number) => {
            out.push(3);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Integer(number) => integer(out, *number),
        Value::BigInt(number) => big_int(out, *number),
        _ => out.push(0),
    }
}

fn several(
    out: &mut Vec<u8>,
    tag: u8,
    elements: &[Value<'_>],
    lobs: &mut impl LobStore,
) -> Result<(), WriteError> {
    out.push(tag);
    length(out, elements.len());
    elements.iter().try_for_each(|one| value(out, one, lobs))
}

fn integer(out: &mut Vec<u8>, number: i32) {
    match number {
        0..16 => out.push(32 + number.unsigned_abs() as u8),
        16.. => {
            out.push(4);
            varint(out, number.unsigned_abs());
        }
        ..0 => {
            out.push(66);
            varint(out, number.unsigned_abs());
        }
    }
}

fn big_int(out: &mut Vec<u8>, number: i64) {
    match number {
        0..8 => out.push(48 + number.unsigned_abs() as u8),
        8.. => {
            out.push(5);
            varlong(out, number);
        }
        ..0 => {
            out.push(67);
            varlong(out, number.wrapping_neg());
        }
    }
}

fn numeric(out: &mut Vec<u8>, number: &Decimal<'_>) {
    let scale = number.scale.cast_unsigned();
    match &number.unscaled {
        Unscaled::Small(0) if scale == 0 => out.push(56),
        Unscaled::Small(1) if scale == 0 => out.push(57),
        Unscaled::Small(unscaled) if scale == 0 => {
            out.push(58);
            varlong(out, *unscaled);
        }
        Unscaled::Small(unscaled) => {
            out.push(59);
            varint(out, scale);
            varlong(out, *unscaled);
        }
        Unscaled::Wide(bytes) => {
            out.push(6);
            varint(out, scale);
            length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

fn dec_float(out: &mut Vec<u8>, number: &DecFloat<'_>) {
    out.push(138);
    let special = |out: &mut Vec<u8>, count: i32| {
        varint(out, 0);
        varint(out, count.cast_unsigned());
    };
    match number {
        DecFloat::Finite(decimal) => {
            varint(out, decimal.scale.cast_unsigned());
            match &decimal.unscaled {
                Unscaled::Small(unscaled) => {
                    let bytes = unscaled.to_be_bytes();
                    let minimal = minimal_two_complement(&bytes);
                    length(out, minimal.len());
                    out.extend_from_slice(minimal);
                }
                Unscaled::Wide(bytes) => {
                    length(out, bytes.len());
                    out.extend_from_slice(bytes);
                }
            }
        }
        DecFloat::NaN => special(out, -1),
        DecFloat::PositiveInfinity => special(out, -2),
        DecFloat::NegativeInfinity => special(out, -3),
    }
}

/// Drops the bytes of a two's complement number that only repeat its sign; one byte stays.
pub(crate) fn minimal_two_complement(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let repeats = matches!((first, second >> 7), (0, 0) | (0xFF, 1));
        if !repeats {
            break;
        }
        rest = &rest[1..];
    }
    rest
}

fn real(out: &mut Vec<u8>, number: f32) {
    if number == 0.0 {
        out.push(62); // -0.0 too: H2 normalises it.
    } else if number == 1.0 {
        out.push(63);
    } else {
        out.push(8);
        varint(out, canonical_f32(number).reverse_bits());
    }
}

fn double(out: &mut Vec<u8>, number: f64) {
    if number == 0.0 {
        out.push(60);
    } else if number == 1.0 {
        out.push(61);
    } else {
        out.push(7);
        varlong(out, canonical_f64(number).reverse_bits().cast_signed());
    }
}

/// The bits, with one bit pattern for every NaN, as Java has it.
fn canonical_f32(number: f32) -> u32 {
    if number.is_nan() {
        0x7FC0_0000
    } else {
        number.to_bits()
    }
}

fn canonical_f64(number: f64) -> u64 {
    if number.is_nan() {
        0x7FF8_0000_0000_0000
    } else {
        number.to_bits()
    }
}

fn counted(out: &mut Vec<u8>, text: &Text<'_>) {
    match text {
        Text::Utf8(text) => string(out, text),
        Text::Units(units) => {
            length(out, units.len());
            units.iter().for_each(|one| unit(out, *one));
        }
    }
}

fn varchar(out: &mut Vec<u8>, text: &Text<'_>) {
    let units = text_units(text);
    if units < 32 {
        out.push(68 + units as u8);
    } else {
        out.push(13);
        length(out, units);
    }
    match text {
        Text::Utf8(text) => string_data(out, text),
        Text::Units(units) => units.iter().for_each(|one| unit(out, *one)),
    }
}

/// The length of a text in UTF-16 units.
pub(crate) fn text_units(text: &Text<'_>) -> usize {
    match text {
        Text::Utf8(text) => utf16_len(text),
        Text::Units(units) => units.len(),
    }
}

fn tagged_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn varbinary(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 32 {
        out.push(100 + bytes.len() as u8);
        out.extend_from_slice(bytes);
    } else {
        tagged_bytes(out, 12, bytes);
    }
}

fn clob(out: &mut Vec<u8>, text: &Text<'_>, lobs: &mut impl LobStore) -> Result<(), WriteError> {
    match text {
        Text::Utf8(text) => clob_utf8(out, text, lobs),
        // A CLOB is UTF-8 in the file; Java writes `?` for a unit that UTF-8 cannot hold.
        Text::Units(units) => {
            let text: String = char::decode_utf16(units.iter().copied())
                .map(|one| one.unwrap_or('?'))
                .collect();
            clob_utf8(out, &text, lobs)
        }
    }
}

fn clob_utf8(out: &mut Vec<u8>, text: &str, lobs: &mut impl LobStore) -> Result<(), WriteError> {
    let units = utf16_len(text);
    out.push(16);
    match lobs.store(text.as_bytes(), units)? {
        None => {
            length(out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Some(lob) => stored(out, lob, text.len()),
    }
    varlong(out, units as i64);
    Ok(())
}

fn blob(out: &mut Vec<u8>, bytes: &[u8], lobs: &mut impl LobStore) -> Result<(), WriteError> {
    match lobs.store(bytes, bytes.len())? {
        None => tagged_bytes(out, 15, bytes),
        Some(lob) => {
            out.push(15);
            stored(out, lob, bytes.len());
        }
    }
    Ok(())
}

fn stored(out: &mut Vec<u8>, lob: StoredLob, octets: usize) {
    varint(out, STORED);
    varint(out, lob.table_id);
    varlong(out, lob.lob_id);
    varlong(out, octets as i64);
}

/// H2's number of a day: year, month and day in bit fields.
pub(crate) fn date_value(day: Date) -> i64 {
    i64::from(day.year) << 9 | i64::from(day.month) << 5 | i64::from(day.day)
}

fn date(out: &mut Vec<u8>, day: Date) {
    varlong(out, date_value(day));
}

fn date_and_time(out: &mut Vec<u8>, day: Date, time: TimeOfDay) {
    date(out, day);
    varlong(out, (time.nanos / 1_000_000).cast_signed());
    varint(out, (time.nanos % 1_000_000) as u32);
}

/// An offset in seconds: quarters of an hour in one byte where it is a whole number of them.
fn zone(out: &mut Vec<u8>, offset_seconds: i32) {
    if offset_seconds % 900 == 0 {
        out.push(((offset_seconds / 900) as i8).cast_unsigned());
    } else if offset_seconds > 0 {
        out.push(127);
        varint(out, offset_seconds.unsigned_abs());
    } else {
        out.push(128);
        varint(out, offset_seconds.unsigned_abs());
    }
}

fn interval(out: &mut Vec<u8>, one: &Interval) {
    out.push(26);
    out.push(if one.negative {
        !one.qualifier
    } else {
        one.qualifier
    });
    varlong(out, one.leading.cast_signed());
    if one.qualifier >= 5 {
        varlong(out, one.remaining.cast_signed());
    }
}
