//! Where the rows of the source's tables go, and whether they hold together there.

use std::collections::BTreeSet;

use metaferry_domain::schema::{Catalogue, DataType, ForeignKey, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

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
    /// Where each column of the source's table goes; `None` where nothing is written.
    pub(super) columns: Vec<Option<Place>>,
    /// Positions of the primary key's columns in the source's table.
    pub(super) primary_key: Vec<usize>,
    pub(super) bounds: Bounds,
}

/// A column of the target.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) holds: Holds,
}

/// Which values a column holds, as far as its literals do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Moments of a TIMESTAMP: some decades.
    FewMoments,
    /// Whatever can be said.
    Anything,
}

/// The transaction that a table is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// One of its own.
    OfTable,
    /// One that others opened.
    Around,
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
            Some(there) => columns.push(Some(Place {
                name: there.name.as_str().to_owned(),
                holds: if there.data_type == DataType::TimestampTz {
                    Holds::FewMoments
                } else {
                    Holds::Anything
                },
            })),
        }
    }
    Ok(TablePlan {
        key: source.name.key(),
        name: place.name.as_str().to_owned(),
        columns,
        primary_key: key_positions(source),
        bounds: Bounds::Around,
    })
}

/// Positions of the primary key's columns.
pub(super) fn key_positions(table: &Table) -> Vec<usize> {
    table
        .primary_key
        .iter()
        .flat_map(|key| &key.columns)
        .filter_map(|name| table.columns.iter().position(|column| column.name == *name))
        .collect()
}

/// Looks at every foreign key that a row was written on either side of. The server does not: with
/// `foreign_key_checks = 0` it takes what dangles, and never looks again. `place` is where a table is, of its key.
pub(super) async fn check_foreign_keys(
    connection: &mut MySqlConnection,
    there: &Catalogue,
    place: impl Fn(&str) -> Option<String>,
    is_written: impl Fn(&str) -> bool,
) -> Result<(), PortError> {
    let mut broken = Vec::new();
    for table in &there.tables {
        for foreign in &table.foreign_keys {
            let (child_key, parent_key) = (table.name.key(), foreign.parent_table.key());
            if !is_written(&child_key) && !is_written(&parent_key) {
                continue;
            }
            let (Some(child), Some(parent)) = (place(&child_key), place(&parent_key)) else {
                continue;
            };
            let look = |error| failed(format!("look at foreign key {}", foreign.name), error);
            // In one message: a prepared statement is closed by one that nobody answers, and with sqlx 0.9.0 the next
            // then waits 40 ms for the server's acknowledgement (transact-rs/sqlx#4335).
            let row = sqlx::raw_sql(AssertSqlSafe(question(&child, &parent, foreign)))
                .fetch_one(&mut *connection)
                .await
                .map_err(look)?;
            let count: i64 = row.try_get(0).map_err(look)?;
            if count > 0 {
                broken.push(format!(
                    "{} of table {child_key} ({count} rows without a parent in {parent_key})",
                    foreign.name.key()
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
fn question(child: &str, parent: &str, foreign: &ForeignKey) -> String {
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
    format!(
        "SELECT count(*) FROM {child} child WHERE {} AND NOT EXISTS (SELECT 1 FROM {parent} parent WHERE {})",
        set.join(" AND "),
        equal.join(" AND ")
    )
}
