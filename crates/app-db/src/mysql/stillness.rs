//! Whether tables that should have been still were written to all the same: what a session saw at the moment before the
//! snapshot is compared with what is there now, by digests that the server makes of both, and row by row where they
//! differ.
//!
//! The session that keeps the view of that moment also keeps the definition of each of these tables: nobody drops,
//! changes or truncates one of them before the comparison.

use std::cmp::Ordering;

use futures_util::TryStreamExt as _;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool, Row as _};

use super::connect::{close, database, quoted, session, set_lock_wait, text};
use super::ddl_session::{end_statement, id_of};
use super::snapshot;
use super::still_tables::{self, StillTable};
use super::worker_sessions;
use crate::answer::Awaited;
use crate::error::failed;
use crate::still::{KEYS_SHOWN, Written};

/// How long the definition of a table that somebody changes is waited for, and others behind us.
const LOCK_SECONDS: u32 = 1;

/// What is known of the moment that stillness is measured from.
#[derive(Debug, Default)]
pub(super) enum Watch {
    /// Nobody asked to watch.
    #[default]
    Never,
    /// From that moment on.
    Since(Stillness),
    /// The session that saw it is gone: nobody can tell any more.
    Lost,
}

/// What was there at the moment that stillness is measured from.
#[derive(Debug)]
pub(super) struct Stillness {
    pool: MySqlPool,
    database: String,
    then: View,
    tables: Vec<StillTable>,
}

impl Stillness {
    /// From now on.
    pub(super) async fn begins(pool: &MySqlPool) -> Result<Self, PortError> {
        let mut then = View::open(pool).await?;
        let database = database(&mut then.0).await?;
        let tables = still_tables::read(&mut then.0).await?;
        then.begin(&database, &tables).await?;
        Ok(Self {
            pool: pool.clone(),
            database,
            then,
            tables,
        })
    }

    /// Sees all the tables as they are now. It may have to be asked for again: while somebody waits to change a table's
    /// definition nobody else gets to it.
    pub(super) async fn beside(&self, mut now: View) -> Result<View, PortError> {
        now.begin(&self.database, &self.tables).await?;
        Ok(now)
    }

    /// The tables that were written to since, each in words with counts and keys.
    pub(super) async fn broken(&mut self, mut now: View) -> Result<Vec<String>, PortError> {
        let mut awaited = Vec::new();
        for view in [&mut self.then, &mut now] {
            let (pool, id) = (self.pool.clone(), id_of(&mut view.0).await.map_err(look)?);
            awaited.push(Awaited::or(async move { end_statement(&pool, id).await }));
        }
        let mut broken = Vec::new();
        for table in &self.tables {
            let (then, there) = futures_util::try_join!(
                self.then.sum(&self.database, table),
                now.sum(&self.database, table)
            )?;
            if then == there {
                continue;
            }
            let written = compare(
                &mut self.then.rows(&self.database, table),
                &mut now.rows(&self.database, table),
            )
            .await?;
            if written != Written::default() {
                broken.push(written.in_words(&table.name));
            }
        }
        awaited.into_iter().for_each(Awaited::answered);
        close(now.0).await;
        Ok(broken)
    }

    /// Lets go of the tables' definitions.
    pub(super) async fn end(self) {
        close(self.then.0).await;
    }
}

/// Rows and the sum of their digests.
type Sum = (i64, String);

/// A row of a table.
struct Digest {
    /// By which the rows of a table are in order: of the key, or of the whole row where there is none.
    place: String,
    key: Option<String>,
    row: String,
}

/// A session that sees one moment, and waits for nobody.
#[derive(Debug)]
pub(super) struct View(MySqlConnection);

impl View {
    /// A session that sees nothing yet.
    pub(super) async fn open(pool: &MySqlPool) -> Result<Self, PortError> {
        let mut connection = session(pool).await.map_err(look)?.connection;
        set_lock_wait(&mut connection, LOCK_SECONDS).await.map_err(look)?;
        worker_sessions::mark(&mut connection).await.map_err(look)?;
        Ok(Self(connection))
    }

