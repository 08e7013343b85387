//! A database that Metabase has set up: its rows are replaced in one transaction. Foreign keys are taken off and put
//! back as they were in that transaction, which checks them all at once; nothing about them is changed afterwards.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use metaferry_domain::ports::{FinishedTarget, Snapshot};
use metaferry_domain::schema::{Catalogue, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::PgConnection;

use super::copy_in::{Bounds, Build, ColumnPlan, TablePlan};
use super::pool::Pool;
use super::run;
use super::staging::{restart, unbuilt};
use super::written::WrittenRows;
use crate::error::{failed, sql_state};
use crate::load::UnknownColumns;
use crate::postgres::connect::{close, quoted};
use crate::postgres::schema::ReadCatalogue;
use crate::postgres::translate::of_column;
use crate::sql::postgres_text::literal;

/// How long whoever uses the tables is waited for.
const LOCK_TIMEOUT_MS: u32 = 15_000;

const IN_USE_ADVICE: &str =
    "stop whatever is connected to the target (pg_stat_activity lists it), then retry";

/// A transaction that is being filled.
pub(super) struct InPlace {
    there: Arc<ReadCatalogue>,
    schema: String,
    foreign_keys: Vec<ForeignKey>,
    pub(super) plans: Vec<TablePlan>,
    pub(super) pool: Arc<Pool>,
}

/// A foreign key as it was.
struct ForeignKey {
    table: String,
    name: String,
    definition: String,
}

impl InPlace {
    /// Opens the transaction, empties the tables, takes the foreign keys off.
    pub(super) async fn begin(
        mut leader: PgConnection,
        there: ReadCatalogue,
        source: &Catalogue,
        kept: &BTreeSet<String>,
        unknown: UnknownColumns,
    ) -> Result<Self, PortError> {
        let schema = there
            .catalogue
            .tables
            .first()
            .map(|table| table.schema.as_str().to_owned())
            .unwrap_or_default();
        let places: Vec<(&Table, &Table)> = source
            .tables
            .iter()
            .filter(|table| !kept.contains(&table.name.key()))
            .filter_map(|table| Some((table, there.catalogue.table(&table.name.key())?)))
            .collect();
        let mut plans = Vec::with_capacity(places.len());
        for (table, place) in &places {
            plans.push(plan(table, place, unknown)?);
        }
        let names: Vec<String> = places
            .iter()
            .map(|(_, place)| format!("{}.{}", quoted(&schema), quoted(place.name.as_str())))
            .collect();
        let names = names.join(", ");
        let begin = format!(
            "BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"
        );
        run(&mut leader, begin).await.map_err(|error| {
            let busy = sql_state(&error).as_deref() == Some("55P03");
            let failure = failed("lock the target's tables", error);
            if busy {
                PortError::new(
                    ErrorKind::Conflict,
                    "somebody uses the target's tables; stop the Metabase that runs on it, then retry",
                )
                .because(failure)
                .advising(IN_USE_ADVICE)
            } else {
                failure
            }
        })?;
        refuse_heirs(&mut leader, &schema).await?;
        let foreign_keys = foreign_keys(&mut leader, &schema, &places).await?;
        let mut sql: Vec<String> = foreign_keys
            .iter()
            .map(|key| format!("ALTER TABLE {} DROP CONSTRAINT {}", key.table, quoted(&key.name)))
            .collect();
        sql.push(format!("TRUNCATE {names}"));
        run(&mut leader, sql.join(";"))
            .await
            .map_err(|error| failed("empty the target's tables", error))?;
        Ok(Self {
            there: Arc::new(there),
            schema,
            foreign_keys,
            plans,
            pool: Pool::of_one(leader),
        })
    }

    /// Puts the foreign keys back, which checks them, and sets the sequences.
    pub(super) async fn complete(&mut self) -> Result<(), PortError> {
        let mut lent = self.pool.get().await?;
        for key in &self.foreign_keys {
            let statement = format!(
                "ALTER TABLE {} ADD CONSTRAINT {} {}",
                key.table,
                quoted(&key.name),
                key.definition
            );
            run(&mut lent.connection, statement.clone())
                .await
                .map_err(|error| unbuilt(&statement, error))?;
        }
        let questions = sequences(&mut lent.connection, &self.schema, &self.plans).await?;
        restart(&mut lent.connection, &questions).await?;
        lent.put_back();
        Ok(())
    }

    /// The rows as the transaction sees them.
    pub(super) fn reread(&self) -> Box<dyn Snapshot> {
        Box::new(WrittenRows::new(Arc::clone(&self.there), Arc::clone(&self.pool)))
    }

    /// Shows everything at once.
    pub(super) async fn commit(self) -> Result<FinishedTarget, PortError> {
        let mut lent = self.pool.get().await?;
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(oid)), 0)::int8 FROM pg_catalog.pg_class
             WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)",
        )
        .bind(&self.schema)
        .fetch_one(&mut lent.connection)
        .await
        .map_err(|error| failed("look at the size of the tables", error))?;
        run(&mut lent.connection, "COMMIT".to_owned())
            .await
            .map_err(|error| failed("show the new rows", error))?;
        close(lent.connection).await;
        Ok(FinishedTarget {
            bytes: bytes.unsigned_abs(),
            notes: Vec::new(),
        })
    }
}

