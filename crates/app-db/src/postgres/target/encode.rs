//! Cells in the binary format of COPY: the forms that the server's `*recv` functions read. The opposite of the
//! `copy_binary` module.

use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};

use crate::postgres::translate::PostgresType;

/// Signature, flags, and the length of an extension that there is none of.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends the stream.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Microseconds from 1970-01-01 to 2000-01-01, which Postgres counts from.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days of the same.
const EPOCH_DAYS: i64 = 10_957;
/// What Postgres holds of moments: 4714-11-24 BC up to, not including, 294277-01-01, in microseconds from 2000.
const MICROS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// The same of days, up to 5874898-01-01.
const DAYS: std::ops::Range<i64> = -2_451_545..2_145_031_949;

/// A cell that a column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) row: usize,
    pub(super) cell: usize,
    pub(super) why: &'static str,
}

/// Appends all rows of a batch; `types` are those of the cells, left to right.
pub(super) fn rows(batch: &RowBatch, types: &[PostgresType], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let count = i16::try_from(types.len()).unwrap_or(i16::MAX).to_be_bytes();
    for row in 0..batch.rows() {
        out.extend_from_slice(&count);
        for (at, wanted) in types.iter().enumerate() {
            cell(batch.cell(row, at), *wanted, out).map_err(|why| Unfit { row, cell: at, why })?;
        }
    }
    Ok(())
}

/// Appends the length of a value and the value.
fn sized<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(N).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let length =
        i32::try_from(bytes.len()).map_err(|_| "a value above 1 GB, which Postgres does not hold")?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn text(text: &str, wanted: PostgresType, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if text.as_bytes().contains(&0) {
        return Err("text with a NUL character, which Postgres does not hold");
    }
    if wanted == PostgresType::Jsonb {
        let length = i32::try_from(text.len() + 1).map_err(|_| "JSON above 1 GB")?;
        out.extend_from_slice(&length.to_be_bytes());
        // The version of the form.
        out.push(1);
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    bytes(text.as_bytes(), out)
}

fn cell(cell: Cell<'_>, wanted: PostgresType, out: &mut Vec<u8>) -> Result<(), &'static str> {
    use PostgresType as T;
    match (cell, wanted) {
        (Cell::Null, _) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        (Cell::Text(value), T::Text | T::Citext | T::Json | T::Jsonb) => text(value, wanted, out)?,
        (Cell::Int(value), T::Integer) => sized(
            i32::try_from(value)
                .map_err(|_| "a number beyond 32 bits")?
                .to_be_bytes(),
            out,
        ),
        (Cell::Int(value), T::SmallInt) => sized(
            i16::try_from(value)
                .map_err(|_| "a number beyond 16 bits")?
                .to_be_bytes(),
            out,
        ),
        (Cell::Int(value), T::BigInt) => sized(value.to_be_bytes(), out),
        (Cell::Int(value), T::Numeric) => numeric(&value.to_string(), out)?,
        (Cell::Int(value @ (0 | 1)), T::Boolean) => sized([u8::from(value == 1)], out),
        (Cell::Boolean(value), T::Boolean) => sized([u8::from(value)], out),
        (Cell::Boolean(value), T::SmallInt) => sized(i16::from(value).to_be_bytes(), out),
        (Cell::Boolean(value), T::Integer) => sized(i32::from(value).to_be_bytes(), out),
        (Cell::TimestampTz(instant, _), T::TimestampTz) | (Cell::Timestamp(instant), T::Timestamp) => {
            sized(moment(instant)?.to_be_bytes(), out);
        }
        (Cell::Bytes(value), T::Bytea) => bytes(value, out)?,
        (Cell::Decimal(value), T::Numeric) => numeric(value, out)?,
        (Cell::Decimal(value), T::SmallInt | T::Integer | T::BigInt) => {
            let whole = value
                .parse()
                .map_err(|_| "a number with a fraction or beyond 64 bits")?;
            return self::cell(Cell::Int(whole), wanted, out);
        }
        (Cell::Real(value), T::Real) => sized(value.to_be_bytes(), out),
        (Cell::Real(value), T::Double) => sized(f64::from(value).to_be_bytes(), out),
        (Cell::Double(value), T::Double) => sized(value.to_be_bytes(), out),
        (Cell::Date(days), T::Date) => {
            let days = days.saturating_sub(EPOCH_DAYS);
            let fits = DAYS.contains(&days);
            let days = i32::try_from(days).ok().filter(|_| fits);
            sized(
                days.ok_or("a day that Postgres does not hold")?.to_be_bytes(),
                out,
            );
        }
        (Cell::Time(time), T::Time) => sized(micros_of_day(time)?.to_be_bytes(), out),
        (Cell::TimeTz(time, east), T::TimeTz) => {
            let mut form = [0; 12];
            form[..8].copy_from_slice(&micros_of_day(time)?.to_be_bytes());
            // Postgres counts seconds west.
            form[8..].copy_from_slice(&east.wrapping_neg().to_be_bytes());
            sized(form, out);
        }
        (Cell::Uuid(id), T::Uuid) => sized(id, out),
        (Cell::Uuid(id), T::Text | T::Citext) => bytes(hyphenated(id).as_bytes(), out)?,
        (Cell::Boolean(_), _) => return Err("a truth value in a column of another type"),
        (Cell::Text(_), _) => return Err("text in a column of another type"),
        (Cell::Int(_) | Cell::Decimal(_) | Cell::Real(_) | Cell::Double(_), _) => {
            return Err("a number that a column of its type does not hold");
        }
        (Cell::Bytes(_), _) => return Err("bytes in a column of another type"),
        (
            Cell::Date(_) | Cell::Time(_) | Cell::TimeTz(..) | Cell::Timestamp(_) | Cell::TimestampTz(..),
            _,
        ) => {
            return Err("a moment in a column of another type");
        }
        (Cell::Uuid(_), _) => return Err("an identifier in a column of another type"),
    }
    Ok(())
}

fn moment(instant: Instant) -> Result<i64, &'static str> {
    instant
        .micros
        .checked_sub(EPOCH_MICROS)
        .filter(|micros| MICROS.contains(micros))
        .ok_or("a moment that Postgres does not hold")
}

fn micros_of_day(time: TimeOfDay) -> Result<i64, &'static str> {
    i64::try_from(time.nanos / 1000).map_err(|_| "a time of day beyond a day")
}

