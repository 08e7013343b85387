//! The encryption key of a Postgres app DB, changed where it is. All tables are locked against writers, not against
//! readers; rows are named by their place on disk, which under that lock nobody but us moves, and read by cursors, which
//! do not see what is written after they were opened.

use async_trait::async_trait;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::rekey::Rekey;
use metaferry_metabase::settings::{DatabaseNow, LAST_UPDATED};
use sqlx::postgres::PgArguments;
use sqlx::postgres::types::Oid;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use super::connect::{PostgresServer, close, quoted};
use super::scheduler::check_ins;
use super::schema::{ReadCatalogue, TableKind, read_catalogue};
use crate::error::{failed, failed_at_rows, sql_state};
use crate::rekey::{
    Change, CheckIns, Form, KeyedRows, LOCK_WAIT_SECONDS, RekeyError, RekeyOptions, RekeyReport, Rekeying,
    SIZED_ROWS, Sizes, Trial, Walk, commit_failed, moved, run,
};

/// A Postgres app DB whose key is to be changed.
#[derive(Debug)]
pub struct PostgresRekey {
    server: PostgresServer,
}

impl PostgresRekey {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(server: PostgresServer) -> Self {
        Self { server }
    }
}

#[async_trait]
impl Rekeying for PostgresRekey {
    async fn rekey(&mut self, rekey: &Rekey, options: &RekeyOptions) -> Result<RekeyReport, RekeyError> {
        let mut session = self.server.connect().await.map_err(RekeyError::Refused)?;
        let there = read_catalogue(&mut session.connection, &session.schema)
            .await
            .map_err(RekeyError::Refused)?;
        let mut rows = Rows {
            connection: session.connection,
            there: &there,
            cursors: 0,
            sizes: Sizes::default(),
        };
        let done = run(&mut rows, &there.catalogue, rekey, options).await;
        // Whatever is not committed ends with the session.
        close(rows.connection).await;
        done
    }
}

struct Rows<'a> {
    connection: PgConnection,
    there: &'a ReadCatalogue,
    /// Tables so far. Cursors of each have names of their own: a statement that is kept must not change what it answers.
    cursors: u64,
    sizes: Sizes,
}

impl Rows<'_> {
    async fn say(&mut self, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// Of the rows.
    fn cursor(&self) -> String {
        format!("metaferry_rekey_{}", self.cursors)
    }

    /// Of their lengths, in the same order.
    fn sizes_cursor(&self) -> String {
        format!("metaferry_rekey_sizes_{}", self.cursors)
    }

    fn rows_of(&self, table: &Table) -> String {
        let kind = self
            .there
            .readings
            .get(&table.name.key())
            .map(|reading| reading.kind);
        match kind {
            Some(TableKind::Partitioned) => named(table),
            Some(TableKind::Ordinary) | None => format!("ONLY {}", named(table)),
        }
    }
}

fn named(table: &Table) -> String {
    format!(
        "{}.{}",
        quoted(table.schema.as_str()),
        quoted(table.name.as_str())
    )
}

fn bound<'q>(
    query: Query<'q, Postgres, PgArguments>,
    value: Option<&'q Recoded>,
) -> Query<'q, Postgres, PgArguments> {
    match value {
        Some(Recoded::Text(text)) => query.bind(text.as_str()),
        Some(Recoded::Bytes(bytes)) => query.bind(bytes.as_slice()),
        None => query.bind(None::<&str>),
    }
}

fn cast(form: Form) -> &'static str {
    match form {
        Form::Text => "text",
        Form::Bytes => "bytea",
    }
}

