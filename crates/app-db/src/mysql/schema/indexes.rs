//! Primary keys, unique keys and other indexes, which are one thing here.

use metaferry_domain::schema::{Index, IndexOrder, IndexPart, Key, Name, Table, Uniqueness};
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::{Tables, text, word};
use crate::mysql::connect::quoted;
use crate::mysql::flavour::Flavour;

pub(super) async fn read(
    connection: &mut MySqlConnection,
    flavour: Flavour,
    database: &str,
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    // A row per part. Only B-trees and hashes mean something to another database.
    let expression = flavour.index_expression();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name, index_name, CAST(non_unique AS SIGNED), column_name, collation,
             CAST(sub_part AS SIGNED), {expression}
         FROM information_schema.statistics
         WHERE table_schema = ? AND index_type IN ('BTREE', 'HASH')
         ORDER BY table_name, index_name, seq_in_index"
    )))
    .bind(database)
    .fetch_all(connection)
    .await?;
    let mut last: Option<(String, String)> = None;
    for row in &rows {
        let (table_name, name) = (word(row, 0)?, word(row, 1)?);
        let Some(table) = tables.table(&table_name) else {
            continue;
        };
        let this = Some((table_name, name.clone()));
        if last != this {
            last = this;
            table.indexes.push(Index {
                name: Name::new(name),
                uniqueness: if row.try_get::<i64, _>(2)? == 0 {
                    Uniqueness::Unique
                } else {
                    Uniqueness::NonUnique
                },
                parts: Vec::new(),
                predicate: None,
            });
        }
        let part = match (text(row, 3)?, row.try_get::<Option<i64>, _>(5)?, text(row, 6)?) {
            (Some(column), None, _) => IndexPart::Column {
                name: Name::new(column),
                order: if word(row, 4)? == "D" {
                    IndexOrder::Descending
                } else {
                    IndexOrder::Ascending
                },
            },
            // The first letters of a column: to another database an expression.
            (Some(column), Some(letters), _) => IndexPart::Expression(metaferry_domain::schema::SqlText {
                dialect: metaferry_domain::schema::Dialect::MySql,
                text: format!("left({}, {letters})", quoted(&column)),
            }),
            (None, _, Some(expression)) => IndexPart::Expression(flavour.expression(expression)),
            (None, _, None) => continue,
        };
        if let Some(index) = table.indexes.last_mut() {
            index.parts.push(part);
        }
    }
    tables.tables.iter_mut().for_each(sort_out);
    Ok(())
}

/// Which of the indexes are keys, and which the server made for a foreign key by itself.
fn sort_out(table: &mut Table) {
    let mut indexes = Vec::new();
    for index in std::mem::take(&mut table.indexes) {
        let columns: Option<Vec<Name>> = index
            .parts
            .iter()
            .map(|part| match part {
                IndexPart::Column { name, .. } => Some(name.clone()),
                IndexPart::Expression(_) => None,
            })
            .collect();
        match (index.uniqueness, columns) {
            (Uniqueness::Unique, Some(columns)) if index.name.as_str() == "PRIMARY" => {
                table.primary_key = Some(Key {
                    name: index.name,
                    columns,
                });
            }
            (Uniqueness::Unique, Some(columns)) => table.uniques.push(Key {
                name: index.name,
                columns,
            }),
            (Uniqueness::NonUnique, Some(columns)) if is_of_foreign_key(table, &index.name, &columns) => {}
            (Uniqueness::Unique | Uniqueness::NonUnique, _) => indexes.push(index),
        }
    }
    table.indexes = indexes;
}

/// It has the foreign key's name then, and exactly its columns.
fn is_of_foreign_key(table: &Table, name: &Name, columns: &[Name]) -> bool {
    table
        .foreign_keys
        .iter()
        .any(|foreign| foreign.name.key() == name.key() && foreign.columns == columns)
}
