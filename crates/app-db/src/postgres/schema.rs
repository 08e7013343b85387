//! The catalogue of one schema, read in a handful of queries over all tables at once. What the types are called is
//! the types module's; that nothing moves meanwhile, the snapshot's.
//!
//! Left out: foreign tables and materialized views (their rows live or come from elsewhere), temporary tables, what
//! an extension owns, partitions (their rows are read through the partitioned table), our own tables, exclusion
//! constraints, and indexes of kinds that only Postgres has (GIN and the like).

mod constraints;
mod indexes;
mod sequences;
mod tables;
mod views;

use std::collections::HashMap;

use metaferry_domain::PortError;
use metaferry_domain::schema::{Catalogue, Dialect, SqlText};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;

use super::types::Reading;
use crate::error::failed;

/// What is needed to read a table's rows, beside its description.
#[derive(Debug, Clone)]
pub(super) struct TableReading {
    pub(super) kind: TableKind,
    /// How each column is read, in declared order.
    pub(super) columns: Vec<Reading>,
}

/// What kind of table it is, which decides how its rows are named in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// Rows of its own; tables that inherit from it are read for themselves.
    Ordinary,
    /// Rows in partitions only.
    Partitioned,
}

/// The catalogue, and how its tables are read.
#[derive(Debug)]
pub(super) struct ReadCatalogue {
    pub(super) catalogue: Catalogue,
    /// By [`Name::key`](metaferry_domain::schema::Name::key).
    pub(super) readings: HashMap<String, TableReading>,
}

/// Which relations of a schema are tables in our sense; `c` is `pg_class`. `$1` is the schema.
pub(super) const IS_TABLE: &str = "
    c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
    AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND c.relname !~ '^metaferry_(lease|migration|journal|undo_script|switch|schema_version)$'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend owner
                    WHERE owner.classid = 'pg_catalog.pg_class'::regclass AND owner.objid = c.oid
                      AND owner.deptype = 'e')";

/// Reads the catalogue of `schema` on that connection, whose search path begins with it.
pub(super) async fn read_catalogue(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<ReadCatalogue, PortError> {
    read(connection, schema)
        .await
        .map_err(|error| failed(format!("read the catalogue of schema {schema:?}"), error))
}

async fn read(connection: &mut PgConnection, schema: &str) -> Result<ReadCatalogue, sqlx::Error> {
    let mut tables = tables::read(connection, schema).await?;
    let oids: Vec<Oid> = tables.by_oid.keys().copied().collect();
    sequences::read(connection, &oids, &mut tables).await?;
    constraints::read(connection, &oids, &mut tables).await?;
    indexes::read(connection, &oids, &mut tables).await?;
    let views = views::read(connection, schema).await?;
    Ok(tables.finish(views))
}

fn sql(text: String) -> SqlText {
    SqlText {
        dialect: Dialect::Postgres,
        text,
    }
}

/// A column of a result, by position.
fn get<'r, T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>>(
    row: &'r PgRow,
    position: usize,
) -> Result<T, sqlx::Error> {
    use sqlx::Row as _;
    row.try_get(position)
}
