//! Values from bytes: one tag byte, then what the tag says. Where the bytes of a stored large object are is
//! the business of `reader/lob.rs`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::SqlType;
use crate::bytes::Cursor;
use crate::error::Malformed;
use crate::file_header::Format;
use crate::value::{Date, DecFloat, Decimal, Interval, Text, TimeOfDay, Unscaled, Value};

type Result<T> = std::result::Result<T, Malformed>;

/// Arrays and rows within each other, at most.
const NESTING_MAX: u8 = 64;

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_DAY: u64 = 86_400 * NANOS_PER_SECOND;

/// What the bytes alone do not tell: small INTEGER and ENUM values share their tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The tag says everything.
    Plain,
    Enum,
    Array(Box<Shape>),
    Row(Vec<Shape>),
}

impl Shape {
    pub(crate) fn of(sql_type: &SqlType) -> Self {
        match sql_type {
            SqlType::Enum(_) => Self::Enum,
            SqlType::Array(element) => match Self::of(element) {
                Self::Plain => Self::Plain,
                shape => Self::Array(Box::new(shape)),
            },
            SqlType::Row(fields) => {
                let shapes: Vec<_> = fields.iter().map(|(_, field)| Self::of(field)).collect();
                if shapes.iter().all(|shape| *shape == Self::Plain) {
                    Self::Plain
                } else {
                    Self::Row(shapes)
                }
            }
            _ => Self::Plain,
        }
    }

    fn of_element(&self, index: usize) -> &Self {
        match self {
            Self::Plain | Self::Enum => &Self::Plain,
            Self::Array(element) => element,
            Self::Row(fields) => fields.get(index).unwrap_or(&Self::Plain),
        }
    }
}

/// A reference to a large object outside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LobReference {
    pub(crate) lob: i64,
    pub(crate) length: LobLength,
}

/// What a row says of the length of its large object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LobLength {
    Octets(u64),
    /// UTF-16 units: all that format 1 says of a CLOB.
    Units(u64),
}

/// A value, or where it is.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Value(Value<'a>),
    StoredBlob(LobReference),
    StoredClob(LobReference),
}

/// Reads one value of a column.
#[inline]
pub(crate) fn decode<'a>(cursor: &mut Cursor<'a>, shape: &Shape, format: Format) -> Result<Decoded<'a>> {
    match cursor.u8()? {
        15 => blob(cursor),
        16 => clob(cursor, format),
        tag => plain(cursor, tag, shape, format, NESTING_MAX).map(Decoded::Value),
    }
}

/// Reads one value that cannot be a stored large object: catalogue columns, index keys, array elements.
pub(crate) fn decode_inline<'a>(cursor: &mut Cursor<'a>, shape: &Shape, format: Format) -> Result<Value<'a>> {
    inline(cursor, shape, format, NESTING_MAX)
}

/// Steps over one value.
pub(crate) fn skip(cursor: &mut Cursor<'_>, format: Format) -> Result<()> {
    decode(cursor, &Shape::Plain, format).map(|_| ())
}

/// Reads a BIGINT that cannot be NULL.
pub(crate) fn big_int(cursor: &mut Cursor<'_>) -> Result<i64> {
    let start = *cursor;
    match cursor.u8()? {
        tag @ BIGINT_SMALL..=BIGINT_SMALL_LAST => Ok(i64::from(tag & 7)),
        BIGINT => cursor.varlong(),
        BIGINT_NEGATIVE => Ok(cursor.varlong()?.wrapping_neg()),
        _ => Err(start.malformed("a BIGINT is missing")),
    }
}

/// Reads the tag and length of an ARRAY that must have `count` elements; they follow.
pub(crate) fn begin_array(cursor: &mut Cursor<'_>, count: usize) -> Result<()> {
    let start = *cursor;
    if cursor.u8()? != ARRAY {
        return Err(start.malformed("an ARRAY is missing"));
    }
    if usize::try_from(cursor.varint()?) == Ok(count) {
        Ok(())
    } else {
        Err(start.malformed("an ARRAY has another number of values than its table has columns"))
    }
}

