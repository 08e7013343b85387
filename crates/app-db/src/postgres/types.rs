//! Postgres's types: the shared word for each, the binary form it is sent in, and how a value of that form becomes
//! a cell. Forms are those of the server's `*send` functions.

use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};
use metaferry_domain::schema::{DataType, DecimalBounds};

use crate::row_names::Refusal;

/// Microseconds from 1970-01-01 to 2000-01-01, which Postgres counts from.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days of the same.
const EPOCH_DAYS: i64 = 10_957;

/// A column's type as the catalogue gives it, domains resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct NativeType<'a> {
    pub(super) oid: u32,
    pub(super) name: &'a str,
    pub(super) typmod: i32,
}

/// The binary form that a value arrives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// CHAR: the padding goes.
    PaddedText,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Uuid,
    /// A version byte, then text.
    Jsonb,
}

/// What is written after the column in the SELECT, so that it arrives in a form that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    None,
    BigInt,
    Text,
}

/// How a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) wire: Wire,
    pub(super) cast: Cast,
}

/// The shared word for a type, and how its values are read.
pub(super) fn column_type(native: NativeType<'_>) -> (DataType, Reading) {
    let plain = |data_type, wire| {
        (
            data_type,
            Reading {
                wire,
                cast: Cast::None,
            },
        )
    };
    let length = u32::try_from(native.typmod.saturating_sub(4)).ok();
    // Type numbers are fixed for ever: pg_type.dat.
    match native.oid {
        16 => plain(DataType::Boolean, Wire::Boolean),
        17 => plain(DataType::Blob, Wire::Bytes),
        19 => plain(DataType::Varchar(Some(63)), Wire::Text),
        20 => plain(DataType::BigInt, Wire::Int8),
        21 => plain(DataType::SmallInt, Wire::Int2),
        23 => plain(DataType::Integer, Wire::Int4),
        25 => plain(DataType::Text, Wire::Text),
        26 => (
            DataType::BigInt,
            Reading {
                wire: Wire::Int8,
                cast: Cast::BigInt,
            },
        ),
        114 => plain(DataType::Json, Wire::Text),
        142 => (
            DataType::Text,
            Reading {
                wire: Wire::Text,
                cast: Cast::Text,
            },
        ),
        700 => plain(DataType::Real, Wire::Float4),
        701 => plain(DataType::Double, Wire::Float8),
        1042 => plain(length.map_or(DataType::Text, DataType::Char), Wire::PaddedText),
        1043 => plain(DataType::Varchar(length), Wire::Text),
        1082 => plain(DataType::Date, Wire::Date),
        1083 => plain(DataType::Time, Wire::Time),
        1114 => plain(DataType::Timestamp, Wire::Timestamp),
        1184 => plain(DataType::TimestampTz, Wire::TimestampTz),
        1266 => plain(DataType::TimeTz, Wire::TimeTz),
        1700 => plain(DataType::Decimal(decimal_bounds(native.typmod)), Wire::Numeric),
        2950 => plain(DataType::Uuid, Wire::Uuid),
        3802 => plain(DataType::Json, Wire::Jsonb),
        // An extension's type has another number in every database; its binary form is text's.
        _ if native.name == "citext" => plain(DataType::VarcharIgnoreCase(None), Wire::Text),
        _ => (
            DataType::Other,
            Reading {
                wire: Wire::Text,
                cast: Cast::Text,
            },
        ),
    }
}

/// Precision and scale as `numeric` packs them; since version 15 the scale is signed, 11 bits.
fn decimal_bounds(typmod: i32) -> Option<DecimalBounds> {
    let packed = u32::try_from(typmod.checked_sub(4)?).ok()?;
    let precision = packed >> 16;
    let scale = i64::from((packed & 0x7ff) ^ 0x400) - 0x400;
    Some(match u32::try_from(scale) {
        Ok(scale) => DecimalBounds {
            precision: precision.max(scale),
            scale,
        },
        // numeric(3,-2) holds 99900: five digits, none after the point.
        Err(_) => DecimalBounds {
            precision: precision + u32::try_from(-scale).unwrap_or(0),
            scale: 0,
        },
    })
}

