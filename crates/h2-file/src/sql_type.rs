//! The declared type of a column.

/// A column's declared type, after resolving its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlType {
    /// BOOLEAN.
    Boolean,
    /// TINYINT.
    TinyInt,
    /// SMALLINT.
    SmallInt,
    /// INTEGER.
    Integer,
    /// BIGINT.
    BigInt,
    /// NUMERIC(precision, scale), DECIMAL included.
    Numeric {
        /// Digits in all.
        precision: u32,
        /// Digits after the point.
        scale: u32,
    },
    /// DECFLOAT(precision).
    DecFloat(u32),
    /// REAL and FLOAT of up to 24 bits.
    Real,
    /// DOUBLE PRECISION and FLOAT of more than 24 bits.
    Double,
    /// CHARACTER(length).
    Char(u32),
    /// CHARACTER VARYING(length).
    Varchar(u32),
    /// `VARCHAR_IGNORECASE(length)`.
    VarcharIgnoreCase(u32),
    /// CHARACTER LARGE OBJECT.
    Clob,
    /// BINARY(length).
    Binary(u32),
    /// BINARY VARYING(length).
    Varbinary(u32),
    /// BINARY LARGE OBJECT.
    Blob,
    /// JSON.
    Json,
    /// `JAVA_OBJECT`.
    JavaObject,
    /// GEOMETRY.
    Geometry,
    /// UUID.
    Uuid,
    /// DATE.
    Date,
    /// TIME(fraction digits).
    Time(u8),
    /// TIME(fraction digits) WITH TIME ZONE.
    TimeTz(u8),
    /// TIMESTAMP(fraction digits).
    Timestamp(u8),
    /// TIMESTAMP(fraction digits) WITH TIME ZONE.
    TimestampTz(u8),
    /// ENUM with its labels, first label first.
    Enum(Vec<String>),
    /// INTERVAL, by its qualifier (0 YEAR … 12 MINUTE TO SECOND).
    Interval(u8),
    /// ARRAY of an element type.
    Array(Box<SqlType>),
    /// ROW of named fields.
    Row(Vec<(String, SqlType)>),
}