const BIGINT: u8 = 5;
const ARRAY: u8 = 17;
/// 0 to 7 are the tag alone.
const BIGINT_SMALL: u8 = 48;
const BIGINT_SMALL_LAST: u8 = 55;
const BIGINT_NEGATIVE: u8 = 67;

fn inline<'a>(cursor: &mut Cursor<'a>, shape: &Shape, format: Format, nesting: u8) -> Result<Value<'a>> {
    let start = *cursor;
    let decoded = match cursor.u8()? {
        15 => blob(cursor)?,
        16 => clob(cursor, format)?,
        tag => return plain(cursor, tag, shape, format, nesting),
    };
    match decoded {
        Decoded::Value(value) => Ok(value),
        Decoded::StoredBlob(_) | Decoded::StoredClob(_) => {
            Err(start.malformed("stored large object where only an inline one can be"))
        }
    }
}

#[inline]
fn plain<'a>(
    cursor: &mut Cursor<'a>,
    tag: u8,
    shape: &Shape,
    format: Format,
    nesting: u8,
) -> Result<Value<'a>> {
    Ok(match tag {
        0 => Value::Null,
        2 => Value::TinyInt(cursor.i8()?),
        3 => Value::SmallInt(cursor.i16()?),
        // Format 1 has no tag of its own for an ENUM.
        4 if *shape == Shape::Enum => enumerated(cursor.varint()?, format, cursor)?,
        4 => Value::Integer(cursor.varint()?),
        BIGINT => Value::BigInt(cursor.varlong()?),
        6 => {
            let scale = scale(cursor)?;
            Value::Numeric(Decimal {
                scale,
                unscaled: big_integer(cursor.byte_string()?, cursor)?,
            })
        }
        7 => Value::Double(f64::from_bits(cursor.varlong()?.cast_unsigned().reverse_bits())),
        8 => Value::Real(f32::from_bits(cursor.varint()?.cast_unsigned().reverse_bits())),
        9 => Value::Time(time_in_millis(cursor)?),
        10 => Value::Date(date(cursor)?),
        11 => Value::Timestamp(date(cursor)?, time_in_millis(cursor)?),
        12 => Value::Varbinary(Cow::Borrowed(cursor.byte_string()?)),
        13 => Value::Varchar(cursor.string()?),
        14 => Value::VarcharIgnoreCase(cursor.string()?),
        ARRAY => Value::Array(elements(cursor, shape, format, nesting)?),
        19 => Value::JavaObject(Cow::Borrowed(cursor.byte_string()?)),
        20 => Value::Uuid(cursor.array()?),
        21 => Value::Char(cursor.string()?),
        22 => Value::Geometry(Cow::Borrowed(cursor.byte_string()?)),
        24 => {
            let (date, time) = (date(cursor)?, time_in_millis(cursor)?);
            let offset = cursor.varint()?.checked_mul(60).and_then(valid_offset);
            Value::TimestampTz(
                date,
                time,
                offset.ok_or(cursor.malformed("impossible time zone offset"))?,
            )
        }
        25 => enumerated(cursor.varint()?, format, cursor)?,
        26 => Value::Interval(interval(cursor)?),
        27 => Value::Row(elements(cursor, shape, format, nesting)?),
        32..=47 if *shape == Shape::Enum => enumerated(i32::from(tag & 15), format, cursor)?,
        32..=47 => Value::Integer(i32::from(tag & 15)),
        BIGINT_SMALL..=BIGINT_SMALL_LAST => Value::BigInt(i64::from(tag & 7)),
        56 | 57 => small_numeric(0, i64::from(tag & 1)),
        58 => small_numeric(0, cursor.varlong()?),
        59 => {
            let scale = scale(cursor)?;
            small_numeric(scale, cursor.varlong()?)
        }
        60 | 61 => Value::Double(f64::from(tag & 1)),
        62 | 63 => Value::Real(f32::from(tag & 1)),
        64 | 65 => Value::Boolean(tag == 65),
        66 => Value::Integer(cursor.varint()?.wrapping_neg()),
        BIGINT_NEGATIVE => Value::BigInt(cursor.varlong()?.wrapping_neg()),
        68..=99 => Value::Varchar(cursor.string_units(usize::from(tag.wrapping_sub(68)))?),
        100..=131 => Value::Varbinary(Cow::Borrowed(cursor.take(usize::from(tag.wrapping_sub(100)))?)),
        134 => Value::Json(Cow::Borrowed(cursor.byte_string()?)),
        135 => {
            let (date, time) = (date(cursor)?, time_in_millis(cursor)?);
            Value::TimestampTz(date, time, offset(cursor)?)
        }
        136 => {
            let seconds = cursor.varint()?;
            let time = time_of_day(i64::from(seconds), NANOS_PER_SECOND, cursor)?;
            Value::TimeTz(time, offset(cursor)?)
        }
        137 => Value::Binary(Cow::Borrowed(cursor.byte_string()?)),
        138 => Value::DecFloat(decfloat(cursor)?),
        _ => return Err(cursor.malformed("unknown value tag")),
    })
}

