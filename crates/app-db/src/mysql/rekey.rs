//! The encryption key of a MySQL or MariaDB app DB, changed where it is. Reading locks the rows that are read, and the
//! gaps between them: until the end nobody changes one and nobody adds one.
//!
//! Rows are walked along the primary key. Of a table without a usable one the values are changed by what they are:
//! two rows with the same ciphertext get the same new one.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{DataType, Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::rekey::Rekey;
use metaferry_metabase::settings::{DatabaseNow, LAST_UPDATED};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, Row as _};

use super::app_db::NOW_MICROS;
use super::connect::{MySqlServer, close, quoted, text};
use super::scheduler::check_ins;
use super::schema::{Which, read_catalogue};
use crate::error::{failed, mysql_number};
use crate::rekey::{
    Change, CheckIns, Form, KeyedRows, LOCK_WAIT_SECONDS, RekeyError, RekeyOptions, RekeyReport, Rekeying,
    SIZED_ROWS, Sizes, Trial, Walk, commit_failed, moved, run,
};

/// As much of a table without a primary key may be encrypted at the most.
const KEYLESS_BYTES_MAX: usize = 64 << 20;

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

/// How far a table has been read.
enum Progress {
    /// Along its primary key; after that row, if there is one.
    Keyed {
        key: Vec<KeyColumn>,
        after: Option<Vec<Recoded>>,
        /// Columns that the server sets by itself whenever a row changes.
        kept: Vec<String>,
    },
    /// All at once.
    Keyless {
        kept: Vec<String>,
    },
    Ended,
}

/// A column of a primary key.
#[derive(Debug, Clone)]
struct KeyColumn {
    name: String,
    form: KeyForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyForm {
    /// Shown and given as digits.
    Number,
    Text,
    Bytes,
}

impl KeyColumn {
    fn shown(&self) -> String {
        let name = quoted(&self.name);
        match self.form {
            KeyForm::Number => format!("CAST({name} AS CHAR)"),
            KeyForm::Text | KeyForm::Bytes => name,
        }
    }

    fn given(&self) -> &'static str {
        match self.form {
            KeyForm::Number => "CAST(? AS SIGNED)",
            KeyForm::Text | KeyForm::Bytes => "?",
        }
    }
}

/// The primary key, if its values can be shown and given exactly.
fn key_of(table: &Table) -> Option<Vec<KeyColumn>> {
    let key = table.primary_key.as_ref()?;
    key.columns
        .iter()
        .map(|name| {
            let column = table.columns.iter().find(|column| column.name == *name)?;
            let form = match column.data_type {
                DataType::SmallInt | DataType::Integer | DataType::BigInt => KeyForm::Number,
                DataType::Char(_) | DataType::Varchar(_) | DataType::Text => KeyForm::Text,
                DataType::Binary(_) | DataType::Blob => KeyForm::Bytes,
                DataType::Boolean
                | DataType::Real
                | DataType::Double
                | DataType::Decimal(_)
                | DataType::VarcharIgnoreCase(_)
                | DataType::Date
                | DataType::Time
                | DataType::TimeTz
                | DataType::Timestamp
                | DataType::TimestampTz
                | DataType::Uuid
                | DataType::Json
                | DataType::Other => return None,
            };
            Some(KeyColumn {
                name: name.as_str().to_owned(),
                form,
            })
        })
        .collect()
}

