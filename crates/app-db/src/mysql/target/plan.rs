//! Where the rows of the source's tables go, and whether they hold together there.

use std::collections::BTreeSet;

use metaferry_domain::schema::{Catalogue, ForeignKey, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::error::failed;
use crate::load::UnknownColumns;
use crate::mysql::connect::quoted;

/// What a table's writers need to know.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    /// [`Name::key`](metaferry_domain::schema::Name::key) of the table.
    pub(super) key: String,
    /// The target's name of it.
    pub(super) name: String,
    /// The target's name of each column of the source's table; `None` where nothing is written.
    pub(super) columns: Vec<Option<String>>,
    /// Positions of the primary key's columns in the source's table.
    pub(super) primary_key: Vec<usize>,
}

/// Plans of all tables that are both at the source and at the target and do not keep their rows.
pub(super) fn plans(
    source: &Catalogue,
    target: &Catalogue,
    kept: &BTreeSet<String>,
    unknown: UnknownColumns,
) -> Result<Vec<TablePlan>, PortError> {
    source
        .tables
        .iter()
        .filter(|table| !kept.contains(&table.name.key()))
        .filter_map(|table| Some((table, target.table(&table.name.key())?)))
        .map(|(table, place)| plan(table, place, unknown))
        .collect()
}

fn plan(source: &Table, place: &Table, unknown: UnknownColumns) -> Result<TablePlan, PortError> {
    let mut columns = Vec::with_capacity(source.columns.len());
    for column in &source.columns {
        match place.column(&column.name.key()) {
            None if !column.is_generated() && unknown == UnknownColumns::Refuse => {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "table {}: the target has no column {}",
                        place.name.key(),
                        column.name.key()
                    ),
                ));
            }
            None => columns.push(None),
            Some(there) if there.is_generated() => columns.push(None),
            Some(there) => columns.push(Some(there.name.as_str().to_owned())),
        }
    }
    Ok(TablePlan {
        key: source.name.key(),
        name: place.name.as_str().to_owned(),
        columns,
        primary_key: source
            .primary_key
            .iter()
            .flat_map(|key| &key.columns)
            .filter_map(|name| source.columns.iter().position(|column| column.name == *name))
            .collect(),
    })
}

/// Looks at every foreign key that a row was written on either side of. The server does not: with
/// `foreign_key_checks = 0` it takes what dangles, and never looks again.
pub(super) async fn check_foreign_keys(
    connection: &mut MySqlConnection,
    database: &str,
    there: &Catalogue,
    plans: &[TablePlan],
) -> Result<(), PortError> {
    let is_written = |key: &str| plans.iter().any(|plan| plan.key == key);
    let mut broken = Vec::new();
    for table in &there.tables {
        for foreign in &table.foreign_keys {
            if !is_written(&table.name.key()) && !is_written(&foreign.parent_table.key()) {
                continue;
            }
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(question(database, table, foreign)))
                .fetch_one(&mut *connection)
                .await
                .map_err(|error| failed(format!("look at foreign key {}", foreign.name), error))?;
            if count > 0 {
                broken.push(format!(
                    "{} of table {} ({count} rows without a parent in {})",
                    foreign.name.key(),
                    table.name.key(),
                    foreign.parent_table.key()
                ));
            }
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Corrupt,
        format!("the rows break foreign keys: {}", broken.join("; ")),
    ))
}

/// How many rows refer to nothing. NULL in any column refers to nothing rightly.
fn question(database: &str, table: &Table, foreign: &ForeignKey) -> String {
    let pairs = || foreign.columns.iter().zip(&foreign.parent_columns);
    let set: Vec<String> = pairs()
        .map(|(own, _)| format!("child.{} IS NOT NULL", quoted(own.as_str())))
        .collect();
    let equal: Vec<String> = pairs()
        .map(|(own, parent)| {
            format!(
                "parent.{} = child.{}",
                quoted(parent.as_str()),
                quoted(own.as_str())
            )
        })
        .collect();
    let database = quoted(database);
    format!(
        "SELECT count(*) FROM {database}.{} child WHERE {} AND NOT EXISTS \
         (SELECT 1 FROM {database}.{} parent WHERE {})",
        quoted(table.name.as_str()),
        set.join(" AND "),
        quoted(foreign.parent_table.as_str()),
        equal.join(" AND ")
    )
}