impl KeyedRows for Rows<'_> {
    /// Partition and place in it.
    type Place = (Oid, String);
    const DIALECT: Dialect = Dialect::Postgres;

    async fn check_ins(&mut self) -> Result<CheckIns, PortError> {
        if self.there.catalogue.table("qrtz_scheduler_state").is_none() {
            return Ok(CheckIns::default());
        }
        let nodes = check_ins(&mut self.connection).await?;
        let now_ms = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("ask the server for the time", error))?;
        Ok(CheckIns { nodes, now_ms })
    }

    async fn begin(&mut self, tables: &[&Table]) -> Result<(), PortError> {
        let names: Vec<String> = tables.iter().map(|table| named(table)).collect();
        let lock = if names.is_empty() {
            String::new()
        } else {
            format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "))
        };
        self.say(format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'; \
             SET LOCAL synchronize_seqscans = off; {lock}"
        ))
        .await
        .map_err(|error| match sql_state(&error).as_deref() {
            Some("55P03") => PortError::new(
                ErrorKind::Conflict,
                format!(
                    "somebody writes to the app DB, or holds a lock on one of its tables, for more than {LOCK_WAIT_SECONDS} s; \
                     stop the Metabase that runs on it (pg_stat_activity shows who else is connected), then try again"
                ),
            ),
            Some(_) | None => failed("lock the tables of the app DB", error),
        })
    }

    async fn open(&mut self, walk: &Walk) -> Result<(), PortError> {
        let table = walk.table.name.key();
        let failed = |error| failed(format!("read table {table}"), error);
        if self.cursors > 0 {
            // Of the table before; closed already where that failed.
            let close = format!("CLOSE {}; CLOSE {}", self.cursor(), self.sizes_cursor());
            self.say(close).await.map_err(failed)?;
        }
        self.cursors += 1;
        self.sizes = Sizes::default();
        let mut shown = vec!["tableoid".to_owned(), "ctid::text".to_owned()];
        let mut sizes = Vec::new();
        let mut wanted = Vec::new();
        for (at, column) in walk.columns.iter().enumerate() {
            let name = quoted(walk.name(at));
            let form = cast(column.form);
            let enough = match column.bytes_min {
                0 => format!("{name} IS NOT NULL"),
                bytes => format!("octet_length({name}::{form}) >= {bytes}"),
            };
            shown.push(format!("CASE WHEN {enough} THEN {name}::{form} END"));
            sizes.push(format!(
                "CASE WHEN {enough} THEN octet_length({name}::{form}) ELSE 0 END::bigint"
            ));
            wanted.push(enough);
        }
        // The same scan twice, each from the first page on.
        let declare = |cursor: String, shown: String| {
            format!(
                "DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {shown} FROM {} WHERE {}",
                self.rows_of(&walk.table),
                wanted.join(" OR ")
            )
        };
        let sizes = declare(self.sizes_cursor(), sizes.join(" + "));
        let rows = declare(self.cursor(), shown.join(", "));
        self.say(format!("{sizes}; {rows}")).await.map_err(failed)
    }

    async fn next(
        &mut self,
        walk: &Walk,
        batch: &mut RowBatch,
        places: &mut Vec<Self::Place>,
    ) -> Result<(), PortError> {
        let table = walk.table.name.key();
        let failed = |error| failed(format!("read table {table}"), error);
        batch.clear(walk.columns.len());
        places.clear();
        if self.sizes.is_empty() {
            let sql = format!("FETCH {SIZED_ROWS} FROM {}", self.sizes_cursor());
            let sizes: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
                .persistent(false)
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed)?;
            sizes.into_iter().for_each(|bytes| self.sizes.add(bytes));
        }
        let rows = self.sizes.next_batch();
        if rows == 0 {
            return Ok(());
        }
        let sql = format!("FETCH {rows} FROM {}", self.cursor());
        let rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed)?;
        for row in &rows {
            places.push((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?));
            for (at, column) in walk.columns.iter().enumerate() {
                match column.form {
                    Form::Text => {
                        let text: Option<&str> = row.try_get(at + 2).map_err(failed)?;
                        batch.push(text.map_or(Cell::Null, Cell::Text));
                    }
                    Form::Bytes => {
                        let bytes: Option<&[u8]> = row.try_get(at + 2).map_err(failed)?;
                        batch.push(bytes.map_or(Cell::Null, Cell::Bytes));
                    }
                }
            }
            batch.end_row();
        }
        Ok(())
    }

    async fn update(
        &mut self,
        walk: &Walk,
        (partition, place): &Self::Place,
        changes: &[Change],
    ) -> Result<(), PortError> {
        let mut set = Vec::with_capacity(changes.len());
        let mut same = String::new();
        for (at, change) in changes.iter().enumerate() {
            let name = quoted(walk.name(change.column));
            let form = cast(walk.columns[change.column].form);
            set.push(format!("{name} = ${}::{form}", 2 * at + 3));
            same.push_str(&format!(" AND {name}::{form} = ${}::{form}", 2 * at + 4));
        }
        let sql = format!(
            "UPDATE {} SET {} WHERE tableoid = $1 AND ctid = $2::tid{same}",
            self.rows_of(&walk.table),
            set.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(partition).bind(place);
        for change in changes {
            query = bound(query, Some(&change.new));
            query = bound(query, Some(&change.old));
        }
        let done = query.execute(&mut self.connection).await.map_err(|error| {
            failed_at_rows(
                format!("rewrite values of table {}", walk.table.name.key()),
                error,
            )
        })?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(moved(walk))
        }
    }

    async fn insert(&mut self, walk: &Walk, row: &[Option<Recoded>]) -> Result<(), PortError> {
        let names: Vec<String> = (0..row.len()).map(|at| quoted(walk.name(at))).collect();
        let values: Vec<String> = (0..row.len())
            .map(|at| format!("${}::{}", at + 1, cast(walk.columns[at].form)))
            .collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            named(&walk.table),
            names.join(", "),
            values.join(", ")
        );
        let query = row.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| {
            bound(query, value.as_ref())
        });
        query
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed_at_rows(format!("add a row to table {}", walk.table.name.key()), error))
    }

    async fn empty(&mut self, table: &Table) -> Result<u64, PortError> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {}", named(table))))
            .execute(&mut self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failed_at_rows(format!("empty table {}", table.name.key()), error))
    }

    async fn remove_setting(&mut self, name: &str) -> Result<(), PortError> {
        sqlx::query("DELETE FROM setting WHERE key = $1")
            .bind(name)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed(format!("remove the setting {name}"), error))
    }

    async fn last_updated(&mut self) -> Result<(Option<String>, DatabaseNow), PortError> {
        let read = |error| failed(format!("read the setting {LAST_UPDATED}"), error);
        let old = sqlx::query_scalar("SELECT value FROM setting WHERE key = $1 FOR UPDATE")
            .bind(LAST_UPDATED)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(read)?
            .flatten();
        let unix_micros =
            sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
                .fetch_one(&mut self.connection)
                .await
                .map_err(read)?;
        let now = DatabaseNow {
            unix_micros,
            server_offset_seconds: 0,
        };
        Ok((old, now))
    }

    async fn put_last_updated(&mut self, text: &str, with_aad: Option<&str>) -> Result<(), PortError> {
        let sql = match with_aad {
            None => {
                "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2"
            }
            Some(_) => {
                "INSERT INTO setting (key, value, value_with_aad) VALUES ($1, $2, $3)
                 ON CONFLICT (key) DO UPDATE SET value = $2, value_with_aad = $3"
            }
        };
        let query = sqlx::query(sql).bind(LAST_UPDATED).bind(text);
        let query = match with_aad {
            Some(with_aad) => query.bind(with_aad),
            None => query,
        };
        query
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed(format!("write the setting {LAST_UPDATED}"), error))
    }

    async fn end(&mut self, trial: Trial) -> Result<(), PortError> {
        self.cursors = 0;
        match trial {
            Trial::No => self.say("COMMIT".to_owned()).await.map_err(commit_failed),
            Trial::Yes => self
                .say("ROLLBACK".to_owned())
                .await
                .map_err(|error| failed("take everything back", error)),
        }
    }
}