/// Ordinals count from 1, in format 1 from 0.
fn enumerated<'a>(ordinal: i32, format: Format, cursor: &Cursor<'_>) -> Result<Value<'a>> {
    let first = match format {
        Format::V1 => 1,
        Format::V2 | Format::V3 => 0,
    };
    let ordinal = u32::try_from(ordinal)
        .ok()
        .and_then(|ordinal| ordinal.checked_add(first));
    ordinal
        .map(Value::Enum)
        .ok_or(cursor.malformed("negative ENUM ordinal"))
}

fn small_numeric<'a>(scale: i32, unscaled: i64) -> Value<'a> {
    Value::Numeric(Decimal {
        scale,
        unscaled: Unscaled::Small(unscaled),
    })
}

/// NUMERIC has no negative scale.
fn scale(cursor: &mut Cursor<'_>) -> Result<i32> {
    let scale = cursor.varint()?;
    if scale < 0 {
        Err(cursor.malformed("negative scale"))
    } else {
        Ok(scale)
    }
}

/// Two's complement, big-endian. What fits 64 bits becomes [`Unscaled::Small`].
fn big_integer<'a>(bytes: &'a [u8], cursor: &Cursor<'_>) -> Result<Unscaled<'a>> {
    let Some(first) = bytes.first() else {
        return Err(cursor.malformed("number without digits"));
    };
    if bytes.len() > 8 {
        return Ok(Unscaled::Wide(Cow::Borrowed(bytes)));
    }
    let sign = if *first >= 0x80 { -1_i64 } else { 0 };
    Ok(Unscaled::Small(bytes.iter().fold(sign, |value, byte| {
        value.wrapping_shl(8) | i64::from(*byte)
    })))
}

fn decfloat<'a>(cursor: &mut Cursor<'a>) -> Result<DecFloat<'a>> {
    let scale = cursor.varint()?;
    let start = *cursor;
    match cursor.varint()? {
        -1 => Ok(DecFloat::NaN),
        -2 => Ok(DecFloat::PositiveInfinity),
        -3 => Ok(DecFloat::NegativeInfinity),
        _ => {
            *cursor = start;
            let unscaled = big_integer(cursor.byte_string()?, cursor)?;
            Ok(DecFloat::Finite(Decimal { scale, unscaled }))
        }
    }
}

