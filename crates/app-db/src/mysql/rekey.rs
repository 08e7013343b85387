//! The encryption key of a MySQL or MariaDB app DB, changed where it is. Reading locks the rows that are read, and the
//! gaps between them: until the end nobody changes one and nobody adds one.
//!
//! Rows are walked along the primary key. Of a table without a usable one the values are changed by what they are:
//! two rows with the same ciphertext get the same new one.

mod walk;

use async_trait::async_trait;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::{Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::rekey::Rekey;
use metaferry_metabase::settings::{DatabaseNow, LAST_UPDATED};
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection};

use self::walk::{Place, Progress, key_of};
use super::app_db::NOW_MICROS;
use super::connect::{MySqlServer, close, quoted, text};
use super::scheduler::check_ins;
use super::schema::{Which, read_catalogue};
use crate::error::{failed, mysql_number};
use crate::rekey::{
    Change, CheckIns, KeyedRows, LOCK_WAIT_SECONDS, RekeyError, RekeyOptions, RekeyReport, Rekeying, Sizes,
    Trial, Walk, commit_failed, moved, run,
};

/// A MySQL or MariaDB app DB whose key is to be changed.
#[derive(Debug)]
pub struct MySqlRekey {
    server: MySqlServer,
}

impl MySqlRekey {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(server: MySqlServer) -> Self {
        Self { server }
    }
}

#[async_trait]
impl Rekeying for MySqlRekey {
    async fn rekey(&mut self, rekey: &Rekey, options: &RekeyOptions) -> Result<RekeyReport, RekeyError> {
        let mut session = self.server.connect().await.map_err(RekeyError::Refused)?;
        let there = read_catalogue(&mut session, self.server.database(), Which::Shown)
            .await
            .map_err(RekeyError::Refused)?;
        let mut rows = Rows {
            connection: session.connection,
            database: self.server.database(),
            quartz: there.catalogue.table("qrtz_scheduler_state").is_some(),
            place: Progress::Ended,
            sizes: Sizes::default(),
        };
        let done = run(&mut rows, &there.catalogue, rekey, options).await;
        // Whatever is not committed ends with the session.
        close(rows.connection).await;
        done
    }
}

struct Rows<'a> {
    connection: MySqlConnection,
    database: &'a str,
    quartz: bool,
    place: Progress,
    sizes: Sizes,
}

fn bound<'q>(
    query: Query<'q, MySql, MySqlArguments>,
    value: Option<&'q Recoded>,
) -> Query<'q, MySql, MySqlArguments> {
    match value {
        Some(Recoded::Text(text)) => query.bind(text.as_str()),
        Some(Recoded::Bytes(bytes)) => query.bind(bytes.as_slice()),
        None => query.bind(None::<&str>),
    }
}

fn busy(error: &sqlx::Error) -> bool {
    matches!(mysql_number(error), Some(1205 | 1213))
}

impl Rows<'_> {
    fn named(&self, table: &Table) -> String {
        format!("{}.{}", quoted(self.database), quoted(table.name.as_str()))
    }

    async fn say(&mut self, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// Columns that would change by themselves.
    async fn kept(&mut self, table: &Table) -> Result<Vec<String>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = ? AND table_name = ? AND lower(extra) LIKE '%on update%'",
        )
        .bind(self.database)
        .bind(table.name.as_str())
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| Ok(text(row, 0)?.unwrap_or_default()))
            .collect()
    }
}

