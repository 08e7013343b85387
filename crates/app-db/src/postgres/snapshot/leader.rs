//! The session that takes the snapshot, holds the locks and answers about the catalogue.

use metaferry_domain::row_batch::Instant;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::error::{failed, sql_state};
use crate::postgres::connect::{PostgresServer, Session, close, quoted};
use crate::postgres::schema::{IS_TABLE, ReadCatalogue, read_catalogue};

/// How long the locks may take before others are let on. They wait behind us meanwhile.
const LOCK_TIMEOUT_MS: u32 = 2000;

/// A table to be locked.
#[derive(Debug)]
struct Relation {
    oid: Oid,
    name: String,
    is_partitioned: bool,
    may_read: bool,
    /// Numbers of its partitions.
    partitions: String,
    storage: Storage,
}

/// Where a table's rows are. A TRUNCATE or a rewrite moves them, and a snapshot from before reads the new place as
/// empty, without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// Where the transaction's snapshot says.
    InPlace,
    /// Elsewhere.
    Moved,
}

impl Relation {
    fn is_same(&self, other: &Self) -> bool {
        (self.oid, &self.name, &self.partitions) == (other.oid, &other.name, &other.partitions)
    }
}

pub(super) struct Leader {
    connection: PgConnection,
    schema: String,
    relations: Vec<Relation>,
    taken_at: Instant,
}

impl Leader {
    /// Connects and lists what there is to lock.
    pub(super) async fn connect(server: &PostgresServer) -> Result<Self, PortError> {
        let Session {
            mut connection,
            schema,
        } = server.connect().await?;
        let relations = list(&mut connection, &schema).await?;
        refuse_unreadable(&relations)?;
        Ok(Self {
            connection,
            schema,
            relations,
            taken_at: Instant { micros: 0, nanos: 0 },
        })
    }

    /// Begins the transaction with the locks.
    pub(super) async fn begin_locked(&mut self) -> Result<(), LockFailure> {
        let lock = self.lock_statement(LOCK_TIMEOUT_MS);
        begin_locked(&mut self.connection, &lock).await
    }

    /// Takes the snapshot and gives the name under which others may share it.
    pub(super) async fn take_snapshot(&mut self) -> Result<String, PortError> {
        let (exported, micros): (String, i64) = sqlx::query_as(
            "SELECT pg_catalog.pg_export_snapshot(),
                 (extract(epoch FROM pg_catalog.statement_timestamp()) * 1000000)::int8",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(|error| failed("take a snapshot", error))?;
        self.taken_at = Instant { micros, nanos: 0 };
        Ok(exported)
    }

    /// When the snapshot was taken.
    pub(super) fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Locks all tables, giving up after that long at one of them.
    pub(super) fn lock_statement(&self, timeout_ms: u32) -> String {
        lock_statement(&self.schema, &self.relations, timeout_ms)
    }

    pub(super) async fn catalogue(&mut self) -> Result<ReadCatalogue, PortError> {
        read_catalogue(&mut self.connection, &self.schema).await
    }

    /// Are there other tables in the snapshot than those that were locked, or rows elsewhere than it says?
    pub(super) async fn has_moved(&mut self) -> Result<bool, PortError> {
        let now = list(&mut self.connection, &self.schema).await?;
        let is_same = now.len() == self.relations.len()
            && now
                .iter()
                .zip(&self.relations)
                .all(|(now, locked)| now.is_same(locked));
        Ok(!is_same || now.iter().any(|relation| relation.storage == Storage::Moved))
    }

    /// After a lock was not given: who holds the one that stood in the way, if he still does.
    pub(super) async fn blocker(mut self) -> Option<String> {
        let blocker = blocker(&mut self.connection, &self.relations).await;
        close(self.connection).await;
        blocker
    }

    /// The session, for reading rows like any other in the snapshot.
    pub(super) fn into_session(self) -> PgConnection {
        self.connection
    }
}

/// Why the locks were not given.
pub(super) enum LockFailure {
    /// Somebody stood in the way, or a table went a moment ago: start over.
    Busy,
    /// Something that does not pass.
    Failed(PortError),
}

/// Begins a transaction with the locks. It has no snapshot yet.
pub(super) async fn begin_locked(connection: &mut PgConnection, lock: &str) -> Result<(), LockFailure> {
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {lock}");
    match sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection).await {
        Ok(_) => Ok(()),
        // Lock not available, deadlock, no such table any more.
        Err(error) if matches!(sql_state(&error).as_deref(), Some("55P03" | "40P01" | "42P01")) => {
            Err(LockFailure::Busy)
        }
        Err(error) => Err(LockFailure::Failed(failed(
            "lock the tables against changes of their definition",
            error,
        ))),
    }
}