/// `year << 9 | month << 5 | day`.
fn date(cursor: &mut Cursor<'_>) -> Result<Date> {
    let packed = cursor.varlong()?;
    let wrong = || cursor.malformed("impossible date");
    let year = i32::try_from(packed.wrapping_shr(9))
        .ok()
        .filter(|year| (-1_000_000_000..=1_000_000_000).contains(year));
    let month = u8::try_from(packed.wrapping_shr(5) & 15)
        .ok()
        .filter(|month| (1..=12).contains(month));
    let day = u8::try_from(packed & 31).ok().filter(|day| *day > 0);
    Ok(Date {
        year: year.ok_or_else(wrong)?,
        month: month.ok_or_else(wrong)?,
        day: day.ok_or_else(wrong)?,
    })
}

fn time_in_millis(cursor: &mut Cursor<'_>) -> Result<TimeOfDay> {
    let millis = cursor.varlong()?;
    time_of_day(millis, NANOS_PER_MILLI, cursor)
}

/// `count` units of the day, then the nanoseconds of the last one.
fn time_of_day(count: i64, nanos_per_unit: u64, cursor: &mut Cursor<'_>) -> Result<TimeOfDay> {
    let rest = u64::try_from(cursor.varint()?)
        .ok()
        .filter(|rest| *rest < nanos_per_unit);
    let nanos = u64::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(nanos_per_unit)?.checked_add(rest?))
        .filter(|nanos| *nanos < NANOS_PER_DAY);
    nanos
        .map(|nanos| TimeOfDay { nanos })
        .ok_or(cursor.malformed("impossible time of day"))
}

/// Quarter hours where possible, else seconds.
fn offset(cursor: &mut Cursor<'_>) -> Result<i32> {
    let seconds = match cursor.i8()? {
        i8::MAX => Some(cursor.varint()?),
        i8::MIN => cursor.varint()?.checked_neg(),
        quarters => i32::from(quarters).checked_mul(900),
    };
    seconds
        .and_then(valid_offset)
        .ok_or(cursor.malformed("impossible time zone offset"))
}

/// H2 knows offsets up to 18 hours.
fn valid_offset(seconds: i32) -> Option<i32> {
    (-18 * 3600..=18 * 3600).contains(&seconds).then_some(seconds)
}

fn interval(cursor: &mut Cursor<'_>) -> Result<Interval> {
    let ordinal = cursor.i8()?;
    let negative = ordinal < 0;
    let qualifier = u8::try_from(if negative { !ordinal } else { ordinal })
        .ok()
        .filter(|qualifier| *qualifier <= 12);
    let qualifier = qualifier.ok_or(cursor.malformed("unknown INTERVAL qualifier"))?;
    let mut field =
        || u64::try_from(cursor.varlong()?).map_err(|_| cursor.malformed("negative INTERVAL field"));
    let leading = field()?;
    let remaining = if qualifier >= 5 { field()? } else { 0 };
    Ok(Interval {
        qualifier,
        negative,
        leading,
        remaining,
    })
}

fn elements<'a>(
    cursor: &mut Cursor<'a>,
    shape: &Shape,
    format: Format,
    nesting: u8,
) -> Result<Vec<Value<'a>>> {
    let nesting = nesting
        .checked_sub(1)
        .ok_or(cursor.malformed("arrays or rows are nested too deeply"))?;
    let count = cursor.count()?;
    let mut values = Vec::new();
    for index in 0..count {
        values.push(inline(cursor, shape.of_element(index), format, nesting)?);
    }
    Ok(values)
}

/// A stored large object has -3 in the place of its length.
const STORED: i32 = -3;

fn blob<'a>(cursor: &mut Cursor<'a>) -> Result<Decoded<'a>> {
    Ok(match lob_bytes(cursor)? {
        LobBytes::Inline(bytes) => Decoded::Value(Value::Blob(Cow::Borrowed(bytes))),
        LobBytes::Stored(lob, length) => Decoded::StoredBlob(LobReference {
            lob,
            length: LobLength::Octets(length),
        }),
    })
}

