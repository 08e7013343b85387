//! One column's definition.

use metaferry_domain::PortError;
use metaferry_domain::schema::{Nullability, ValueSource};

use super::types::MySqlType;
use super::{Parts, Supply, TranslatedColumn, Translator, own, place, unsupported};
use crate::sql;
use crate::sql::mysql_text::identifier;

/// The longest comment on a column, in letters.
const COMMENT_MAX: usize = 1024;
/// The present moment as [`sql::default_to_mysql`] says it.
const NOW: &str = "current_timestamp(6)";

impl Translator<'_> {
    /// Adds the definition of a column. `identity` is the one before it that is `AUTO_INCREMENT`.
    pub(super) fn column(
        &mut self,
        table_at: usize,
        at: usize,
        name: String,
        identity: Option<usize>,
        parts: &mut Parts,
    ) -> Result<TranslatedColumn, PortError> {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[table_at];
        let (column, mysql_type) = (&table.columns[at], self.types[table_at][at].clone());
        let (table_key, column_key) = (table.name.key(), column.name.key());
        let quoted = identifier(&name);
        let collation = own::collation(&table_key, &column_key);
        let mut definition = format!("{quoted} {}", mysql_type.spelled());
        if let Some(collation) = collation {
            definition.push_str(&format!(" CHARACTER SET utf8mb4 COLLATE {collation}"));
        }
        let mut source = Supply::Rows;
        let mut value = None;
        match &column.value_source {
            ValueSource::None => {}
            ValueSource::Identity { next } if mysql_type.is_whole() && identity.is_none() => {
                source = Supply::Identity { next: *next };
            }
            ValueSource::Identity { .. } => self.notes.push(format!(
                "{}: its sequence is left out, {}",
                place(table, column),
                match identity {
                    Some(_) => "a table has one of them on MySQL",
                    None => "it is no whole number",
                }
            )),
            ValueSource::Default(default) => match sql::default_to_mysql(default, &column.data_type)
                .map_err(|why| why.to_string())
                .and_then(|text| fitting_default(text, &mysql_type))
            {
                // What every column does by itself.
                Ok(text) if text.eq_ignore_ascii_case("null") => {}
                Ok(text) => value = Some(text),
                Err(why) => self.notes.push(format!(
                    "{}: its default {} is left out because of {why}",
                    place(table, column),
                    default.text
                )),
            },
            ValueSource::Generated(expression) => {
                let text = sql::expression_to_mysql(expression, table).map_err(|why| {
                    unsupported(format!(
                        "{} is generated as {}, which cannot be carried to MySQL because of {why}; leave the table out (--exclude)",
                        place(table, column),
                        expression.text
                    ))
                })?;
                definition.push_str(&format!(" GENERATED ALWAYS AS ({text}) STORED"));
                source = Supply::Generated;
            }
        }
        let is_null = column.nullability == Nullability::Nullable;
        if source != Supply::Generated {
            // A bare TIMESTAMP would be NOT NULL on some servers.
            if !is_null {
                definition.push_str(" NOT NULL");
            } else if mysql_type.is_timestamp() {
                definition.push_str(" NULL");
            }
            if value.is_none() && !is_null && mysql_type.is_timestamp() {
                // And one without a default would change with every update of its row. So it has one, and loses it again
                // where it should have none and the server can be trusted.
                let now = fitting_default(NOW.to_owned(), &mysql_type).map_err(unsupported)?;
                value = Some(now);
                if !own::is_filled(&table_key, &column_key) {
                    parts
                        .undefaulted
                        .push(format!("ALTER COLUMN {quoted} DROP DEFAULT"));
                }
            }
        }
        match (&value, source) {
            (Some(value), _) => definition.push_str(&format!(" DEFAULT {value}")),
            (None, Supply::Rows) if is_null && mysql_type.is_timestamp() => {
                definition.push_str(" DEFAULT NULL")
            }
            (None, Supply::Identity { .. }) => definition.push_str(" AUTO_INCREMENT"),
            (None, Supply::Rows | Supply::Generated) => {}
        }
        if let Some(comment) = &column.comment {
            let comment = self.comment(comment, COMMENT_MAX, &place(table, column));
            definition.push_str(&comment);
        }
        parts.lines.push(definition);
        Ok(TranslatedColumn {
            name,
            source,
            collation,
            is_timestamp: mysql_type.is_timestamp(),
        })
    }
}

/// A default that a column of that type takes.
fn fitting_default(text: String, mysql_type: &MySqlType) -> Result<String, String> {
    if text == NOW {
        return match (mysql_type, mysql_type.fraction_digits()) {
            // As many digits as the column has, or the server refuses it.
            (MySqlType::DateTime(_) | MySqlType::Timestamp(_), Some(0)) => {
                Ok("current_timestamp()".to_owned())
            }
            (MySqlType::DateTime(_) | MySqlType::Timestamp(_), Some(digits)) => {
                Ok(format!("current_timestamp({digits})"))
            }
            (MySqlType::Time(_), Some(digits)) => Ok(format!("(curtime({digits}))")),
            (MySqlType::Date, _) => Ok("(curdate())".to_owned()),
            (MySqlType::Native(_), _) => Ok(text),
            (
                MySqlType::Bit
                | MySqlType::TinyInt
                | MySqlType::SmallInt
                | MySqlType::Int
                | MySqlType::BigInt
                | MySqlType::Float
                | MySqlType::Double
                | MySqlType::Decimal(..)
                | MySqlType::Char(_)
                | MySqlType::Varchar(_)
                | MySqlType::LongText
                | MySqlType::Binary(_)
                | MySqlType::Varbinary(_)
                | MySqlType::Blob
                | MySqlType::LongBlob
                | MySqlType::Time(_)
                | MySqlType::DateTime(_)
                | MySqlType::Timestamp(_),
                _,
            ) => Err(format!("a moment in a {}", mysql_type.spelled())),
        };
    }
    if mysql_type.is_large() && !text.starts_with('(') && !text.eq_ignore_ascii_case("null") {
        return Ok(format!("({text})"));
    }
    Ok(text)
}