impl KeyedRows for Rows<'_> {
    type Place = Place;
    const DIALECT: Dialect = Dialect::MySql;

    async fn check_ins(&mut self) -> Result<CheckIns, PortError> {
        if !self.quartz {
            return Ok(CheckIns::default());
        }
        let nodes = check_ins(&mut self.connection).await?;
        let now_ms = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {NOW_MICROS} DIV 1000")))
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("ask the server for the time", error))?;
        Ok(CheckIns { nodes, now_ms })
    }

    async fn begin(&mut self, _: &[&Table]) -> Result<(), PortError> {
        // No foreign key looks at an encrypted value; checking them would only lock more.
        self.say(format!(
            "SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, lock_wait_timeout = {LOCK_WAIT_SECONDS}; \
             SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION"
        ))
        .await
        .map_err(|error| failed("begin a transaction in the app DB", error))
    }

    async fn open(&mut self, walk: &Walk) -> Result<(), PortError> {
        let kept = self.kept(&walk.table).await.map_err(|error| {
            failed(
                format!("read the columns of table {}", walk.table.name.key()),
                error,
            )
        })?;
        self.sizes = Sizes::default();
        self.place = match key_of(&walk.table) {
            Some(key) => Progress::Keyed {
                key,
                after: None,
                kept,
            },
            None => Progress::Keyless { kept },
        };
        Ok(())
    }

    async fn next(
        &mut self,
        walk: &Walk,
        batch: &mut RowBatch,
        places: &mut Vec<Place>,
    ) -> Result<(), PortError> {
        batch.clear(walk.columns.len());
        places.clear();
        match std::mem::replace(&mut self.place, Progress::Ended) {
            Progress::Ended => Ok(()),
            Progress::Keyless { kept } => {
                if kept.is_empty() {
                    return self.read_keyless(walk, batch, places).await;
                }
                let what = format!(
                    "table {} has no primary key, and a column ({}) that the server changes whenever a row is",
                    walk.table.name.key(),
                    kept.join(", ")
                );
                Err(PortError::new(ErrorKind::Unsupported, what))
            }
            Progress::Keyed { key, after, kept } => {
                self.read_keyed(walk, &key, after.as_deref(), batch, places)
                    .await
                    .map_err(|error| {
                        let table = walk.table.name.key();
                        if busy(&error) {
                            PortError::new(
                                ErrorKind::Conflict,
                                format!(
                                    "somebody has locked rows of table {table} for more than {LOCK_WAIT_SECONDS} s; stop the \
                                     Metabase that runs on the app DB (SHOW PROCESSLIST shows who else is connected), then try again"
                                ),
                            )
                        } else {
                            failed(format!("read table {table}"), error)
                        }
                    })?;
                let after = match places.last() {
                    Some(Place::Keyed(last)) => Some(last.clone()),
                    Some(Place::ByValue) | None => after,
                };
                self.place = Progress::Keyed { key, after, kept };
                Ok(())
            }
        }
    }

    async fn update(&mut self, walk: &Walk, place: &Place, changes: &[Change]) -> Result<(), PortError> {
        let write = |error| {
            failed(
                format!("rewrite values of table {}", walk.table.name.key()),
                error,
            )
        };
        let table = self.named(&walk.table);
        let Place::Keyed(key) = place else {
            for change in changes {
                let name = quoted(walk.name(change.column));
                let sql = format!("UPDATE {table} SET {name} = ? WHERE BINARY {name} = ?");
                let old: &[u8] = match &change.old {
                    Recoded::Text(text) => text.as_bytes(),
                    Recoded::Bytes(bytes) => bytes,
                };
                bound(sqlx::query(AssertSqlSafe(sql)), Some(&change.new))
                    .bind(old)
                    .execute(&mut self.connection)
                    .await
                    .map_err(write)?;
            }
            return Ok(());
        };
        let Progress::Keyed {
            key: columns, kept, ..
        } = &self.place
        else {
            return Err(moved(walk));
        };
        let mut set: Vec<String> = changes
            .iter()
            .map(|change| format!("{} = ?", quoted(walk.name(change.column))))
            .collect();
        set.extend(kept.iter().map(|name| format!("{0} = {0}", quoted(name))));
        let found: Vec<String> = columns
            .iter()
            .map(|column| format!("{} = {}", quoted(&column.name), column.given()))
            .collect();
        let sql = format!(
            "UPDATE {table} SET {} WHERE {}",
            set.join(", "),
            found.join(" AND ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for change in changes {
            query = bound(query, Some(&change.new));
        }
        for value in key {
            query = bound(query, Some(value));
        }
        let done = query.execute(&mut self.connection).await.map_err(write)?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(moved(walk))
        }
    }

    async fn insert(&mut self, walk: &Walk, row: &[Option<Recoded>]) -> Result<(), PortError> {
        let names: Vec<String> = (0..row.len()).map(|at| quoted(walk.name(at))).collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.named(&walk.table),
            names.join(", "),
            vec!["?"; row.len()].join(", ")
        );
        let query = row.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| {
            bound(query, value.as_ref())
        });
        query
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed(format!("add a row to table {}", walk.table.name.key()), error))
    }

    async fn empty(&mut self, table: &Table) -> Result<u64, PortError> {
        // Not TRUNCATE, which would commit.
        let sql = format!("DELETE FROM {}", self.named(table));
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failed(format!("empty table {}", table.name.key()), error))
    }

    async fn remove_setting(&mut self, name: &str) -> Result<(), PortError> {
        sqlx::query("DELETE FROM setting WHERE `key` = ?")
            .bind(name)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed(format!("remove the setting {name}"), error))
    }

    async fn last_updated(&mut self) -> Result<(Option<String>, DatabaseNow), PortError> {
        let read = |error| failed(format!("read the setting {LAST_UPDATED}"), error);
        let row = sqlx::query("SELECT `value` FROM setting WHERE `key` = ? FOR UPDATE")
            .bind(LAST_UPDATED)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(read)?;
        let old = row.map(|row| text(&row, 0)).transpose().map_err(read)?.flatten();
        let (unix_micros, server_offset): (i64, Option<i64>) = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {NOW_MICROS},
                 TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone))"
        )))
        .fetch_one(&mut self.connection)
        .await
        .map_err(read)?;
        let now = DatabaseNow {
            unix_micros,
            server_offset_seconds: server_offset
                .and_then(|offset| i32::try_from(offset).ok())
                .unwrap_or(0),
        };
        Ok((old, now))
    }

    async fn put_last_updated(&mut self, text: &str, with_aad: Option<&str>) -> Result<(), PortError> {
        let query = match with_aad {
            None => sqlx::query(
                "INSERT INTO setting (`key`, `value`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `value` = ?",
            )
            .bind(LAST_UPDATED)
            .bind(text)
            .bind(text),
            Some(with_aad) => sqlx::query(
                "INSERT INTO setting (`key`, `value`, value_with_aad) VALUES (?, ?, ?)
                 ON DUPLICATE KEY UPDATE `value` = ?, value_with_aad = ?",
            )
            .bind(LAST_UPDATED)
            .bind(text)
            .bind(with_aad)
            .bind(text)
            .bind(with_aad),
        };
        query
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| failed(format!("write the setting {LAST_UPDATED}"), error))
    }

    async fn end(&mut self, trial: Trial) -> Result<(), PortError> {
        match trial {
            Trial::No => self.say("COMMIT".to_owned()).await.map_err(commit_failed),
            Trial::Yes => self
                .say("ROLLBACK".to_owned())
                .await
                .map_err(|error| failed("take everything back", error)),
        }
    }
}
