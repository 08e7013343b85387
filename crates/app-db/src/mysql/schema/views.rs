//! Views, each after those that it uses.

use std::collections::HashMap;

use metaferry_domain::schema::{Name, View};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::{STAGED_PREFIX, word};
use crate::mysql::connect::quoted;
use crate::mysql::flavour::Flavour;

pub(super) async fn read(
    connection: &mut MySqlConnection,
    flavour: Flavour,
    database: &str,
    mut columns: HashMap<String, Vec<Name>>,
) -> Result<Vec<View>, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name, view_definition FROM information_schema.views
         WHERE table_schema = ? AND left(lower(table_name), {}) <> '{STAGED_PREFIX}' ORDER BY table_name",
        STAGED_PREFIX.len()
    )))
    .bind(database)
    .fetch_all(connection)
    .await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in &rows {
        let (name, query) = (word(row, 0)?, word(row, 1)?);
        if query.is_empty() {
            tracing::warn!(view = %name, "its query is not shown to this user (SHOW VIEW); left out");
            continue;
        }
        views.push(View {
            schema: Name::new(database),
            columns: columns.remove(&name).unwrap_or_default(),
            name: Name::new(name),
            query: flavour.expression(query),
            comment: None,
        });
    }
    Ok(in_order(database, views))
}

/// Each after those that it uses, by name where that leaves a choice. The server writes every table with its
/// database; views cannot use each other in a circle.
fn in_order(database: &str, mut waiting: Vec<View>) -> Vec<View> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let named: Vec<String> = waiting
            .iter()
            .map(|view| format!("{}.{}", quoted(database), quoted(view.name.as_str())))
            .collect();
        let at = waiting
            .iter()
            .enumerate()
            .position(|(at, view)| {
                !named
                    .iter()
                    .enumerate()
                    .any(|(other, name)| other != at && view.query.text.contains(name))
            })
            .unwrap_or(0);
        ordered.push(waiting.remove(at));
    }
    ordered
}
