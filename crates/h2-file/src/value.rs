//! One SQL value as an H2 file holds it, borrowed from wherever its bytes are.
//!
//! The variants are H2's own storage classes, one per tag family; what a column *declares* is
//! [`SqlType`](crate::SqlType). Turning a declared type into the right storage class (scale of a NUMERIC,
//! padding of a CHAR) is the writer's caller's duty: H2 stores values after its own conversion.

use std::borrow::Cow;

/// A value of one column of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// TINYINT.
    TinyInt(i8),
    /// SMALLINT.
    SmallInt(i16),
    /// INTEGER.
    Integer(i32),
    /// BIGINT.
    BigInt(i64),
    /// NUMERIC and DECIMAL: `unscaled × 10^-scale`.
    Numeric(Decimal<'a>),
    /// DECFLOAT.
    DecFloat(DecFloat<'a>),
    /// REAL.
    Real(f32),
    /// DOUBLE PRECISION and FLOAT.
    Double(f64),
    /// CHARACTER, padded with spaces to the declared length; in format 1 without spaces at the end.
    Char(Text<'a>),
    /// CHARACTER VARYING.
    Varchar(Text<'a>),
    /// `VARCHAR_IGNORECASE`; the case is kept.
    VarcharIgnoreCase(Text<'a>),
    /// CHARACTER LARGE OBJECT, whole.
    Clob(Text<'a>),
    /// BINARY, padded with zero bytes to the declared length.
    Binary(Cow<'a, [u8]>),
    /// BINARY VARYING.
    Varbinary(Cow<'a, [u8]>),
    /// BINARY LARGE OBJECT, whole.
    Blob(Cow<'a, [u8]>),
    /// JSON: UTF-8 text.
    Json(Cow<'a, [u8]>),
    /// `JAVA_OBJECT`: the serialized bytes.
    JavaObject(Cow<'a, [u8]>),
    /// GEOMETRY: EWKB.
    Geometry(Cow<'a, [u8]>),
    /// UUID, most significant byte first.
    Uuid([u8; 16]),
    /// DATE.
    Date(Date),
    /// TIME.
    Time(TimeOfDay),
    /// TIME WITH TIME ZONE: local time and offset in seconds east of UTC.
    TimeTz(TimeOfDay, i32),
    /// TIMESTAMP.
    Timestamp(Date, TimeOfDay),
    /// TIMESTAMP WITH TIME ZONE: local date and time, and offset in seconds east of UTC.
    TimestampTz(Date, TimeOfDay, i32),
    /// ENUM, by ordinal, from 1.
    Enum(u32),
    /// INTERVAL.
    Interval(Interval),
    /// ARRAY.
    Array(Vec<Value<'a>>),
    /// ROW.
    Row(Vec<Value<'a>>),
}

/// Text of a column. H2 strings are UTF-16 units and may hold lone surrogates, which UTF-8 cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text<'a> {
    /// Ordinary text.
    Utf8(Cow<'a, str>),
    /// Text with at least one lone surrogate, as UTF-16 units.
    Units(Vec<u16>),
}

/// An exact number, `unscaled × 10^-scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// Digits after the decimal point; may be negative in DECFLOAT only.
    pub scale: i32,
    /// The digits.
    pub unscaled: Unscaled<'a>,
}

/// The unscaled part of a [`Decimal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unscaled<'a> {
    /// Fits 64 bits.
    Small(i64),
    /// Two's complement, big-endian, minimal length; more than 64 bits.
    Wide(Cow<'a, [u8]>),
}

/// A DECFLOAT value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecFloat<'a> {
    /// A finite number.
    Finite(Decimal<'a>),
    /// Not a number.
    NaN,
    /// Above every number.
    PositiveInfinity,
    /// Below every number.
    NegativeInfinity,
}

/// A day of the proleptic Gregorian calendar, year 0 being 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year, -1,000,000,000 to 1,000,000,000.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
}

/// Nanoseconds since midnight, below 86,400,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    /// The nanoseconds.
    pub nanos: u64,
}

impl std::fmt::Display for TimeOfDay {
    /// `HH:MM:SS`, and as many fraction digits as it has.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, fraction) = (self.nanos / 1_000_000_000, self.nanos % 1_000_000_000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
        if fraction == 0 {
            return Ok(());
        }
        let digits = format!("{fraction:09}");
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// An INTERVAL value as the file holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// 0 YEAR, 1 MONTH … 12 MINUTE TO SECOND.
    pub qualifier: u8,
    /// Below zero.
    pub negative: bool,
    /// The leading field.
    pub leading: u64,
    /// What remains, in the finest field's unit (nanoseconds where it ends in SECOND).
    pub remaining: u64,
}
