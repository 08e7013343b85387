//! Types: the words that all databases share, and MySQL's.

use metaferry_domain::schema::{Column, DataType, Dialect, Table};

use super::own;

/// The longest `char(n)` and `binary(n)`.
const FIXED_LENGTH_MAX: u32 = 255;
/// The longest `varchar(n)` in letters of up to four bytes, and `varbinary(n)` that is not a large object instead.
const LENGTH_MAX: u32 = 16_383;
/// The most digits that `decimal(p, s)` declares, and the most after the point.
const PRECISION_MAX: u32 = 65;
const SCALE_MAX: u32 = 30;
/// Digits of a second that MySQL keeps.
const FRACTION_DIGITS: u8 = 6;
/// Bytes of one letter in utf8mb4.
pub(super) const LETTER_BYTES: u32 = 4;

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MySqlType {
    /// One bit: a truth value.
    Bit,
    /// A truth value as Liquibase makes it in its own table.
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal(u32, u32),
    Char(u32),
    Varchar(u32),
    LongText,
    Binary(u32),
    Varbinary(u32),
    Blob,
    LongBlob,
    Date,
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    /// As the source, a MySQL itself, spells it.
    Native(String),
}

/// A type for MySQL, and what a person should know about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) mysql_type: MySqlType,
    pub(super) note: Option<String>,
}

/// What a key needs to know of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes.
    Fixed(u32),
    /// Up to so many letters.
    Letters(u32),
    /// Up to so many bytes.
    Bytes(u32),
    /// Letters without a bound.
    EndlessLetters,
    /// Bytes without a bound.
    EndlessBytes,
    /// What the source could index this database can.
    Unknown,
}

impl MySqlType {
    /// As a definition says it.
    pub(super) fn spelled(&self) -> String {
        match self {
            Self::Bit => "bit(1)".to_owned(),
            Self::TinyInt => "tinyint(1)".to_owned(),
            Self::SmallInt => "smallint".to_owned(),
            Self::Int => "int".to_owned(),
            Self::BigInt => "bigint".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::Char(length) => format!("char({length})"),
            Self::Varchar(length) => format!("varchar({length})"),
            Self::LongText => "longtext".to_owned(),
            Self::Binary(length) => format!("binary({length})"),
            Self::Varbinary(length) => format!("varbinary({length})"),
            Self::Blob => "blob".to_owned(),
            Self::LongBlob => "longblob".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time(digits) => fractional("time", *digits),
            Self::DateTime(digits) => fractional("datetime", *digits),
            Self::Timestamp(digits) => fractional("timestamp", *digits),
            Self::Native(spelled) => spelled.clone(),
        }
    }

    /// Can an `AUTO_INCREMENT` column have it?
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::SmallInt | Self::Int | Self::BigInt => true,
            // Only whole numbers are AUTO_INCREMENT at the source.
            Self::Native(_) => true,
            Self::Bit
            | Self::TinyInt
            | Self::Float
            | Self::Double
            | Self::Decimal(..)
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::LongText
            | Self::Binary(_)
            | Self::Varbinary(_)
            | Self::Blob
            | Self::LongBlob
            | Self::Date
            | Self::Time(_)
            | Self::DateTime(_)
            | Self::Timestamp(_) => false,
        }
    }

    /// `TIMESTAMP` is NOT NULL, and fills itself, where nothing else is said and the server is set so.
    pub(super) fn is_timestamp(&self) -> bool {
        match self {
            Self::Timestamp(_) => true,
            Self::Native(spelled) => spelled.to_lowercase().starts_with("timestamp"),
            Self::Bit
            | Self::TinyInt
            | Self::SmallInt
            | Self::Int
            | Self::BigInt
            | Self::Float
            | Self::Double
            | Self::Decimal(..)
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::LongText
            | Self::Binary(_)
            | Self::Varbinary(_)
            | Self::Blob
            | Self::LongBlob
            | Self::Date
            | Self::Time(_)
            | Self::DateTime(_) => false,
        }
    }

    /// Digits of a second, where it has them.
    pub(super) fn fraction_digits(&self) -> Option<u8> {
        match self {
            Self::Time(digits) | Self::DateTime(digits) | Self::Timestamp(digits) => Some(*digits),
            Self::Bit
            | Self::TinyInt
            | Self::SmallInt
            | Self::Int
            | Self::BigInt
            | Self::Float
            | Self::Double
            | Self::Decimal(..)
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::LongText
            | Self::Binary(_)
            | Self::Varbinary(_)
            | Self::Blob
            | Self::LongBlob
            | Self::Date
            | Self::Native(_) => None,
        }
    }

    /// A large object: MySQL takes no literal for its default, only an expression.
    pub(super) fn is_large(&self) -> bool {
        match self {
            Self::LongText | Self::Blob | Self::LongBlob => true,
            Self::Native(spelled) => {
                let lower = spelled.to_lowercase();
                ["text", "blob", "json", "geometry"]
                    .iter()
                    .any(|word| lower.contains(word))
            }
            Self::Bit
            | Self::TinyInt
            | Self::SmallInt
            | Self::Int
            | Self::BigInt
            | Self::Float
            | Self::Double
            | Self::Decimal(..)
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::Binary(_)
            | Self::Varbinary(_)
            | Self::Date
            | Self::Time(_)
            | Self::DateTime(_)
            | Self::Timestamp(_) => false,
        }
    }

    /// How much of a key it takes.
    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Bit | Self::TinyInt => Extent::Fixed(1),
            Self::SmallInt => Extent::Fixed(2),
            Self::Date => Extent::Fixed(3),
            Self::Int | Self::Float => Extent::Fixed(4),
            Self::Time(_) => Extent::Fixed(6),
            Self::Timestamp(_) => Extent::Fixed(7),
            Self::BigInt | Self::Double | Self::DateTime(_) => Extent::Fixed(8),
            Self::Decimal(precision, _) => Extent::Fixed(precision / 2 + 4),
            Self::Binary(length) => Extent::Fixed(*length),
            Self::Char(length) | Self::Varchar(length) => Extent::Letters(*length),
            Self::Varbinary(length) => Extent::Bytes(*length),
            Self::LongText => Extent::EndlessLetters,
            Self::Blob | Self::LongBlob => Extent::EndlessBytes,
            Self::Native(_) => Extent::Unknown,
        }
    }

    /// The one of two that holds less.
    pub(super) fn shorter(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Varchar(one), Self::Varchar(another))
            | (Self::Varbinary(one), Self::Varbinary(another))
                if one <= another =>
            {
                self
            }
            _ => other,
        }
    }

    /// May a foreign key compare the two? The server wants the same type, but for the length of texts.
    pub(super) fn is_comparable(&self, other: &Self) -> bool {
        let family = |one: &Self| match one {
            Self::Char(_) | Self::Varchar(_) | Self::LongText => "text".to_owned(),
            Self::Binary(_) | Self::Varbinary(_) => "binary".to_owned(),
            other => other.spelled(),
        };
        matches!((self, other), (Self::Native(_), Self::Native(_))) || family(self) == family(other)
    }
}