/// Pushes a value in its binary form. `digits` is lent for numbers, so that no value needs an allocation.
pub(super) fn push(
    wire: Wire,
    bytes: &[u8],
    batch: &mut RowBatch,
    digits: &mut String,
) -> Result<(), Refusal> {
    let cell = match wire {
        Wire::Int4 => Cell::Int(i32::from_be_bytes(fixed(bytes)?).into()),
        Wire::Text => Cell::Text(text(bytes)?),
        Wire::TimestampTz => Cell::TimestampTz(instant(bytes)?, 0),
        Wire::Boolean => Cell::Boolean(fixed::<1>(bytes)? != [0]),
        Wire::Int8 => Cell::Int(i64::from_be_bytes(fixed(bytes)?)),
        Wire::Int2 => Cell::Int(i16::from_be_bytes(fixed(bytes)?).into()),
        Wire::Float4 => Cell::Real(f32::from_be_bytes(fixed(bytes)?)),
        Wire::Float8 => Cell::Double(f64::from_be_bytes(fixed(bytes)?)),
        Wire::Numeric => {
            numeric(bytes, digits)?;
            Cell::Decimal(digits)
        }
        Wire::PaddedText => Cell::Text(text(bytes)?.trim_end_matches(' ')),
        Wire::Bytes => Cell::Bytes(bytes),
        Wire::Date => Cell::Date(match i32::from_be_bytes(fixed(bytes)?) {
            i32::MIN | i32::MAX => return Err(Refusal::Infinity),
            days => i64::from(days) + EPOCH_DAYS,
        }),
        Wire::Time => Cell::Time(time_of_day(bytes)?),
        Wire::TimeTz => {
            let (time, zone) = bytes.split_at_checked(8).ok_or(Refusal::Malformed)?;
            // Postgres counts seconds west.
            let west = i32::from_be_bytes(fixed(zone)?);
            Cell::TimeTz(time_of_day(time)?, west.checked_neg().ok_or(Refusal::Malformed)?)
        }
        Wire::Timestamp => Cell::Timestamp(instant(bytes)?),
        Wire::Uuid => Cell::Uuid(fixed(bytes)?),
        Wire::Jsonb => match bytes.split_first() {
            Some((1, json)) => Cell::Text(text(json)?),
            Some(_) | None => return Err(Refusal::Malformed),
        },
    };
    batch.push(cell);
    Ok(())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refusal> {
    bytes.try_into().map_err(|_| Refusal::Malformed)
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::InvalidText)
}

fn instant(bytes: &[u8]) -> Result<Instant, Refusal> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MIN | i64::MAX => Err(Refusal::Infinity),
        micros => {
            let micros = micros.checked_add(EPOCH_MICROS).ok_or(Refusal::OutOfRange)?;
            Ok(Instant { micros, nanos: 0 })
        }
    }
}

fn time_of_day(bytes: &[u8]) -> Result<TimeOfDay, Refusal> {
    let micros = u64::try_from(i64::from_be_bytes(fixed(bytes)?)).map_err(|_| Refusal::Malformed)?;
    Ok(TimeOfDay {
        nanos: micros.checked_mul(1000).ok_or(Refusal::Malformed)?,
    })
}

/// Groups of four decimal digits, the first of weight 10000^`weight`; shown with exactly `scale` digits after the
/// point.
fn numeric(bytes: &[u8], digits: &mut String) -> Result<(), Refusal> {
    let mut words = bytes
        .chunks_exact(2)
        .map(|word| u16::from_be_bytes([word[0], word[1]]));
    let mut word = || words.next().ok_or(Refusal::Malformed);
    let (groups, weight, sign, scale) = (word()?, word()?.cast_signed(), word()?, word()?);
    digits.clear();
    match sign {
        0x0000 => {}
        0x4000 => digits.push('-'),
        0xC000 => return Err(Refusal::NotANumber),
        0xD000 | 0xF000 => return Err(Refusal::Infinity),
        _ => return Err(Refusal::Malformed),
    }
    let groups = bytes
        .get(8..8 + usize::from(groups) * 2)
        .ok_or(Refusal::Malformed)?;
    let group_of_weight = |wanted: i32| -> u16 {
        usize::try_from(i32::from(weight) - wanted)
            .ok()
            .and_then(|at| groups.get(at * 2..at * 2 + 2))
            .map_or(0, |group| u16::from_be_bytes([group[0], group[1]]))
    };
    if weight < 0 {
        digits.push('0');
    }
    for wanted in (0..=i32::from(weight)).rev() {
        push_group(
            digits,
            group_of_weight(wanted),
            if wanted == i32::from(weight) { 1 } else { 4 },
            4,
        );
    }
    let mut left = usize::from(scale);
    if left > 0 {
        digits.push('.');
    }
    let mut wanted = -1;
    while left > 0 {
        push_group(digits, group_of_weight(wanted), 4, left.min(4));
        left = left.saturating_sub(4);
        wanted -= 1;
    }
    Ok(())
}

/// Pushes a group's digits: leading zeros up to `digits_min` digits, then cut off after `keep`.
fn push_group(digits: &mut String, group: u16, digits_min: usize, keep: usize) {
    let mut started = false;
    for (position, power) in [1000, 100, 10, 1].into_iter().enumerate().take(keep) {
        let digit = u8::try_from(group / power % 10).unwrap_or(0);
        started |= digit != 0 || position + digits_min >= 4;
        if started {
            digits.push(char::from(b'0' + digit));
        }
    }
}

#[cfg(test)]
mod tests;
