//! SQL type names, as H2 writes them and as one may write them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::parser::{Parsed, Parser, Qualified};
use crate::SqlType;

/// Arrays and rows within each other, at most.
const NESTING_MAX: u8 = 32;

/// Longest CHARACTER VARYING and BINARY VARYING, which are those without a length.
const VARYING_MAX: u32 = 1_000_000_000;
/// Precision of NUMERIC and DECFLOAT without one.
const PRECISION_MAX: u32 = 100_000;
/// Binary digits of REAL; a FLOAT with more is a DOUBLE PRECISION.
const REAL_BITS: u32 = 24;
const TIME_DIGITS_DEFAULT: u8 = 0;
const TIMESTAMP_DIGITS_DEFAULT: u8 = 6;
const FRACTION_DIGITS_MAX: u8 = 9;

/// Reads a type. `domain` gives the type of a domain, `None` if it is not known (yet).
pub(super) fn sql_type(
    parser: &mut Parser<'_>,
    domain: &dyn Fn(&Qualified) -> Option<SqlType>,
) -> Parsed<SqlType> {
    nested_type(parser, domain, NESTING_MAX)
}

fn nested_type(
    parser: &mut Parser<'_>,
    domain: &dyn Fn(&Qualified) -> Option<SqlType>,
    nesting: u8,
) -> Parsed<SqlType> {
    let Some(mut left) = nesting.checked_sub(1) else {
        return parser.expected("types are nested too deeply");
    };
    let mut sql_type = if parser.is_quoted_name_next()? {
        let start = *parser;
        let name = parser.qualified()?;
        match domain(&name) {
            Some(found) => found,
            None => return start.expected("an unknown domain"),
        }
    } else if parser.eat(&["ROW"])? {
        row(parser, domain, left)?
    } else {
        plain_type(parser)?
    };
    while parser.eat(&["ARRAY"])? {
        let Some(less) = left.checked_sub(1) else {
            return parser.expected("types are nested too deeply");
        };
        left = less;
        if parser.eat_symbol('[')? {
            let _cardinality_max: u64 = parser.integer()?;
            parser.expect_symbol(']', "a closing bracket is missing")?;
        }
        sql_type = SqlType::Array(Box::new(sql_type));
    }
    Ok(sql_type)
}

fn row(
    parser: &mut Parser<'_>,
    domain: &dyn Fn(&Qualified) -> Option<SqlType>,
    nesting: u8,
) -> Parsed<SqlType> {
    parser.expect_symbol('(', "the fields of a ROW are missing")?;
    let mut fields = Vec::new();
    loop {
        let name = parser.name()?;
        fields.push((name, nested_type(parser, domain, nesting)?));
        if parser.eat_symbol(')')? {
            return Ok(SqlType::Row(fields));
        }
        parser.expect_symbol(',', "a comma or parenthesis is missing")?;
    }
}

