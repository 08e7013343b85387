//! The session that takes the snapshot, holds the locks and answers about the catalogue.

use metaferry_domain::row_batch::Instant;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::error::{failed, sql_state};
use crate::postgres::connect::{PostgresServer, Session, close, quoted};
use crate::postgres::schema::{IS_TABLE, ReadCatalogue, read_catalogue};

/// How long the locks may take before others are let on. They wait behind us meanwhile.
pub(super) const LOCK_TIMEOUT_MS: u32 = 2000;

/// A relation to be locked, and where its rows are stored: a TRUNCATE or a rewrite moves them.
#[derive(Debug, PartialEq, Eq)]
struct Relation {
    oid: Oid,
    name: String,
    is_partitioned: bool,
    may_read: bool,
    storage: String,
}

pub(super) struct Leader {
    connection: PgConnection,
    schema: String,
    relations: Vec<Relation>,
    exported: String,
    taken_at: Instant,
}

impl Leader {
    /// Begins the transaction, locks every table, takes the snapshot. The inner error says why to start over.
    pub(super) async fn begin(server: &PostgresServer) -> Result<Result<Self, String>, PortError> {
        let Session { mut connection, schema } = server.connect().await?;
        let relations = list(&mut connection, &schema).await?;
        refuse_unreadable(&relations)?;
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
            lock_statement(&schema, &relations)
        );
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await {
            let code = sql_state(&error);
            // Lock not available, deadlock, dropped or renamed a moment ago.
            if matches!(code.as_deref(), Some("55P03" | "40P01" | "42P01")) {
                let busy = describe_blocker(&mut connection, &relations).await;
                close(connection).await;
                return Ok(Err(busy));
            }
            return Err(failed("lock the tables against changes of their definition", error));
        }
        // The first query: the snapshot is taken here, after everybody who might have changed a table committed.
        let (exported, taken_at): (String, i64) = sqlx::query_as(
            "SELECT pg_catalog.pg_export_snapshot(),
                 (extract(epoch FROM pg_catalog.statement_timestamp()) * 1000000)::int8",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failed("take a snapshot", error))?;
        let taken_at = Instant { micros: taken_at, nanos: 0 };
        Ok(Ok(Self { connection, schema, relations, exported, taken_at }))
    }

    /// The name under which others may share the snapshot.
    pub(super) fn exported(&self) -> String {
        self.exported.clone()
    }

    /// When the snapshot was taken.
    pub(super) fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Locks all tables, giving up after [`LOCK_TIMEOUT_MS`] per table.
    pub(super) fn lock_statement(&self) -> String {
        lock_statement(&self.schema, &self.relations)
    }

    pub(super) async fn catalogue(&mut self) -> Result<ReadCatalogue, PortError> {
        read_catalogue(&mut self.connection, &self.schema).await
    }

    /// Are there other tables, or other rows behind them, than those that were locked?
    pub(super) async fn has_moved(&mut self) -> Result<bool, PortError> {
        Ok(list(&mut self.connection, &self.schema).await? != self.relations)
    }

    pub(super) async fn count(&mut self, from: &str) -> Result<u64, sqlx::Error> {
        let count: i64 = sqlx::query(AssertSqlSafe(format!("SELECT count(*) FROM {from}")))
            .persistent(false)
            .fetch_one(&mut self.connection)
            .await?
            .try_get(0)?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }
}

async fn list(connection: &mut PgConnection, schema: &str) -> Result<Vec<Relation>, PortError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT c.oid, c.relname::text, c.relkind = 'p', pg_catalog.has_table_privilege(c.oid, 'SELECT'),
             CASE c.relkind WHEN 'r' THEN c.relfilenode::text
                 ELSE (SELECT string_agg(leaf.oid || ':' || leaf.relfilenode, ',' ORDER BY leaf.oid)
                       FROM pg_catalog.pg_partition_tree(c.oid) tree
                       JOIN pg_catalog.pg_class leaf ON leaf.oid = tree.relid) END
         FROM pg_catalog.pg_class c WHERE {IS_TABLE} ORDER BY c.oid"
    )))
    .bind(schema)
    .fetch_all(connection)
    .await
    .and_then(|rows| {
        rows.iter()
            .map(|row| {
                Ok(Relation {
                    oid: row.try_get(0)?,
                    name: row.try_get(1)?,
                    is_partitioned: row.try_get(2)?,
                    may_read: row.try_get(3)?,
                    storage: row.try_get::<Option<String>, _>(4)?.unwrap_or_default(),
                })
            })
            .collect()
    });
    rows.map_err(|error| failed(format!("list the tables of schema {schema:?}"), error))
}

fn refuse_unreadable(relations: &[Relation]) -> Result<(), PortError> {
    let unreadable: Vec<String> =
        relations.iter().filter(|relation| !relation.may_read).map(|relation| quoted(&relation.name)).collect();
    if unreadable.is_empty() {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Denied,
        format!("the user may not read {}; grant SELECT on it, then retry", unreadable.join(", ")),
    ))
}

fn lock_statement(schema: &str, relations: &[Relation]) -> String {
    if relations.is_empty() {
        return String::new();
    }
    let schema = quoted(schema);
    let names: Vec<String> = relations
        .iter()
        .map(|relation| {
            let only = if relation.is_partitioned { "" } else { "ONLY " };
            format!("{only}{schema}.{}", quoted(&relation.name))
        })
        .collect();
    // None of these three takes a snapshot.
    format!(
        "SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0",
        names.join(", ")
    )
}

/// Who stood in the way, if it still does.
async fn describe_blocker(connection: &mut PgConnection, relations: &[Relation]) -> String {
    let unknown = "a table was locked by somebody who changes it".to_owned();
    if sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
        return unknown;
    }
    let oids: Vec<Oid> = relations.iter().map(|relation| relation.oid).collect();
    let blocker: Result<Option<(String, i32)>, sqlx::Error> = sqlx::query_as(
        "SELECT c.relname::text, lock.pid FROM pg_catalog.pg_locks lock
         JOIN pg_catalog.pg_class c ON c.oid = lock.relation
         WHERE lock.relation = ANY ($1) AND lock.mode = 'AccessExclusiveLock'
           AND lock.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
         ORDER BY lock.granted DESC LIMIT 1",
    )
    .bind(oids)
    .fetch_optional(connection)
    .await;
    match blocker {
        Ok(Some((table, pid))) => format!("table {table} is locked by backend {pid}"),
        Ok(None) | Err(_) => unknown,
    }
}
