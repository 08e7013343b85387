//! By what keys the server compares texts. It alone knows: under `utf8mb4_unicode_ci` case, accents and trailing blanks
//! do not count, `ß` is `ss`, and all emoji are one.

use std::collections::HashMap;

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use crate::error::failed;
use crate::mysql::connect::text;
use crate::mysql::translate::{COLLATION, Translation};

/// Texts that one question asks about; a row of an answer has at most 4096 columns.
const TEXTS_MAX: usize = 500;
/// Bytes of one question.
const QUESTION_BYTES: usize = 512 << 10;

/// The collations of a database's columns.
#[derive(Debug)]
pub(super) struct Collations {
    /// By table and column, in lower case.
    of_columns: HashMap<(String, String), String>,
    /// That of all others.
    otherwise: Option<&'static str>,
}

impl Collations {
    /// Those of the tables that are there.
    pub(super) async fn of(connection: &mut MySqlConnection, database: &str) -> Result<Self, PortError> {
        let look = |error| failed("look at the collations of the target", error);
        let rows = sqlx::query(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns
             WHERE table_schema = ? AND collation_name IS NOT NULL",
        )
        .bind(database)
        .fetch_all(connection)
        .await
        .map_err(look)?;
        let mut of_columns = HashMap::with_capacity(rows.len());
        for row in &rows {
            let word = |position| text(row, position).map_err(look).map(Option::unwrap_or_default);
            of_columns.insert((word(0)?.to_lowercase(), word(1)?.to_lowercase()), word(2)?);
        }
        Ok(Self {
            of_columns,
            otherwise: None,
        })
    }

    /// Those of the tables that there will be.
    pub(super) fn translated(translation: &Translation) -> Self {
        let mut of_columns = HashMap::new();
        for table in &translation.tables {
            for column in &table.columns {
                if let Some(collation) = column.collation {
                    let place = (table.name.to_lowercase(), column.name.to_lowercase());
                    of_columns.insert(place, collation.to_owned());
                }
            }
        }
        Self {
            of_columns,
            otherwise: Some(COLLATION),
        }
    }

    /// That of a column; `None` where it holds no text.
    pub(super) fn of_column(&self, table: &str, column: &str) -> Option<&str> {
        self.of_columns
            .get(&(table.to_owned(), column.to_owned()))
            .map(String::as_str)
            .or(self.otherwise)
    }
}

/// The key of each text.
pub(super) async fn keys(
    connection: &mut MySqlConnection,
    collation: &str,
    texts: &[&str],
) -> Result<Vec<Vec<u8>>, PortError> {
    let texts: Vec<&str> = texts.iter().map(|text| padded_off(collation, text)).collect();
    let mut known: HashMap<&str, Vec<u8>> = HashMap::new();
    known.insert("", Vec::new());
    let mut asked: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for &text in &texts {
        if known.contains_key(text) {
            continue;
        }
        known.insert(text, Vec::new());
        bytes += text.len();
        asked.push(text);
        if asked.len() >= TEXTS_MAX || bytes >= QUESTION_BYTES {
            ask(connection, collation, &asked, &mut known).await?;
            asked.clear();
            bytes = 0;
        }
    }
    ask(connection, collation, &asked, &mut known).await?;
    Ok(texts
        .iter()
        .map(|text| known.get(text).cloned().unwrap_or_default())
        .collect())
}

async fn ask<'a>(
    connection: &mut MySqlConnection,
    collation: &str,
    texts: &[&'a str],
    known: &mut HashMap<&'a str, Vec<u8>>,
) -> Result<(), PortError> {
    if texts.is_empty() {
        return Ok(());
    }
    let look = |error| failed("ask the target how it compares texts", error);
    let questions: Vec<String> = texts
        .iter()
        .map(|text| {
            format!(
                "WEIGHT_STRING('{}' COLLATE {collation})",
                text.replace('\'', "''")
            )
        })
        .collect();
    let sql = format!("SELECT {}", questions.join(", "));
    let row = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .map_err(look)?;
    for (position, &text) in texts.iter().enumerate() {
        let key: Option<Vec<u8>> = row.try_get_unchecked(position).map_err(look)?;
        // Without a key all such texts would be one.
        let key = key.ok_or_else(|| {
            PortError::new(
                ErrorKind::Unsupported,
                format!(
                    "a text of {} bytes in a column that is part of a key is longer than what the target compares at once; \
                     raise its max_allowed_packet, or leave the table out",
                    text.len()
                ),
            )
        })?;
        known.insert(text, key);
    }
    Ok(())
}

/// The text without the blanks at its end, where they do not count: in all collations but those that say so in their
/// name, and MySQL's newer ones.
fn padded_off<'a>(collation: &str, text: &'a str) -> &'a str {
    if collation.contains("nopad") || collation.starts_with("utf8mb4_0900") {
        text
    } else {
        text.trim_end_matches(' ')
    }
}

#[cfg(test)]
mod tests {
    use super::padded_off;

    #[test]
    fn blanks_at_the_end_count_where_the_collation_says_so() {
        assert_eq!(padded_off("utf8mb4_unicode_ci", "a  "), "a");
        assert_eq!(padded_off("utf8mb4_bin", " a "), " a");
        assert_eq!(padded_off("utf8mb4_unicode_nopad_ci", "a "), "a ");
        assert_eq!(padded_off("utf8mb4_0900_ai_ci", "a "), "a ");
    }
}
