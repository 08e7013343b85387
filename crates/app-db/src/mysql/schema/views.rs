//! Views, each after those that it uses.

use std::collections::HashMap;

use metaferry_domain::schema::{Name, View};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::{STAGED_PREFIX, word};
use crate::mysql::connect::quoted;
use crate::mysql::flavour::Flavour;

/// The views of a database.
pub(in crate::mysql) struct Views {
    pub(in crate::mysql) views: Vec<View>,
    /// Names of those whose queries this user is not shown.
    pub(in crate::mysql) hidden: Vec<String>,
}

/// What gives a user the queries of a database's views.
pub(in crate::mysql) fn remedy(database: &str) -> String {
    format!("GRANT SHOW VIEW ON {}.* to it", quoted(database))
}

/// What is said of views that do not travel, if there are any.
pub(in crate::mysql) fn hidden_note(database: &str, hidden: &[String]) -> Option<String> {
    (!hidden.is_empty()).then(|| {
        format!(
            "views {} are left out because this user is not shown their queries; {}, and do this again",
            hidden.join(", "),
            remedy(database)
        )
    })
}

/// Names of the views whose queries this user is not shown.
pub(in crate::mysql) async fn hidden(
    connection: &mut MySqlConnection,
    database: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT table_name FROM information_schema.views
         WHERE table_schema = ? AND coalesce(view_definition, '') = '' ORDER BY table_name",
    )
    .bind(database)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| word(row, 0)).collect()
}

pub(super) async fn read(
    connection: &mut MySqlConnection,
    flavour: Flavour,
    database: &str,
    mut columns: HashMap<String, Vec<Name>>,
) -> Result<Views, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name, view_definition FROM information_schema.views
         WHERE table_schema = ? AND left(lower(table_name), {}) <> '{STAGED_PREFIX}' ORDER BY table_name",
        STAGED_PREFIX.len()
    )))
    .bind(database)
    .fetch_all(connection)
    .await?;
    let (mut views, mut hidden) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let (name, query) = (word(row, 0)?, word(row, 1)?);
        if query.is_empty() {
            hidden.push(name);
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
    Ok(Views {
        views: in_order(database, views),
        hidden,
    })
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