fn plain_type(parser: &mut Parser<'_>) -> Parsed<SqlType> {
    let start = *parser;
    let word = parser.name()?;
    Ok(match word.as_str() {
        "BOOLEAN" | "BOOL" | "BIT" => SqlType::Boolean,
        "TINYINT" => SqlType::TinyInt,
        "SMALLINT" => SqlType::SmallInt,
        "INTEGER" | "INT" => SqlType::Integer,
        "BIGINT" => SqlType::BigInt,
        "NUMERIC" | "DECIMAL" | "DEC" | "NUMBER" => numeric(parser)?,
        "DECFLOAT" => SqlType::DecFloat(argument(parser)?.unwrap_or(PRECISION_MAX)),
        "REAL" => SqlType::Real,
        "DOUBLE" => {
            parser.eat(&["PRECISION"])?;
            SqlType::Double
        }
        "FLOAT" => match argument::<u32>(parser)? {
            Some(bits) if bits <= REAL_BITS => SqlType::Real,
            Some(_) | None => SqlType::Double,
        },
        "CHARACTER" | "CHAR" | "NCHAR" => {
            if parser.eat(&["VARYING"])? {
                SqlType::Varchar(varying(parser)?)
            } else if parser.eat(&["LARGE", "OBJECT"])? {
                lob(parser, SqlType::Clob)?
            } else {
                SqlType::Char(argument(parser)?.unwrap_or(1))
            }
        }
        "VARCHAR" | "NVARCHAR" => SqlType::Varchar(varying(parser)?),
        "VARCHAR_IGNORECASE" => SqlType::VarcharIgnoreCase(varying(parser)?),
        "CLOB" | "TEXT" => lob(parser, SqlType::Clob)?,
        "BINARY" => {
            if parser.eat(&["VARYING"])? {
                SqlType::Varbinary(varying(parser)?)
            } else if parser.eat(&["LARGE", "OBJECT"])? {
                lob(parser, SqlType::Blob)?
            } else {
                SqlType::Binary(argument(parser)?.unwrap_or(1))
            }
        }
        "VARBINARY" => SqlType::Varbinary(varying(parser)?),
        "BLOB" => lob(parser, SqlType::Blob)?,
        "JSON" => lob(parser, SqlType::Json)?,
        "JAVA_OBJECT" | "OTHER" => lob(parser, SqlType::JavaObject)?,
        "GEOMETRY" => lob(parser, SqlType::Geometry)?,
        "UUID" => SqlType::Uuid,
        "DATE" => SqlType::Date,
        "TIME" => {
            let digits = fraction_digits(parser)?.unwrap_or(TIME_DIGITS_DEFAULT);
            if with_time_zone(parser)? {
                SqlType::TimeTz(digits)
            } else {
                SqlType::Time(digits)
            }
        }
        "TIMESTAMP" => {
            let digits = fraction_digits(parser)?.unwrap_or(TIMESTAMP_DIGITS_DEFAULT);
            if with_time_zone(parser)? {
                SqlType::TimestampTz(digits)
            } else {
                SqlType::Timestamp(digits)
            }
        }
        "ENUM" => enumeration(parser)?,
        "INTERVAL" => interval(parser)?,
        _ => return start.expected("an unknown type"),
    })
}

/// A number in parentheses, if it comes next.
fn argument<N: std::str::FromStr>(parser: &mut Parser<'_>) -> Parsed<Option<N>> {
    if !parser.eat_symbol('(')? {
        return Ok(None);
    }
    let number = parser.integer()?;
    parser.eat(&["CHARACTERS"])?;
    parser.expect_symbol(')', "a closing parenthesis is missing")?;
    Ok(Some(number))
}

/// H2 1.4 allowed, and wrote, lengths above those of 2.x.
fn varying(parser: &mut Parser<'_>) -> Parsed<u32> {
    Ok(argument(parser)?.unwrap_or(VARYING_MAX).min(VARYING_MAX))
}

fn fraction_digits(parser: &mut Parser<'_>) -> Parsed<Option<u8>> {
    let start = *parser;
    match argument(parser)? {
        Some(digits) if digits > FRACTION_DIGITS_MAX => start.expected("more than 9 fraction digits"),
        digits => Ok(digits),
    }
}

fn numeric(parser: &mut Parser<'_>) -> Parsed<SqlType> {
    let (mut precision, mut scale) = (PRECISION_MAX, 0);
    if parser.eat_symbol('(')? {
        precision = parser.integer()?;
        if parser.eat_symbol(',')? {
            scale = parser.integer()?;
        }
        parser.expect_symbol(')', "a closing parenthesis is missing")?;
    }
    Ok(SqlType::Numeric { precision, scale })
}

/// The length of a large object or the subtype of a geometry does not change how values are stored.
fn lob(parser: &mut Parser<'_>, sql_type: SqlType) -> Parsed<SqlType> {
    let mut ahead = *parser;
    if ahead.eat_symbol('(')? {
        parser.in_parentheses()?;
    }
    Ok(sql_type)
}

fn with_time_zone(parser: &mut Parser<'_>) -> Parsed<bool> {
    if parser.eat(&["WITHOUT", "TIME", "ZONE"])? {
        return Ok(false);
    }
    parser.eat(&["WITH", "TIME", "ZONE"])
}

