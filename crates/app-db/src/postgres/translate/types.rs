//! Types: the words that all databases share, and Postgres'.

use metaferry_domain::schema::{Column, DataType, Table};

/// The longest `character varying(n)` and `character(n)` that Postgres declares.
const LENGTH_MAX: u32 = 10_485_760;
/// The most digits that `numeric(p, s)` declares.
const PRECISION_MAX: u32 = 1000;
/// Digits of a second that Postgres keeps.
const FRACTION_DIGITS: u8 = 6;

/// A type whose binary form is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum PostgresType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    Numeric,
    /// `text`, `character varying`, `character` and what sends text.
    Text,
    /// Text of the extension `citext`.
    Citext,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Uuid,
    Json,
    Jsonb,
}

impl PostgresType {
    /// Can an identity column have it?
    pub(in crate::postgres) fn is_whole(self) -> bool {
        matches!(self, Self::SmallInt | Self::Integer | Self::BigInt)
    }
}

/// A type for Postgres, and what a person should know about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) postgres_type: PostgresType,
    pub(super) spelled: String,
    pub(super) note: Option<String>,
}

/// The Postgres type of a column.
pub(super) fn to_postgres(table: &Table, column: &Column) -> Chosen {
    let exact = |postgres_type, spelled: &str| Chosen {
        postgres_type,
        spelled: spelled.to_owned(),
        note: None,
    };
    let is_email = table.name.key() == "core_user" && column.name.key() == "email";
    match &column.data_type {
        // The one case-insensitive column of Metabase (reference: schema and types). Where a database compares all
        // text so, its catalogue does not single it out.
        DataType::Varchar(_) | DataType::VarcharIgnoreCase(_) if is_email => {
            exact(PostgresType::Citext, "citext")
        }
        DataType::VarcharIgnoreCase(_) => exact(PostgresType::Citext, "citext"),
        DataType::Boolean => exact(PostgresType::Boolean, "boolean"),
        DataType::SmallInt => exact(PostgresType::SmallInt, "smallint"),
        DataType::Integer => exact(PostgresType::Integer, "integer"),
        DataType::BigInt => exact(PostgresType::BigInt, "bigint"),
        DataType::Real => exact(PostgresType::Real, "real"),
        DataType::Double => exact(PostgresType::Double, "double precision"),
        DataType::Decimal(Some(bounds)) if (1..=PRECISION_MAX).contains(&bounds.precision) => exact(
            PostgresType::Numeric,
            &format!("numeric({},{})", bounds.precision, bounds.scale),
        ),
        DataType::Decimal(_) => exact(PostgresType::Numeric, "numeric"),
        DataType::Char(length) if (1..=LENGTH_MAX).contains(length) => {
            exact(PostgresType::Text, &format!("character({length})"))
        }
        DataType::Varchar(Some(length)) if (1..=LENGTH_MAX).contains(length) => {
            exact(PostgresType::Text, &format!("character varying({length})"))
        }
        DataType::Varchar(None) => exact(PostgresType::Text, "character varying"),
        DataType::Char(_) | DataType::Varchar(Some(_)) | DataType::Text => exact(PostgresType::Text, "text"),
        DataType::Binary(_) | DataType::Blob => exact(PostgresType::Bytea, "bytea"),
        DataType::Date => exact(PostgresType::Date, "date"),
        DataType::Time => exact(PostgresType::Time, &fractional(column, "time", "without")),
        DataType::TimeTz => exact(PostgresType::TimeTz, &fractional(column, "time", "with")),
        DataType::Timestamp => exact(
            PostgresType::Timestamp,
            &fractional(column, "timestamp", "without"),
        ),
        DataType::TimestampTz => exact(
            PostgresType::TimestampTz,
            &fractional(column, "timestamp", "with"),
        ),
        DataType::Uuid => exact(PostgresType::Uuid, "uuid"),
        DataType::Json if column.native_type == "jsonb" => exact(PostgresType::Jsonb, "jsonb"),
        DataType::Json => exact(PostgresType::Json, "json"),
        DataType::Other if native(column).is_some() => exact(PostgresType::Text, "text"),
        DataType::Other => Chosen {
            postgres_type: PostgresType::Text,
            spelled: "text".to_owned(),
            note: Some(format!("{} travels as text", column.native_type)),
        },
    }
}

