//! Foreign keys and checks. Primary and unique keys are indexes here.

use metaferry_domain::schema::{Check, ForeignKey, Name, ReferentialAction};
use sqlx::MySqlConnection;

use super::{Tables, word};
use crate::mysql::flavour::Flavour;

pub(super) async fn read(
    connection: &mut MySqlConnection,
    flavour: Flavour,
    database: &str,
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema,
             k.referenced_table_name, k.referenced_column_name, r.delete_rule, r.update_rule
         FROM information_schema.key_column_usage k
         JOIN information_schema.referential_constraints r
             ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name
            AND r.table_name = k.table_name
         WHERE k.table_schema = ? AND r.constraint_schema = ? AND k.referenced_table_name IS NOT NULL
         ORDER BY k.table_name, k.constraint_name, k.ordinal_position",
    )
    .bind(database)
    .bind(database)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let (table, name, parent) = (word(row, 0)?, word(row, 1)?, word(row, 4)?);
        let Some(table) = tables.table(&table) else {
            continue;
        };
        // A parent outside of the database does not come along, and neither can the rule.
        if !word(row, 3)?.eq_ignore_ascii_case(database) {
            tracing::warn!(table = %table.name, foreign_key = %name, "its parent is in another database; left out");
            continue;
        }
        if table.foreign_keys.last().map(|last| last.name.as_str()) != Some(name.as_str()) {
            table.foreign_keys.push(ForeignKey {
                name: Name::new(name),
                columns: Vec::new(),
                parent_table: Name::new(parent),
                parent_columns: Vec::new(),
                on_delete: action(&word(row, 6)?),
                on_update: action(&word(row, 7)?),
            });
        }
        if let Some(foreign) = table.foreign_keys.last_mut() {
            foreign.columns.push(Name::new(word(row, 2)?));
            foreign.parent_columns.push(Name::new(word(row, 5)?));
        }
    }
    let rows = sqlx::query(flavour.checks_query())
        .bind(database)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let (name, condition) = (Name::new(word(row, 1)?), flavour.expression(word(row, 2)?));
        if let Some(table) = tables.table(&word(row, 0)?) {
            table.checks.push(Check { name, condition });
        }
    }
    Ok(())
}

fn action(rule: &str) -> ReferentialAction {
    match rule.to_ascii_uppercase().as_str() {
        "RESTRICT" => ReferentialAction::Restrict,
        "CASCADE" => ReferentialAction::Cascade,
        "SET NULL" => ReferentialAction::SetNull,
        "SET DEFAULT" => ReferentialAction::SetDefault,
        _ => ReferentialAction::NoAction,
    }
}
