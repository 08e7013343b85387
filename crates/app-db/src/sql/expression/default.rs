//! Defaults of columns, and the literals in them.

use metaferry_domain::schema::DataType;
use sqlparser::ast::{Expr, UnaryOperator, Value};

use super::super::query::Scope;
use super::super::{Kind, Relations, Untranslatable, Words};
use super::{print, string_literal};

/// A default: no columns, and a literal cast to whatever the column is stands for itself.
pub(in crate::sql) fn print_default(
    expression: &Expr,
    data_type: &DataType,
    words: Words,
) -> Result<String, Untranslatable> {
    let mut bare = expression;
    while let Expr::Nested(inner) = bare {
        bare = inner;
    }
    if let Expr::Function(function) = bare {
        match function.name.to_string().to_lowercase().as_str() {
            // H2 reads its own NOW() as LOCALTIMESTAMP; in a zoned column it is the same instant.
            "now" | "pg_catalog.now" | "localtimestamp" => return Ok(words.now().to_owned()),
            "current_timestamp" if words == Words::MySql => return Ok(words.now().to_owned()),
            "gen_random_uuid" | "uuid_generate_v4" | "random_uuid" => {
                return Ok(words.random_uuid().to_owned());
            }
            _ => {}
        }
    }
    if let Expr::Cast { expr, .. } = bare
        && let Some(text) = string_literal(expr)
    {
        return default_literal(text, data_type, words);
    }
    if let Some(text) = string_literal(bare) {
        return default_literal(text, data_type, words);
    }
    if let (Words::MySql, Expr::Value(value)) = (words, bare)
        && let Value::Boolean(value) = value.value
    {
        return Ok(words.default_truth(value).to_owned());
    }
    let relations = Relations::none(words);
    let text = print(bare, &Scope::over_table(&relations, Vec::new()))?.text;
    // MySQL wants parentheses around everything but literals.
    Ok(match words {
        Words::MySql if !is_literal(bare) && text != "NULL" => format!("({text})"),
        Words::MySql | Words::H2 | Words::Postgres => text,
    })
}

/// A number with or without a sign, or NULL.
fn is_literal(expression: &Expr) -> bool {
    match expression {
        Expr::Value(_) => true,
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => is_literal(expr),
        _ => false,
    }
}

/// A string literal as the default of a column of that type, where both databases read it alike.
fn default_literal(text: &str, data_type: &DataType, words: Words) -> Result<String, Untranslatable> {
    let refuse = || Err(Untranslatable::new(format!("the literal '{text}'")));
    match Kind::of(data_type) {
        Kind::Text | Kind::Padded | Kind::CaseBlind | Kind::Opaque => Ok(words.literal(text)),
        Kind::Integer | Kind::Exact | Kind::Float => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && !text.contains(['_', 'e', 'E']) => Ok(text.trim().to_owned()),
            _ => refuse(),
        },
        Kind::Boolean => match text {
            "t" | "true" => Ok(words.default_truth(true).to_owned()),
            "f" | "false" => Ok(words.default_truth(false).to_owned()),
            _ => refuse(),
        },
        Kind::Date if is_iso_moment(text) => Ok(format!("DATE {}", words.literal(text))),
        Kind::Timestamp if is_iso_moment(text) => Ok(format!("TIMESTAMP {}", words.literal(text))),
        Kind::TimestampTz if words != Words::MySql && is_iso_moment(text) && has_offset(text) => {
            Ok(format!("TIMESTAMP WITH TIME ZONE {}", words.literal(text)))
        }
        Kind::Uuid if text.len() == 36 => Ok(match words {
            Words::H2 | Words::Postgres => format!("UUID {}", words.literal(text)),
            Words::MySql => words.literal(text),
        }),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz | Kind::Uuid | Kind::Bytes | Kind::Untyped => {
            refuse()
        }
    }
}

/// `YYYY-MM-DD` and what may follow it. Words like `now` or `infinity` mean other things in other databases.
fn is_iso_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || b"-:. +".contains(byte))
}

fn has_offset(text: &str) -> bool {
    text.get(10..).is_some_and(|time| time.contains(['+', '-']))
}
