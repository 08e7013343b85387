//! Casts that mean the same on both sides, and those that need other words.

use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, Expr, TimezoneInfo};

use super::super::query::Scope;
use super::super::{Kind, Untranslatable, Words};
use super::Printed;

/// What a cast goes to: the kind, and H2's name of the type for NULL and for conversions.
fn destination(data_type: &DataType) -> Option<(Kind, &'static str)> {
    Some(match data_type {
        DataType::Text
        | DataType::CharacterLargeObject(None)
        | DataType::CharacterVarying(None)
        | DataType::CharVarying(None)
        | DataType::Varchar(None) => (Kind::Text, "CHARACTER VARYING"),
        DataType::Boolean | DataType::Bool => (Kind::Boolean, "BOOLEAN"),
        DataType::SmallInt(None) | DataType::Int2(None) => (Kind::Integer, "SMALLINT"),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => (Kind::Integer, "INTEGER"),
        DataType::BigInt(None) | DataType::Int8(None) => (Kind::Integer, "BIGINT"),
        DataType::DoublePrecision | DataType::Float8 => (Kind::Float, "DOUBLE PRECISION"),
        DataType::Numeric(ExactNumberInfo::None) => (Kind::Exact, "DECFLOAT"),
        DataType::Date => (Kind::Date, "DATE"),
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            (Kind::Timestamp, "TIMESTAMP")
        }
        DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            (Kind::TimestampTz, "TIMESTAMP WITH TIME ZONE")
        }
        DataType::Uuid => (Kind::Uuid, "UUID"),
        DataType::Bytea => (Kind::Bytes, "BINARY VARYING"),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match name.to_string().rsplit('.').next()? {
                "citext" | "VARCHAR_IGNORECASE" => (Kind::CaseBlind, "VARCHAR_IGNORECASE"),
                "bpchar" => (Kind::Padded, "CHARACTER VARYING"),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// A NULL, with or without a type.
pub(in crate::sql) fn is_null(printed: &Printed) -> bool {
    printed.kind == Kind::Untyped && (printed.text == "NULL" || printed.text.starts_with("CAST(NULL AS "))
}

/// Text without a bound, so that a cast to it loses nothing.
pub(super) fn is_unbounded_text(data_type: &DataType) -> bool {
    matches!(destination(data_type), Some((Kind::Text, _)))
}

/// `text[]` and `character varying[]`.
pub(super) fn is_text_array(element: &ArrayElemTypeDef) -> bool {
    match element {
        ArrayElemTypeDef::SquareBracket(data_type, None) => is_unbounded_text(data_type),
        _ => false,
    }
}

/// A whole number as Postgres writes one in an expression, above all a negative one: `'-5'::integer`.
fn number(inner: &Expr, data_type: &DataType) -> Option<(i64, Kind)> {
    match destination(data_type) {
        Some((Kind::Integer, _)) => Some((super::string_literal(inner)?.parse().ok()?, Kind::Integer)),
        _ => None,
    }
}

pub(super) fn print(
    inner: &Expr,
    data_type: &DataType,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    if let Some((number, kind)) = number(inner, data_type) {
        return Ok(if number < 0 {
            Printed::loose(number.to_string(), kind, Vec::new())
        } else {
            Printed::tight(number.to_string(), kind, Vec::new())
        });
    }
    let inner = super::print(inner, scope)?;
    let refuse = || Untranslatable::new(format!("a cast of {:?} to {data_type}", inner.kind));
    let words = scope.words();
    let (kind, h2_type) = destination(data_type).ok_or_else(refuse)?;
    let h2_type = words.type_name(h2_type);
    let cast = |printed: &Printed| {
        Printed::tight(
            format!("CAST({} AS {h2_type})", printed.text),
            kind,
            printed.columns.clone(),
        )
    };
    if inner.kind == Kind::Untyped && inner.text == "NULL" {
        // A NULL goes with every kind: Postgres itself lets a branch of a UNION be NULL of another type.
        return Ok(match words {
            Words::MySql => inner,
            Words::H2 | Words::Postgres => Printed {
                kind: Kind::Untyped,
                ..cast(&inner)
            },
        });
    }
    Ok(match (inner.kind, kind) {
        // A string literal and a text are what they are; H2 needs no cast.
        (Kind::Untyped, Kind::Text | Kind::Padded) | (Kind::Text, Kind::Text) => Printed { kind, ..inner },
        (Kind::Padded, Kind::Padded) | (Kind::CaseBlind, Kind::CaseBlind) => inner,
        // Postgres drops the padding on the way to text, H2 keeps it.
        (Kind::Padded, Kind::Text) if words == Words::H2 => {
            Printed::tight(format!("RTRIM({})", inner.text), kind, inner.columns)
        }
        // All of its texts are compared as their collation says, and CHAR is read without its padding.
        (Kind::Padded | Kind::CaseBlind | Kind::Uuid, Kind::Text) if words == Words::MySql => {
            Printed { kind, ..inner }
        }
        (Kind::Untyped | Kind::Text, Kind::CaseBlind) if words == Words::MySql => Printed { kind, ..inner },
        // Not by CAST, whose result has a collation that goes with no column's.
        (Kind::Integer, Kind::Text) if words == Words::MySql => {
            Printed::tight(format!("concat({})", inner.text), kind, inner.columns)
        }
        (Kind::CaseBlind | Kind::Integer, Kind::Text) => cast(&inner),
        (Kind::Uuid, Kind::Text) => cast(&inner),
        (Kind::Boolean, Kind::Text) => Printed::tight(
            format!(
                "{}(CAST({} AS {h2_type}))",
                words.name_of_truth().ok_or_else(refuse)?,
                inner.text
            ),
            kind,
            inner.columns,
        ),
        (Kind::Untyped | Kind::Text, Kind::CaseBlind) => cast(&inner),
        (Kind::Integer, Kind::Integer | Kind::Float) => cast(&inner),
        (Kind::Text, Kind::Integer) => cast(&inner),
        (Kind::Float, Kind::Float) => cast(&inner),
        (Kind::Integer | Kind::Exact, Kind::Exact) => Printed { kind, ..inner },
        (one, other) if one == other => inner,
        _ => return Err(refuse()),
    })
}