/// Where the rows of a source's table go.
fn plan(source: &Table, place: &Table, unknown: UnknownColumns) -> Result<TablePlan, PortError> {
    let mut columns = Vec::with_capacity(source.columns.len());
    for column in &source.columns {
        let there = place.column(&column.name.key());
        columns.push(match there {
            Some(there) if !there.is_generated() => Some(ColumnPlan {
                name: there.name.as_str().to_owned(),
                postgres_type: of_column(there).ok_or_else(|| {
                    PortError::new(
                        ErrorKind::Unsupported,
                        format!(
                            "table {}, column {}: the target's type {} is not written yet; exclude the table",
                            place.name.key(),
                            there.name.key(),
                            there.native_type
                        ),
                    )
                })?,
            }),
            Some(_) | None => match unknown {
                UnknownColumns::Refuse | UnknownColumns::Drop => None,
            },
        });
    }
    Ok(TablePlan {
        key: source.name.key(),
        schema: place.schema.as_str().to_owned(),
        name: place.name.as_str().to_owned(),
        columns,
        primary_key: source
            .primary_key
            .iter()
            .flat_map(|key| &key.columns)
            .filter_map(|name| source.columns.iter().position(|column| column.name == *name))
            .collect(),
        bounds: Bounds::Around,
        build: Build::default(),
    })
}

/// Tables that inherit are emptied with those that they inherit from, and nothing fills them again.
async fn refuse_heirs(connection: &mut PgConnection, schema: &str) -> Result<(), PortError> {
    let heirs: Option<String> = sqlx::query_scalar(
        "SELECT string_agg(i.inhrelid::regclass::text, ', ')
         FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
         JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace WHERE p.relkind = 'r' AND n.nspname = $1",
    )
    .bind(schema)
    .fetch_one(connection)
    .await
    .map_err(|error| failed("look for tables that inherit from the target's", error))?;
    match heirs {
        None => Ok(()),
        Some(heirs) => Err(PortError::new(
            ErrorKind::Precondition,
            format!(
                "{heirs} inherit from the target's tables and would be emptied with them; take them off first \
                 (ALTER TABLE … NO INHERIT …)"
            ),
        )),
    }
}

/// Every foreign key from or to one of the tables, whoever's it is.
async fn foreign_keys(
    connection: &mut PgConnection,
    schema: &str,
    places: &[(&Table, &Table)],
) -> Result<Vec<ForeignKey>, PortError> {
    let names: Vec<String> = places
        .iter()
        .map(|(_, place)| place.name.as_str().to_owned())
        .collect();
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "WITH filled AS (
             SELECT oid FROM pg_catalog.pg_class
             WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) AND relname = ANY ($2)
         )
         SELECT n.nspname::text, c.relname::text, con.conname::text, pg_catalog.pg_get_constraintdef(con.oid)
         FROM pg_catalog.pg_constraint con
         JOIN pg_catalog.pg_class c ON c.oid = con.conrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE con.contype = 'f' AND con.conparentid = 0
           AND (con.conrelid IN (SELECT oid FROM filled) OR con.confrelid IN (SELECT oid FROM filled))
         ORDER BY con.oid",
    )
    .bind(schema)
    .bind(&names)
    .fetch_all(connection)
    .await
    .map_err(|error| failed("read the target's foreign keys", error))?;
    Ok(rows
        .into_iter()
        .map(|(schema, table, name, definition)| ForeignKey {
            table: format!("{}.{}", quoted(&schema), quoted(&table)),
            name,
            definition,
        })
        .collect())
}

/// For every sequence that a filled table's column owns or takes its default from, the question that
/// [`restart`] asks.
async fn sequences(
    connection: &mut PgConnection,
    schema: &str,
    plans: &[TablePlan],
) -> Result<Vec<String>, PortError> {
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT DISTINCT c.relname::text, a.attname::text, sn.nspname::text, s.relname::text
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_catalog.pg_depend owned ON owned.classid = 'pg_catalog.pg_class'::regclass
             AND owned.refclassid = 'pg_catalog.pg_class'::regclass AND owned.refobjid = c.oid
             AND owned.refobjsubid = a.attnum AND owned.deptype IN ('a', 'i')
         JOIN pg_catalog.pg_class s ON s.oid = owned.objid AND s.relkind = 'S'
         JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
         WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) AND c.relname = ANY ($2)",
    )
    .bind(schema)
    .bind(&names)
    .fetch_all(connection)
    .await
    .map_err(|error| failed("look for the target's sequences", error))?;
    let mut questions: HashMap<String, String> = HashMap::new();
    for (table, column, sequence_schema, sequence) in rows {
        let sequence = format!("{}.{}", quoted(&sequence_schema), quoted(&sequence));
        let question = format!(
            "SELECT {}::text AS place, coalesce(max({})::int8 + 1, 1) AS next FROM {}.{}",
            literal(&format!("ALTER SEQUENCE {sequence}")),
            quoted(&column),
            quoted(schema),
            quoted(&table)
        );
        questions.insert(sequence, question);
    }
    Ok(questions.into_values().collect())
}