    /// Sees this moment from here on.
    async fn begin(&mut self, database: &str, tables: &[StillTable]) -> Result<(), PortError> {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        snapshot::begin(&mut self.0, database, &names).await.map_err(look)
    }

    async fn sum(&mut self, database: &str, table: &StillTable) -> Result<Sum, PortError> {
        // Fifteen digits are 60 bits; the sum is a decimal number, and exact.
        let sql = format!(
            "SELECT count(*), CAST(coalesce(sum(CAST(CONV(LEFT({}, 15), 16, 10) AS UNSIGNED)), 0) AS CHAR)
             FROM {}.{} t",
            table.row_digest(),
            quoted(database),
            quoted(&table.name)
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_one(&mut self.0)
            .await
            .map_err(look)?;
        Ok((
            row.try_get(0).map_err(look)?,
            text(&row, 1).map_err(look)?.unwrap_or_default(),
        ))
    }

    /// Every row's digest, in an order that is the same in every session.
    fn rows(
        &mut self,
        database: &str,
        table: &StillTable,
    ) -> impl futures_util::Stream<Item = Result<Digest, PortError>> + Unpin {
        let (place, key) = match table.key() {
            Some(key) => (format!("MD5({key})"), format!("LEFT({key}, 200)")),
            None => (table.row_digest(), "NULL".to_owned()),
        };
        let sql = format!(
            "SELECT {place}, {key}, {} FROM {}.{} t ORDER BY 1, 3",
            table.row_digest(),
            quoted(database),
            quoted(&table.name)
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch(&mut self.0)
            .map_err(look)
            .and_then(|row| std::future::ready(digest(&row).map_err(look)))
    }
}

fn digest(row: &MySqlRow) -> Result<Digest, sqlx::Error> {
    Ok(Digest {
        place: text(row, 0)?.unwrap_or_default(),
        key: text(row, 1)?,
        row: text(row, 2)?.unwrap_or_default(),
    })
}

/// Goes through both at once.
async fn compare(
    then: &mut (impl futures_util::Stream<Item = Result<Digest, PortError>> + Unpin),
    now: &mut (impl futures_util::Stream<Item = Result<Digest, PortError>> + Unpin),
) -> Result<Written, PortError> {
    let mut written = Written::default();
    let (mut left, mut right) = (then.try_next().await?, now.try_next().await?);
    loop {
        let order = match (&left, &right) {
            (Some(left), Some(right)) => left.place.cmp(&right.place),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(written),
        };
        let is_change = left.as_ref().map(|row| &row.row) != right.as_ref().map(|row| &row.row);
        match order {
            Ordering::Less => {
                written.gone += 1;
                keep(&mut written.gone_keys, left.take());
                left = then.try_next().await?;
            }
            Ordering::Greater => {
                written.rows += 1;
                keep(&mut written.keys, right.take());
                right = now.try_next().await?;
            }
            Ordering::Equal => {
                if is_change {
                    written.rows += 1;
                    written.gone += 1;
                    keep(&mut written.keys, right.take());
                }
                (left, right) = (then.try_next().await?, now.try_next().await?);
            }
        }
    }
}

fn keep(keys: &mut Vec<String>, row: Option<Digest>) {
    if let Some(key) = row.and_then(|row| row.key)
        && keys.len() < KEYS_SHOWN
    {
        keys.push(key);
    }
}

/// Why nobody can tell any more.
pub(super) fn lost() -> PortError {
    PortError::new(
        ErrorKind::Precondition,
        "nobody can tell whether tables were still: the session that saw them before the snapshot was ended, by somebody \
         or with the server; start the migration again",
    )
}

fn look(error: sqlx::Error) -> PortError {
    failed("look for writes to tables that should have been still", error)
}
