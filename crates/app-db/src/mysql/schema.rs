//! The catalogue of one database, read in a handful of queries over all tables at once. What the types are called is
//! the types module's, what the two servers do differently the flavour module's; that nothing moves meanwhile, the
//! snapshot's.
//!
//! Left out: sequences and temporary tables, our own tables, full-text and spatial indexes, and the indexes that the
//! server makes by itself for foreign keys, as any server does that needs them.

mod columns;
mod constraints;
mod indexes;
pub(super) mod views;

use std::collections::HashMap;

use metaferry_domain::schema::{Catalogue, Name, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use self::views::Views;
use super::connect::{Session, text};
use super::types::Reading;
use crate::error::failed;

/// The catalogue, and how its tables are read.
#[derive(Debug, Clone)]
pub(super) struct ReadCatalogue {
    pub(super) catalogue: Catalogue,
    /// How each column is read, in declared order; by [`Name::key`] of the table.
    pub(super) readings: HashMap<String, Vec<Reading>>,
    /// Views that are none of the catalogue's: this user is not shown their queries.
    pub(super) hidden_views: Vec<String>,
}

/// Which tables of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which<'a> {
    /// Those that everybody sees.
    Shown,
    /// Those that a load of that name fills.
    Staged(&'a str),
}

/// What the tables of loads that are not yet shown, or died, are called first.
pub(super) const STAGED_PREFIX: &str = "metaferry_load_";

impl Which<'_> {
    /// A condition on `information_schema.tables`; `?` is the database. A load's name has no letter but a-z, 0-9 and _.
    fn condition(self) -> String {
        let kinds = "table_schema = ? AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
        match self {
            Self::Shown => format!(
                "{kinds} AND left(lower(table_name), {}) <> '{STAGED_PREFIX}'
                 AND lower(table_name) NOT IN ('metaferry_lease', 'metaferry_migration', 'metaferry_journal',
                                               'metaferry_undo_script', 'metaferry_schema_version')",
                STAGED_PREFIX.len()
            ),
            Self::Staged(load) => format!("{kinds} AND left(table_name, {}) = '{load}_'", load.len() + 1),
        }
    }
}

/// A table as it is listed before it is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) engine: String,
}

/// The tables that there are, by name.
pub(super) async fn list(connection: &mut MySqlConnection, database: &str) -> Result<Vec<Listed>, PortError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name, engine FROM information_schema.tables WHERE {} ORDER BY table_name",
        Which::Shown.condition()
    )))
    .bind(database)
    .fetch_all(connection)
    .await
    .and_then(|rows| {
        rows.iter()
            .map(|row| {
                Ok(Listed {
                    name: word(row, 0)?,
                    engine: word(row, 1)?,
                })
            })
            .collect()
    });
    rows.map_err(|error| failed(format!("list the tables of database {database:?}"), error))
}

/// Tables being put together.
struct Tables {
    tables: Vec<Table>,
    readings: Vec<Vec<Reading>>,
    by_name: HashMap<String, usize>,
}

impl Tables {
    fn table(&mut self, name: &str) -> Option<&mut Table> {
        self.by_name.get(name).map(|&at| &mut self.tables[at])
    }
}

/// Reads the catalogue of `database`.
pub(super) async fn read_catalogue(
    session: &mut Session,
    database: &str,
    which: Which<'_>,
) -> Result<ReadCatalogue, PortError> {
    read(session, database, which)
        .await
        .map_err(|error| failed(format!("read the catalogue of database {database:?}"), error))
}

async fn read(session: &mut Session, database: &str, which: Which<'_>) -> Result<ReadCatalogue, sqlx::Error> {
    let flavour = session.flavour;
    let connection = &mut session.connection;
    let mut tables = read_tables(connection, database, which).await?;
    let view_columns = columns::read(connection, flavour, database, &mut tables).await?;
    constraints::read(connection, flavour, database, &mut tables).await?;
    indexes::read(connection, flavour, database, &mut tables).await?;
    let Views { views, hidden } = views::read(connection, flavour, database, view_columns).await?;
    let mut read: Vec<(Table, Vec<Reading>)> = tables.tables.into_iter().zip(tables.readings).collect();
    read.sort_by_key(|(table, _)| table.name.key());
    let readings = read
        .iter()
        .map(|(table, readings)| (table.name.key(), readings.clone()))
        .collect();
    Ok(ReadCatalogue {
        catalogue: Catalogue {
            tables: read.into_iter().map(|(table, _)| table).collect(),
            views,
        },
        readings,
        hidden_views: hidden,
    })
}

async fn read_tables(
    connection: &mut MySqlConnection,
    database: &str,
    which: Which<'_>,
) -> Result<Tables, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name, table_comment, CAST(coalesce(table_rows, 0) AS SIGNED),
             CAST(coalesce(data_length, 0) AS SIGNED)
         FROM information_schema.tables WHERE {} ORDER BY table_name",
        which.condition()
    )))
    .bind(database)
    .fetch_all(connection)
    .await?;
    let mut tables = Tables {
        tables: Vec::with_capacity(rows.len()),
        readings: Vec::with_capacity(rows.len()),
        by_name: HashMap::new(),
    };
    for row in &rows {
        let name = word(row, 0)?;
        tables.by_name.insert(name.clone(), tables.tables.len());
        tables.readings.push(Vec::new());
        tables.tables.push(Table {
            schema: Name::new(database),
            name: Name::new(name),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            indexes: Vec::new(),
            comment: said(text(row, 1)?),
            rows_estimate: number(row, 2)?,
            bytes_estimate: number(row, 3)?,
        });
    }
    Ok(tables)
}

/// Only `InnoDB` has snapshots.
pub(super) fn refuse_engines(tables: &[Listed]) -> Result<(), PortError> {
    let others: Vec<String> = tables
        .iter()
        .filter(|table| !table.engine.eq_ignore_ascii_case("InnoDB"))
        .map(|table| format!("{} ({})", table.name, table.engine))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Unsupported,
        format!(
            "not all tables can be read at one instant, because they are not InnoDB: {}; \
             change them by ALTER TABLE … ENGINE=InnoDB, then retry",
            others.join(", ")
        ),
    ))
}

/// A text that is never NULL.
fn word(row: &MySqlRow, position: usize) -> Result<String, sqlx::Error> {
    Ok(text(row, position)?.unwrap_or_default())
}

/// A comment: the server has no NULL for none.
fn said(comment: Option<String>) -> Option<String> {
    comment.filter(|comment| !comment.is_empty())
}

fn number(row: &MySqlRow, position: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(position)?.unsigned_abs())
}
