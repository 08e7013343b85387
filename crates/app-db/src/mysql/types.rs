//! MySQL's types: the shared word for each, the binary form it is sent in, and how a value of that form becomes a cell.
//! Forms are those of the binary protocol's result rows.

use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};
use metaferry_domain::schema::{DataType, DecimalBounds};
use metaferry_h2_file::Date;

use crate::h2::calendar::days_of;
use crate::row_names::Refusal;

/// Microseconds of a day.
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A column's type as `information_schema.columns` gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct NativeType<'a> {
    /// `DATA_TYPE`: the bare word.
    pub(super) word: &'a str,
    /// `COLUMN_TYPE`: with length, `unsigned`, and the words of an enumeration.
    pub(super) full: &'a str,
    /// `CHARACTER_MAXIMUM_LENGTH`.
    pub(super) characters: Option<u64>,
    /// `NUMERIC_PRECISION`: digits, or bits.
    pub(super) precision: Option<u64>,
    /// `NUMERIC_SCALE`.
    pub(super) scale: Option<u64>,
}

/// The binary form that a value arrives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// A whole number of 0 or 1.
    TinyBoolean,
    /// One bit, as a byte.
    BitBoolean,
    /// Bits as a number, most significant byte first.
    Bits,
    Signed,
    Unsigned,
    Float,
    Double,
    /// Digits.
    Decimal,
    Text,
    Bytes,
    Date,
    Time,
    DateTime,
    Timestamp,
    /// As text.
    Uuid,
}

/// What is written around the column in the SELECT, so that it arrives in a form that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    None,
    Text,
    Geometry,
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
    let unsigned = native.full.contains("unsigned");
    let length = native.characters.and_then(|length| u32::try_from(length).ok());
    let whole = |signed, otherwise| {
        if unsigned {
            plain(otherwise, Wire::Unsigned)
        } else {
            plain(signed, Wire::Signed)
        }
    };
    match native.word {
        // Drivers have always taken it for a boolean, Metabase's too.
        "tinyint" if native.full.starts_with("tinyint(1)") && !unsigned => {
            plain(DataType::Boolean, Wire::TinyBoolean)
        }
        "tinyint" => whole(DataType::SmallInt, DataType::SmallInt),
        "smallint" => whole(DataType::SmallInt, DataType::Integer),
        "mediumint" => whole(DataType::Integer, DataType::Integer),
        "int" | "integer" => whole(DataType::Integer, DataType::BigInt),
        "bigint" => whole(
            DataType::BigInt,
            DataType::Decimal(Some(DecimalBounds {
                precision: 20,
                scale: 0,
            })),
        ),
        "bit" if native.precision == Some(1) => plain(DataType::Boolean, Wire::BitBoolean),
        "bit" if native.precision == Some(64) => plain(
            DataType::Decimal(Some(DecimalBounds {
                precision: 20,
                scale: 0,
            })),
            Wire::Bits,
        ),
        "bit" => plain(DataType::BigInt, Wire::Bits),
        "year" => plain(DataType::SmallInt, Wire::Unsigned),
        "float" => plain(DataType::Real, Wire::Float),
        "double" => plain(DataType::Double, Wire::Double),
        "decimal" | "numeric" => plain(DataType::Decimal(decimal_bounds(native)), Wire::Decimal),
        "char" => plain(length.map_or(DataType::Text, DataType::Char), Wire::Text),
        "varchar" | "enum" | "set" => plain(DataType::Varchar(length), Wire::Text),
        "tinytext" | "text" | "mediumtext" | "longtext" => plain(DataType::Text, Wire::Text),
        "json" => plain(DataType::Json, Wire::Text),
        "binary" => plain(length.map_or(DataType::Blob, DataType::Binary), Wire::Bytes),
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => plain(DataType::Blob, Wire::Bytes),
        "date" => plain(DataType::Date, Wire::Date),
        "time" => plain(DataType::Time, Wire::Time),
        "datetime" => plain(DataType::Timestamp, Wire::DateTime),
        "timestamp" => plain(DataType::TimestampTz, Wire::Timestamp),
        "uuid" => plain(DataType::Uuid, Wire::Uuid),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => (
            DataType::Other,
            Reading {
                wire: Wire::Text,
                cast: Cast::Geometry,
            },
        ),
        _ => (
            DataType::Other,
            Reading {
                wire: Wire::Text,
                cast: Cast::Text,
            },
        ),
    }
}

/// Whether a literal of that type is written without quotes.
pub(super) fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::SmallInt
            | DataType::Integer
            | DataType::BigInt
            | DataType::Real
            | DataType::Double
            | DataType::Decimal(_)
    )
}