/// Format 1 gives one length: of an inline text in octets, of a stored one in characters. Later ones give both.
fn clob<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<Decoded<'a>> {
    let lob = lob_bytes(cursor)?;
    let decoded = match lob {
        LobBytes::Inline(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| cursor.malformed("CLOB is not UTF-8"))?;
            Decoded::Value(Value::Clob(Text::Utf8(Cow::Borrowed(text))))
        }
        LobBytes::Stored(lob, length) => Decoded::StoredClob(LobReference {
            lob,
            length: match format {
                Format::V1 => LobLength::Units(length),
                Format::V2 | Format::V3 => LobLength::Octets(length),
            },
        }),
    };
    match format {
        Format::V1 => {}
        Format::V2 | Format::V3 => {
            let _units = cursor.varlong()?;
        }
    }
    Ok(decoded)
}

enum LobBytes<'a> {
    Inline(&'a [u8]),
    /// Its id and length.
    Stored(i64, u64),
}

fn lob_bytes<'a>(cursor: &mut Cursor<'a>) -> Result<LobBytes<'a>> {
    let start = *cursor;
    if cursor.varint()? != STORED {
        *cursor = start;
        return cursor.byte_string().map(LobBytes::Inline);
    }
    let _table = cursor.varint()?;
    let lob = cursor.varlong()?;
    let length =
        u64::try_from(cursor.varlong()?).map_err(|_| start.malformed("negative length of a large object"))?;
    Ok(LobBytes::Stored(lob, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], shape: &Shape, format: Format) -> Decoded<'static> {
        let bytes: &'static [u8] = bytes.to_vec().leak();
        let mut cursor = Cursor::new(bytes);
        let decoded = decode(&mut cursor, shape, format).unwrap();
        assert!(cursor.is_empty(), "{bytes:?}");
        decoded
    }

    #[test]
    fn enums_count_from_one_whatever_the_file_says() {
        // Ordinal 2 of format 1 is the third label, as ordinal 3 of the later ones.
        for (bytes, format) in [
            (&[34][..], Format::V1),
            (&[4, 2], Format::V1),
            (&[35], Format::V2),
            (&[25, 3], Format::V3),
        ] {
            let Decoded::Value(value) = decoded(bytes, &Shape::Enum, format) else {
                panic!("{bytes:?}");
            };
            assert_eq!(value, Value::Enum(3), "{bytes:?} {format:?}");
        }
        let Decoded::Value(value) = decoded(&[4, 2], &Shape::Plain, Format::V1) else {
            panic!("an INTEGER");
        };
        assert_eq!(value, Value::Integer(2));
    }

    #[test]
    fn a_clob_of_format_1_has_one_length() {
        // Table 5, lob 9, then 300 units; later 400 octets and 300 units.
        let stored = [16, 0xfd, 0xff, 0xff, 0xff, 0x0f, 5, 9, 0xac, 0x02];
        let Decoded::StoredClob(reference) = decoded(&stored, &Shape::Plain, Format::V1) else {
            panic!("a stored CLOB");
        };
        assert_eq!((reference.lob, reference.length), (9, LobLength::Units(300)));
        let stored = [16, 0xfd, 0xff, 0xff, 0xff, 0x0f, 5, 9, 0x90, 0x03, 0xac, 0x02];
        let Decoded::StoredClob(reference) = decoded(&stored, &Shape::Plain, Format::V2) else {
            panic!("a stored CLOB");
        };
        assert_eq!((reference.lob, reference.length), (9, LobLength::Octets(400)));
        for (inline, format) in [(&[16, 1, b'x'][..], Format::V1), (&[16, 1, b'x', 1], Format::V2)] {
            let Decoded::Value(value) = decoded(inline, &Shape::Plain, format) else {
                panic!("an inline CLOB");
            };
            assert_eq!(value, Value::Clob(Text::Utf8("x".into())));
        }
    }
}