fn bytes(row: &MySqlRow, position: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
    row.try_get_unchecked(position)
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

    /// What is shown of a row beside its key, how many bytes that is, and which rows are of interest.
    fn shown(walk: &Walk) -> (Vec<String>, String, String) {
        let mut shown = Vec::new();
        let mut sizes = Vec::new();
        let mut wanted = Vec::new();
        for (at, column) in walk.columns.iter().enumerate() {
            let name = quoted(walk.name(at));
            let enough = match column.bytes_min {
                0 => format!("{name} IS NOT NULL"),
                bytes => format!("OCTET_LENGTH({name}) >= {bytes}"),
            };
            shown.push(format!("CASE WHEN {enough} THEN {name} END"));
            sizes.push(format!("CASE WHEN {enough} THEN OCTET_LENGTH({name}) ELSE 0 END"));
            wanted.push(enough);
        }
        let size = format!("CAST({} AS SIGNED)", sizes.join(" + "));
        (shown, size, wanted.join(" OR "))
    }

    fn push(walk: &Walk, row: &MySqlRow, first: usize, batch: &mut RowBatch) -> Result<(), sqlx::Error> {
        for (at, column) in walk.columns.iter().enumerate() {
            let value = bytes(row, first + at)?;
            match (column.form, &value) {
                (_, None) => batch.push(Cell::Null),
                (Form::Bytes, Some(bytes)) => batch.push(Cell::Bytes(bytes)),
                (Form::Text, Some(bytes)) => {
                    let text =
                        std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                    batch.push(Cell::Text(text));
                }
            }
        }
        batch.end_row();
        Ok(())
    }

    async fn read_keyed(
        &mut self,
        walk: &Walk,
        key: &[KeyColumn],
        after: Option<&[Recoded]>,
        batch: &mut RowBatch,
        places: &mut Vec<Place>,
    ) -> Result<(), sqlx::Error> {
        let (shown, size, wanted) = Self::shown(walk);
        let keys: Vec<String> = key.iter().map(KeyColumn::shown).collect();
        let order: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
        let mut bounds = String::new();
        let mut given: Vec<&Recoded> = Vec::new();
        if let Some(after) = after {
            // Spelled out, for the server does not walk an index by a comparison of rows.
            let longer: Vec<String> = (0..key.len())
                .map(|last| {
                    let mut terms: Vec<String> = (0..last)
                        .map(|at| format!("{} = {}", order[at], key[at].given()))
                        .collect();
                    terms.push(format!("{} > {}", order[last], key[last].given()));
                    given.extend(&after[..=last]);
                    format!("({})", terms.join(" AND "))
                })
                .collect();
            bounds = format!(" AND ({})", longer.join(" OR "));
        }
        let table = self.named(&walk.table);
        let ask = |shown: &str, rows: usize| {
            let sql = format!(
                "SELECT {shown} FROM {table} WHERE ({wanted}){bounds} ORDER BY {} LIMIT {rows} FOR UPDATE",
                order.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            given
                .iter()
                .copied()
                .fold(query, |query, value| bound(query, Some(value)))
        };
        if self.sizes.is_empty() {
            let mut rows = ask(&size, SIZED_ROWS).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                self.sizes.add(row.try_get(0)?);
            }
        }
        let count = self.sizes.next_batch();
        if count == 0 {
            return Ok(());
        }
        let columns = [keys, shown].concat().join(", ");
        let rows = ask(&columns, count).fetch_all(&mut self.connection).await?;
        for row in &rows {
            let mut place = Vec::with_capacity(key.len());
            for (at, column) in key.iter().enumerate() {
                place.push(match column.form {
                    KeyForm::Number | KeyForm::Text => Recoded::Text(text(row, at)?.unwrap_or_default()),
                    KeyForm::Bytes => Recoded::Bytes(bytes(row, at)?.unwrap_or_default()),
                });
            }
            places.push(Place::Keyed(place));
            Self::push(walk, row, key.len(), batch)?;
        }
        Ok(())
    }

    /// Everything of interest at once, since nothing says where to go on.
    async fn read_keyless(
        &mut self,
        walk: &Walk,
        batch: &mut RowBatch,
        places: &mut Vec<Place>,
    ) -> Result<(), PortError> {
        let table = walk.table.name.key();
        let read = |error| failed(format!("read table {table}"), error);
        let (shown, _, wanted) = Self::shown(walk);
        let sql = format!(
            "SELECT DISTINCT {} FROM {} WHERE {wanted} FOR UPDATE",
            shown.join(", "),
            self.named(&walk.table)
        );
        let mut rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await.map_err(read)? {
            places.push(Place::ByValue);
            Self::push(walk, &row, 0, batch).map_err(read)?;
            if batch.bytes() > KEYLESS_BYTES_MAX {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "table {table} has no primary key to walk it by, and more than {} MiB that could be encrypted",
                        KEYLESS_BYTES_MAX >> 20
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Where a row is.
enum Place {
    /// Its primary key.
    Keyed(Vec<Recoded>),
    /// Wherever these values are.
    ByValue,
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