fn hyphenated(id: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(id).hyphenated().to_string()
}

/// Groups of four decimal digits, the first of weight 10000^`weight`, shown with as many digits after the point as
/// there were.
fn numeric(number: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const MALFORMED: &str = "a number in a form that is not known";
    // Sign words of what is no number: numeric.c.
    match number {
        "NaN" => return special(0xC000, out),
        "Infinity" => return special(0xD000, out),
        "-Infinity" => return special(0xF000, out),
        _ => {}
    }
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty()
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|digit| digit.is_ascii_digit())
    {
        return Err(MALFORMED);
    }
    let whole = whole.trim_start_matches('0');
    let mut groups: Vec<u16> = Vec::with_capacity(digits.len() / 4 + 2);
    let group = |text: &[u8]| {
        text.iter()
            .fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'))
    };
    let (head, rest) = whole.as_bytes().split_at(whole.len() % 4);
    if !head.is_empty() {
        groups.push(group(head));
    }
    groups.extend(rest.chunks(4).map(group));
    let mut weight = i64::try_from(groups.len()).map_err(|_| MALFORMED)? - 1;
    for chunk in fraction.as_bytes().chunks(4) {
        let mut padded = *b"0000";
        padded[..chunk.len()].copy_from_slice(chunk);
        groups.push(group(&padded));
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= i64::try_from(leading).map_err(|_| MALFORMED)?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let too_long = "a number with more digits than Postgres holds";
    let length = 8 + 2 * groups.len();
    out.extend_from_slice(&u32::try_from(length).map_err(|_| too_long)?.to_be_bytes());
    out.extend_from_slice(&i16::try_from(groups.len()).map_err(|_| too_long)?.to_be_bytes());
    out.extend_from_slice(&i16::try_from(weight).map_err(|_| too_long)?.to_be_bytes());
    let sign: u16 = if negative && !groups.is_empty() { 0x4000 } else { 0 };
    out.extend_from_slice(&sign.to_be_bytes());
    // Scales up to 16383: numeric.h.
    let scale = u16::try_from(fraction.len())
        .ok()
        .filter(|scale| *scale <= 0x3fff)
        .ok_or(too_long)?;
    out.extend_from_slice(&scale.to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Ok(())
}

fn special(sign: u16, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let [high, low] = sign.to_be_bytes();
    sized([0, 0, 0, 0, high, low, 0, 0], out);
    Ok(())
}

#[cfg(test)]
mod tests;