/// Types that every Postgres has and that no shared word fits. Not those that MySQL has too, as another type.
const BUILT_IN: [&str; 18] = [
    "bit",
    "bit varying",
    "box",
    "cidr",
    "circle",
    "daterange",
    "inet",
    "int4range",
    "int8range",
    "interval",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "numrange",
    "path",
    "tsrange",
    "tstzrange",
];
/// The same, where no text of theirs can mean anything else.
const BUILT_IN_TEXTS: [&str; 4] = ["pg_lsn", "tsquery", "tsvector", "xml"];
/// What an array may be of, beside those.
const ELEMENTS: [&str; 17] = [
    "bigint",
    "boolean",
    "bytea",
    "character",
    "character varying",
    "date",
    "double precision",
    "integer",
    "json",
    "jsonb",
    "numeric",
    "real",
    "smallint",
    "text",
    "time without time zone",
    "timestamp with time zone",
    "uuid",
];

/// The type of its own that a column of a Postgres gets, though its values travel as text; `None` if it has none, or one
/// that not every Postgres has.
pub(super) fn native(column: &Column) -> Option<&str> {
    let spelled = column.native_type.as_str();
    let is = |names: &[&str], name: &str| names.contains(&name);
    let bare = without_bounds(spelled.strip_suffix("[]").unwrap_or(spelled));
    let built_in = is(&BUILT_IN, &bare) || is(&BUILT_IN_TEXTS, &bare);
    let known = match &column.data_type {
        DataType::Text => spelled == "xml",
        DataType::Other if spelled.ends_with("[]") => {
            built_in || is(&ELEMENTS, &bare) || bare == "timestamp without time zone"
        }
        DataType::Other => built_in,
        _ => false,
    };
    known.then_some(spelled)
}

/// `character varying(20)` without its bounds, wherever they stand.
fn without_bounds(spelled: &str) -> String {
    match (spelled.find('('), spelled.find(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &spelled[..open], &spelled[close + 1..]),
        _ => spelled.to_owned(),
    }
}

/// A type of moments with as many digits of a second as the source declares, if fewer than Postgres keeps.
fn fractional(column: &Column, name: &str, zone: &str) -> String {
    let declared = column
        .native_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(digits, _)| digits.trim().parse::<u8>().ok());
    match declared.filter(|digits| *digits < FRACTION_DIGITS) {
        Some(digits) => format!("{name}({digits}) {zone} time zone"),
        None => format!("{name} {zone} time zone"),
    }
}

/// The type whose binary form a column of a Postgres catalogue takes; `None` if none is known.
pub(in crate::postgres) fn of_column(column: &Column) -> Option<PostgresType> {
    Some(match &column.data_type {
        DataType::Boolean => PostgresType::Boolean,
        DataType::SmallInt => PostgresType::SmallInt,
        DataType::Integer => PostgresType::Integer,
        DataType::BigInt if column.native_type != "oid" => PostgresType::BigInt,
        DataType::Real => PostgresType::Real,
        DataType::Double => PostgresType::Double,
        DataType::Decimal(_) => PostgresType::Numeric,
        DataType::Char(_) | DataType::Varchar(_) => PostgresType::Text,
        DataType::Text if column.native_type != "xml" => PostgresType::Text,
        DataType::VarcharIgnoreCase(_) => PostgresType::Citext,
        DataType::Binary(_) | DataType::Blob => PostgresType::Bytea,
        DataType::Date => PostgresType::Date,
        DataType::Time => PostgresType::Time,
        DataType::TimeTz => PostgresType::TimeTz,
        DataType::Timestamp => PostgresType::Timestamp,
        DataType::TimestampTz => PostgresType::TimestampTz,
        DataType::Uuid => PostgresType::Uuid,
        DataType::Json if column.native_type == "jsonb" => PostgresType::Jsonb,
        DataType::Json => PostgresType::Json,
        DataType::BigInt | DataType::Text | DataType::Other => return None,
    })
}