async fn list(connection: &mut PgConnection, schema: &str) -> Result<Vec<Relation>, PortError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT c.oid, c.relname::text, c.relkind = 'p', pg_catalog.has_table_privilege(c.oid, 'SELECT'),
             stored.partitions, coalesce(stored.moved, false)
         FROM pg_catalog.pg_class c
         CROSS JOIN LATERAL (
             SELECT string_agg(leaf.oid::text, ',' ORDER BY leaf.oid) AS partitions,
                 bool_or(leaf.relfilenode <> 0 AND leaf.relkind = 'r'
                         AND pg_catalog.pg_relation_filenode(leaf.oid) IS DISTINCT FROM leaf.relfilenode) AS moved
             FROM (SELECT c.oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) tree
             JOIN pg_catalog.pg_class leaf ON leaf.oid = tree.relid
         ) stored
         WHERE {IS_TABLE} ORDER BY c.oid"
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
                    partitions: row.try_get::<Option<String>, _>(4)?.unwrap_or_default(),
                    storage: if row.try_get(5)? { Storage::Moved } else { Storage::InPlace },
                })
            })
            .collect()
    });
    rows.map_err(|error| failed(format!("list the tables of schema {schema:?}"), error))
}

fn refuse_unreadable(relations: &[Relation]) -> Result<(), PortError> {
    let unreadable: Vec<String> = relations
        .iter()
        .filter(|relation| !relation.may_read)
        .map(|relation| quoted(&relation.name))
        .collect();
    if unreadable.is_empty() {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Denied,
        format!(
            "the user may not read {}; grant SELECT on it, then retry",
            unreadable.join(", ")
        ),
    ))
}

fn lock_statement(schema: &str, relations: &[Relation], timeout_ms: u32) -> String {
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
        "SET LOCAL lock_timeout = {timeout_ms}; LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0",
        names.join(", ")
    )
}

/// Table, process, user, program, seconds since its transaction began.
type Holder = (String, i32, Option<String>, Option<String>, Option<i64>);

async fn blocker(connection: &mut PgConnection, relations: &[Relation]) -> Option<String> {
    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.ok()?;
    let oids: Vec<Oid> = relations.iter().map(|relation| relation.oid).collect();
    let found: Result<Option<Holder>, sqlx::Error> = sqlx::query_as(
        "SELECT c.relname::text, lock.pid, a.usename::text, nullif(a.application_name, ''),
             extract(epoch FROM clock_timestamp() - a.xact_start)::int8
         FROM pg_catalog.pg_locks lock
         JOIN pg_catalog.pg_class c ON c.oid = lock.relation
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = lock.pid
         WHERE lock.relation = ANY ($1) AND lock.mode = 'AccessExclusiveLock' AND lock.granted
           AND lock.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
         ORDER BY a.xact_start NULLS LAST LIMIT 1",
    )
    .bind(oids)
    .fetch_optional(connection)
    .await;
    let (table, pid, user, application, seconds) = found.ok().flatten()?;
    let mut text = format!("table {table} is locked by session {pid}");
    if let Some(user) = user {
        text.push_str(&format!(" of user {user}"));
    }
    if let Some(application) = application {
        text.push_str(&format!(" ({application})"));
    }
    if let Some(seconds) = seconds {
        text.push_str(&format!(", whose transaction began {seconds} s ago"));
    }
    Some(text)
}