fn fractional(name: &str, digits: u8) -> String {
    match digits {
        0 => name.to_owned(),
        digits => format!("{name}({digits})"),
    }
}

/// The MySQL type of a column. `dialect` is the source's.
pub(super) fn to_mysql(table: &Table, column: &Column, dialect: Option<Dialect>) -> Chosen {
    let exact = |mysql_type| Chosen {
        mysql_type,
        note: None,
    };
    let noted = |mysql_type: MySqlType, why: &str| Chosen {
        note: Some(format!(
            "{} becomes {}: {why}",
            column.native_type,
            mysql_type.spelled()
        )),
        mysql_type,
    };
    if dialect == Some(Dialect::MySql) {
        return exact(MySqlType::Native(column.native_type.clone()));
    }
    if let Some(own) = own::column_type(&table.name.key(), &column.name.key(), &column.data_type) {
        return exact(own);
    }
    match &column.data_type {
        DataType::Boolean => exact(MySqlType::Bit),
        DataType::SmallInt => exact(MySqlType::SmallInt),
        DataType::Integer => exact(MySqlType::Int),
        DataType::BigInt => exact(MySqlType::BigInt),
        DataType::Real => exact(MySqlType::Float),
        DataType::Double => exact(MySqlType::Double),
        DataType::Decimal(Some(bounds))
            if bounds.scale <= SCALE_MAX
                && (1..=PRECISION_MAX).contains(&bounds.precision.max(bounds.scale)) =>
        {
            exact(MySqlType::Decimal(
                bounds.precision.max(bounds.scale),
                bounds.scale,
            ))
        }
        DataType::Decimal(_) => noted(
            MySqlType::Decimal(PRECISION_MAX, SCALE_MAX),
            "numbers with more digits are not the same there",
        ),
        DataType::Char(length) if (1..=FIXED_LENGTH_MAX).contains(length) => exact(MySqlType::Char(*length)),
        DataType::Char(length)
        | DataType::Varchar(Some(length))
        | DataType::VarcharIgnoreCase(Some(length))
            if (1..=LENGTH_MAX).contains(length) =>
        {
            exact(MySqlType::Varchar(*length))
        }
        DataType::Char(_) | DataType::Varchar(_) | DataType::VarcharIgnoreCase(_) | DataType::Text => {
            exact(MySqlType::LongText)
        }
        DataType::Binary(length) if (1..=FIXED_LENGTH_MAX).contains(length) => {
            exact(MySqlType::Binary(*length))
        }
        DataType::Binary(length) if *length <= LENGTH_MAX => exact(MySqlType::Varbinary(*length)),
        DataType::Binary(_) | DataType::Blob => exact(MySqlType::LongBlob),
        DataType::Date => exact(MySqlType::Date),
        DataType::Time => exact(MySqlType::Time(fraction_digits(column))),
        DataType::TimeTz => noted(
            MySqlType::Time(fraction_digits(column)),
            "a time of day has no offset there, so that rows with one are refused",
        ),
        DataType::Timestamp => exact(MySqlType::DateTime(fraction_digits(column))),
        DataType::TimestampTz => exact(MySqlType::Timestamp(fraction_digits(column))),
        DataType::Uuid => exact(MySqlType::Char(36)),
        DataType::Json => noted(MySqlType::LongText, "it travels as text, letter by letter"),
        DataType::Other => noted(MySqlType::LongText, "it travels as text"),
    }
}

/// The digits of a second that a type declares in its first parentheses, as `timestamp(3) with time zone`.
fn fraction_digits(column: &Column) -> u8 {
    let declared = column
        .native_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(digits, _)| digits.trim().parse::<u8>().ok());
    declared.unwrap_or(FRACTION_DIGITS).min(FRACTION_DIGITS)
}
