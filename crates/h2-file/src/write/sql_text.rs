//! Identifiers, string literals and type names, spelled as H2 itself spells them, so that it has nothing to
//! rewrite when it opens the file.

use std::fmt::Write as _;

use crate::SqlType;

/// H2's longest CHARACTER VARYING and BINARY VARYING, which is what no length means.
const VARYING_MAX: u32 = 1_000_000_000;
/// The precision of NUMERIC and DECFLOAT when none is given.
const NUMERIC_MAX: u32 = 100_000;

/// `"NAME"`, or `U&"\65e5"` where the name needs it.
pub(crate) fn identifier(name: &str) -> String {
    quoted(name, '"')
}

/// `"SCHEMA"."NAME"`.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// `'text'`, or `U&'\00e9'` where the text needs it.
pub(crate) fn literal(text: &str) -> String {
    quoted(text, '\'')
}

fn quoted(text: &str, quote: char) -> String {
    let plain = text.chars().all(|one| (' '..='~').contains(&one));
    let mut sql = String::with_capacity(text.len() + 2);
    if !plain {
        sql.push_str("U&");
    }
    sql.push(quote);
    for one in text.chars() {
        if one == quote {
            sql.extend([quote, quote]);
        } else if plain || ((' '..='~').contains(&one) && one != '\\') {
            sql.push(one);
        } else if one == '\\' {
            sql.push_str("\\\\");
        } else {
            let code = u32::from(one);
            // Writing to a String cannot fail.
            let _ = if code > 0xFFFF {
                write!(sql, "\\+{code:06x}")
            } else {
                write!(sql, "\\{code:04x}")
            };
        }
    }
    sql.push(quote);
    sql
}

/// A list of identifiers in parentheses.
pub(crate) fn column_list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| identifier(name)).collect();
    format!("({})", names.join(", "))
}

/// The type as a column declares it.
pub(crate) fn type_name(sql_type: &SqlType) -> String {
    let sized = |name: &str, size: u32, default: u32| {
        if size == default {
            name.to_owned()
        } else {
            format!("{name}({size})")
        }
    };
    let fraction = |name: &str, digits: u8, default: u8| sized(name, digits.into(), default.into());
    match sql_type {
        SqlType::Boolean => "BOOLEAN".to_owned(),
        SqlType::TinyInt => "TINYINT".to_owned(),
        SqlType::SmallInt => "SMALLINT".to_owned(),
        SqlType::Integer => "INTEGER".to_owned(),
        SqlType::BigInt => "BIGINT".to_owned(),
        SqlType::Numeric { precision, scale: 0 } => sized("NUMERIC", *precision, NUMERIC_MAX),
        SqlType::Numeric { precision, scale } => format!("NUMERIC({precision}, {scale})"),
        SqlType::DecFloat(precision) => sized("DECFLOAT", *precision, NUMERIC_MAX),
        SqlType::Real => "REAL".to_owned(),
        SqlType::Double => "DOUBLE PRECISION".to_owned(),
        SqlType::Char(length) => format!("CHARACTER({length})"),
        SqlType::Varchar(length) => sized("CHARACTER VARYING", *length, VARYING_MAX),
        SqlType::VarcharIgnoreCase(length) => sized("VARCHAR_IGNORECASE", *length, VARYING_MAX),
        SqlType::Clob => "CHARACTER LARGE OBJECT".to_owned(),
        SqlType::Binary(length) => format!("BINARY({length})"),
        SqlType::Varbinary(length) => sized("BINARY VARYING", *length, VARYING_MAX),
        SqlType::Blob => "BINARY LARGE OBJECT".to_owned(),
        SqlType::Json => "JSON".to_owned(),
        SqlType::JavaObject => "JAVA_OBJECT".to_owned(),
        SqlType::Geometry => "GEOMETRY".to_owned(),
        SqlType::Uuid => "UUID".to_owned(),
        SqlType::Date => "DATE".to_owned(),
        SqlType::Time(digits) => fraction("TIME", *digits, 0),
        SqlType::TimeTz(digits) => format!("{} WITH TIME ZONE", fraction("TIME", *digits, 0)),
        SqlType::Timestamp(digits) => fraction("TIMESTAMP", *digits, 6),
        SqlType::TimestampTz(digits) => format!("{} WITH TIME ZONE", fraction("TIMESTAMP", *digits, 6)),
        SqlType::Enum(labels) => {
            let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
            format!("ENUM({})", labels.join(", "))
        }
        SqlType::Interval(qualifier) => interval_name(*qualifier).to_owned(),
        SqlType::Array(element) => format!("{} ARRAY", type_name(element)),
        SqlType::Row(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, one)| format!("{} {}", identifier(name), type_name(one)))
                .collect();
            format!("ROW({})", fields.join(", "))
        }
    }
}

/// The interval type of a qualifier with the greatest precision, since [`SqlType`] does not carry one.
fn interval_name(qualifier: u8) -> &'static str {
    match qualifier {
        0 => "INTERVAL YEAR(18)",
        1 => "INTERVAL MONTH(18)",
        2 => "INTERVAL DAY(18)",
        3 => "INTERVAL HOUR(18)",
        4 => "INTERVAL MINUTE(18)",
        5 => "INTERVAL SECOND(18, 9)",
        6 => "INTERVAL YEAR(18) TO MONTH",
        7 => "INTERVAL DAY(18) TO HOUR",
        8 => "INTERVAL DAY(18) TO MINUTE",
        9 => "INTERVAL DAY(18) TO SECOND(9)",
        10 => "INTERVAL HOUR(18) TO MINUTE",
        11 => "INTERVAL HOUR(18) TO SECOND(9)",
        _ => "INTERVAL MINUTE(18) TO SECOND(9)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_outside_ascii_take_the_unicode_form() {
        assert_eq!(identifier("a\"b c"), r#""a""b c""#);
        assert_eq!(identifier("日"), r#"U&"\65e5""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"'a\b'");
        assert_eq!(literal("é\\\n\u{1F600}"), r"U&'\00e9\\\000a\+01f600'");
    }
}