fn decimal_bounds(native: NativeType<'_>) -> Option<DecimalBounds> {
    Some(DecimalBounds {
        precision: u32::try_from(native.precision?).ok()?,
        scale: u32::try_from(native.scale?).ok()?,
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
        Wire::Signed => Cell::Int(signed(bytes)?),
        Wire::Text => Cell::Text(text(bytes)?),
        Wire::Timestamp => Cell::TimestampTz(moment(bytes)?, 0),
        Wire::BitBoolean => Cell::Boolean(bits(bytes)? != 0),
        Wire::TinyBoolean => match signed(bytes)? {
            0 => Cell::Boolean(false),
            1 => Cell::Boolean(true),
            _ => return Err(Refusal::NotBoolean),
        },
        Wire::Unsigned => whole(unsigned(bytes)?, digits),
        Wire::Bits => whole(bits(bytes)?, digits),
        Wire::Float => Cell::Real(f32::from_le_bytes(fixed(bytes)?)),
        Wire::Double => Cell::Double(f64::from_le_bytes(fixed(bytes)?)),
        Wire::Decimal => Cell::Decimal(text(bytes)?),
        Wire::Bytes => Cell::Bytes(bytes),
        Wire::Date => Cell::Date(Moment::parse(bytes)?.days()?),
        Wire::Time => Cell::Time(time_of_day(bytes)?),
        Wire::DateTime => Cell::Timestamp(moment(bytes)?),
        Wire::Uuid => {
            let uuid = uuid::Uuid::parse_str(text(bytes)?).map_err(|_| Refusal::Malformed)?;
            Cell::Uuid(uuid.into_bytes())
        }
    };
    batch.push(cell);
    Ok(())
}

/// A number that may be beyond 63 bits.
fn whole(number: u64, digits: &mut String) -> Cell<'_> {
    match i64::try_from(number) {
        Ok(number) => Cell::Int(number),
        Err(_) => {
            digits.clear();
            digits.push_str(&number.to_string());
            Cell::Decimal(digits)
        }
    }
}

fn signed(bytes: &[u8]) -> Result<i64, Refusal> {
    Ok(match *bytes {
        [byte] => i64::from(i8::from_le_bytes([byte])),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(fixed(bytes)?),
    })
}

fn unsigned(bytes: &[u8]) -> Result<u64, Refusal> {
    if bytes.len() > 8 || bytes.is_empty() {
        return Err(Refusal::Malformed);
    }
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn bits(bytes: &[u8]) -> Result<u64, Refusal> {
    if bytes.len() > 8 || bytes.is_empty() {
        return Err(Refusal::Malformed);
    }
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refusal> {
    bytes.try_into().map_err(|_| Refusal::Malformed)
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::InvalidText)
}

/// Date and time: a length, then as many of year, month, day, hour, minute, second, microseconds as are not 0.
struct Moment {
    year: u16,
    month: u8,
    day: u8,
    micros_of_day: i64,
}

impl Moment {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let (length, rest) = bytes.split_first().ok_or(Refusal::Malformed)?;
        if rest.len() != usize::from(*length) {
            return Err(Refusal::Malformed);
        }
        let ([y0, y1, month, day], time) = match rest {
            [] => return Err(Refusal::ZeroDate),
            [y0, y1, month, day, time @ ..] => ([*y0, *y1, *month, *day], time),
            _ => return Err(Refusal::Malformed),
        };
        Ok(Self {
            year: u16::from_le_bytes([y0, y1]),
            month,
            day,
            micros_of_day: micros_of_day(time)?,
        })
    }

    fn days(&self) -> Result<i64, Refusal> {
        if self.month == 0 || self.day == 0 {
            return Err(Refusal::ZeroDate);
        }
        Ok(days_of(Date {
            year: i32::from(self.year),
            month: self.month,
            day: self.day,
        }))
    }
}

fn moment(bytes: &[u8]) -> Result<Instant, Refusal> {
    let moment = Moment::parse(bytes)?;
    Ok(Instant {
        micros: moment.days()? * MICROS_PER_DAY + moment.micros_of_day,
        nanos: 0,
    })
}

/// Nothing; hour, minute, second; or those and microseconds.
fn micros_of_day(bytes: &[u8]) -> Result<i64, Refusal> {
    let (clock, micros) = match bytes {
        [] => ([0, 0, 0], 0),
        [hour, minute, second] => ([*hour, *minute, *second], 0),
        [hour, minute, second, micros @ ..] => {
            ([*hour, *minute, *second], u32::from_le_bytes(fixed(micros)?))
        }
        _ => return Err(Refusal::Malformed),
    };
    let [hour, minute, second] = clock.map(i64::from);
    Ok(((hour * 60 + minute) * 60 + second) * 1_000_000 + i64::from(micros))
}

/// A length, then sign, days, hour, minute, second, microseconds.
fn time_of_day(bytes: &[u8]) -> Result<TimeOfDay, Refusal> {
    let (length, rest) = bytes.split_first().ok_or(Refusal::Malformed)?;
    if rest.len() != usize::from(*length) {
        return Err(Refusal::Malformed);
    }
    let micros = match rest {
        [] => 0,
        [0, 0, 0, 0, 0, clock @ ..] => micros_of_day(clock)?,
        [_, _, _, _, _, ..] => return Err(Refusal::NoTimeOfDay),
        _ => return Err(Refusal::Malformed),
    };
    let nanos = u64::try_from(micros).map_err(|_| Refusal::Malformed)? * 1000;
    Ok(TimeOfDay { nanos })
}

#[cfg(test)]
mod tests;