fn enumeration(parser: &mut Parser<'_>) -> Parsed<SqlType> {
    parser.expect_symbol('(', "the labels of an ENUM are missing")?;
    let mut labels = Vec::new();
    loop {
        labels.push(parser.text()?);
        if parser.eat_symbol(')')? {
            return Ok(SqlType::Enum(labels));
        }
        parser.expect_symbol(',', "a comma or parenthesis is missing")?;
    }
}

/// Precisions of intervals do not change how values are stored.
fn interval(parser: &mut Parser<'_>) -> Parsed<SqlType> {
    const FIELDS: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let start = *parser;
    let field = |parser: &mut Parser<'_>| -> Parsed<Option<usize>> {
        let name = parser.name()?;
        lob(parser, SqlType::Interval(0))?;
        Ok(FIELDS.iter().position(|field| *field == name))
    };
    let from = field(parser)?;
    let to = if parser.eat(&["TO"])? {
        field(parser)?
    } else {
        from
    };
    let qualifier = match (from, to) {
        (Some(from), Some(to)) if from == to => u8::try_from(from).ok(),
        (Some(0), Some(1)) => Some(6),
        (Some(2), Some(3)) => Some(7),
        (Some(2), Some(4)) => Some(8),
        (Some(2), Some(5)) => Some(9),
        (Some(3), Some(4)) => Some(10),
        (Some(3), Some(5)) => Some(11),
        (Some(4), Some(5)) => Some(12),
        (Some(_), Some(_)) | (None, _) | (_, None) => None,
    };
    match qualifier {
        Some(qualifier) => Ok(SqlType::Interval(qualifier)),
        None => start.expected("an unknown INTERVAL"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Parser, SqlType, sql_type};

    fn parse(text: &str) -> SqlType {
        let mut parser = Parser::new(text);
        let found = sql_type(&mut parser, &|name| {
            (name.1 == "EMAIL").then_some(SqlType::Varchar(255))
        })
        .unwrap();
        assert_eq!(parser.rest().trim(), "", "{text}");
        found
    }

    #[test]
    fn reads_the_forms_that_h2_writes() {
        for (text, expected) in [
            ("CHARACTER VARYING(40)", SqlType::Varchar(40)),
            ("CHARACTER VARYING", SqlType::Varchar(1_000_000_000)),
            ("CHARACTER LARGE OBJECT(10 K CHARACTERS)", SqlType::Clob),
            ("BINARY(5)", SqlType::Binary(5)),
            (
                "DECIMAL(13, 4)",
                SqlType::Numeric {
                    precision: 13,
                    scale: 4,
                },
            ),
            ("FLOAT(24)", SqlType::Real),
            ("FLOAT(25)", SqlType::Double),
            ("DOUBLE PRECISION", SqlType::Double),
            ("TIME(9) WITH TIME ZONE", SqlType::TimeTz(9)),
            ("TIMESTAMP", SqlType::Timestamp(6)),
            ("INTERVAL DAY(18) TO SECOND(9)", SqlType::Interval(9)),
            ("INTERVAL SECOND(18, 9)", SqlType::Interval(5)),
            ("GEOMETRY(POINT, 4326)", SqlType::Geometry),
            (
                "\"APP\".\"EMAIL\" ARRAY",
                SqlType::Array(Box::new(SqlType::Varchar(255))),
            ),
            (
                "ENUM('a', 'it''s, b')",
                SqlType::Enum(vec!["a".into(), "it's, b".into()]),
            ),
            ("INTEGER ARRAY[10]", SqlType::Array(Box::new(SqlType::Integer))),
            (
                "ROW(\"X\" INTEGER)",
                SqlType::Row(vec![("X".into(), SqlType::Integer)]),
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn refuses_endless_nesting() {
        let text = format!("INTEGER {}", "ARRAY ".repeat(1000));
        assert!(sql_type(&mut Parser::new(&text), &|_| None).is_err());
        let text = "ROW(A ".repeat(100_000);
        assert!(sql_type(&mut Parser::new(&text), &|_| None).is_err());
    }
}
