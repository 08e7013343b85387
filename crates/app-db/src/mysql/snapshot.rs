//! One consistent view of a database.
//!
//! Sessions cannot share a snapshot here. Instead one session holds all tables against writing (`LOCK TABLES … READ`,
//! a right that Metabase's own user has) for the moment in which the others begin theirs. It waits for nobody while it holds
//! some: of two who wait for each other the server sends the other one away, whose transaction would be lost. Where all are
//! not to be had at once one session reads alone.
//!
//! Against changes of a table's definition every session has touched every table, which holds its definition until
//! the session ends. A change between the snapshot and that moment is an error of the server's (1412), and the
//! snapshot starts over; a table more or less is seen by listing them again.

mod view;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::ports::{Snapshot, Source};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::Dialect;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use self::view::{MySqlSnapshot, SessionsEnd};
use super::connect::{MySqlServer, Session, close, quoted, set_lock_wait};
use super::flavour::LOCK_WAIT_SECONDS;
use super::schema::views::hidden_note;
use super::schema::{self, Listed, ReadCatalogue, Which};
use crate::error::{busy, failed, mysql_number};
use crate::twins::refuse_twins;

pub(super) use self::view::{Sessions, staged, written};

/// Times that a snapshot is begun before its source is called too busy.
const ATTEMPTS_MAX: u32 = 6;

/// From this attempt on one session reads alone: writers that never pause keep the lock from us.
const ALONE_FROM: u32 = 3;

/// Times that an attempt asks for the lock where it is to be had at once or not at all, as on MariaDB.
const ASKED_MAX: u32 = 40;

/// Between two of them. Nobody queues behind us whom it would have to let pass; it is about as long as a short transaction, so
/// that each finds others in the way. All of an attempt's together are 0.6 s.
const ASKED_PAUSE: Duration = Duration::from_millis(15);

/// Pause before the next attempt, times the attempt's number: whoever we stood in the way of gets on.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(150);

/// Sessions that read at once unless told otherwise.
const PARALLELISM: usize = 2;

/// The most that may be asked for.
const PARALLELISM_MAX: usize = 8;

/// The tables of a MySQL or MariaDB database as rows to copy.
#[derive(Debug, Clone)]
pub struct MySqlSource {
    server: MySqlServer,
    parallelism: usize,
}

/// How one attempt ended.
enum Attempt {
    Done(Box<dyn Snapshot>),
    /// Something moved: start over.
    Busy(String),
}

impl MySqlSource {
    /// A source that reads two tables at once, where it may.
    #[must_use]
    pub fn new(server: MySqlServer) -> Self {
        Self {
            server,
            parallelism: PARALLELISM,
        }
    }

    /// The same, reading `parallelism` tables at once, from 1 to 8.
    #[must_use]
    pub fn with_parallelism(self, parallelism: usize) -> Self {
        Self {
            parallelism: parallelism.clamp(1, PARALLELISM_MAX),
            ..self
        }
    }

    /// Begins a snapshot once.
    async fn attempt(&self, attempt: u32) -> Result<Attempt, PortError> {
        let database = self.server.database();
        let mut locker = self.server.connect().await?;
        let tables = schema::list(&mut locker.connection, database).await?;
        schema::refuse_engines(&tables)?;
        let wanted = if attempt < ALONE_FROM { self.parallelism } else { 1 };
        let mut sessions = Vec::with_capacity(wanted);
        // Before the lock: while it is held nothing may take long.
        for _ in 0..wanted {
            match self.server.connect().await {
                Ok(session) => sessions.push(session),
                // One is enough.
                Err(error) if error.kind == ErrorKind::Unavailable && !sessions.is_empty() => {
                    tracing::warn!(error = %error.chain(), "fewer sessions than wanted");
                }
                Err(error) => return Err(error),
            }
        }
        let mut holds_writers = false;
        if sessions.len() > 1 && !tables.is_empty() {
            match hold_writers(&mut locker, database, &tables).await? {
                Held::Yes => holds_writers = true,
                Held::Denied => sessions.truncate(1),
                Held::Busy(why) => return Ok(Attempt::Busy(why)),
            }
        }
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let begun = sessions.iter_mut().map(async |session| {
            // Who comes to change a table now waits for our lock, a reader for him, and all writers for the reader.
            if holds_writers {
                let least = session.flavour.least_lock_wait_seconds();
                set_lock_wait(&mut session.connection, least).await?;
            }
            begin(&mut session.connection, database, &names).await
        });
        let begun = futures_util::future::join_all(begun).await;
        let taken_at = now(&mut locker.connection).await?;
        let released = sqlx::raw_sql("UNLOCK TABLES")
            .execute(&mut locker.connection)
            .await;
        released.map_err(|error| failed("let writers go on", error))?;
        for begun in begun {
            match begun {
                Ok(()) => {}
                Err(error) if is_change(&error) || busy(&error).is_some() => {
                    return Ok(Attempt::Busy(
                        "a table was changed, created or dropped".to_owned(),
                    ));
                }
                Err(error) => return Err(take(error)),
            }
        }
        for session in &mut sessions {
            let waits = set_lock_wait(&mut session.connection, LOCK_WAIT_SECONDS).await;
            waits.map_err(take)?;
        }
        let Some(leader) = sessions.first_mut() else {
            return Ok(Attempt::Busy("there is no session".to_owned()));
        };
        // Definitions are held by now: what is listed is what there will be.
        if schema::list(&mut locker.connection, database).await? != tables {
            return Ok(Attempt::Busy("a table was created or dropped".to_owned()));
        }
        let there = schema::read_catalogue(leader, database, Which::Shown).await?;
        let notes = hidden_note(database, &there.hidden_views);
        let ReadCatalogue {
            catalogue, readings, ..
        } = there;
        close(locker.connection).await;
        refuse_twins(&catalogue)?;
        let sessions = sessions.into_iter().map(|session| session.connection);
        Ok(Attempt::Done(Box::new(MySqlSnapshot {
            catalogue,
            readings,
            notes: notes.into_iter().collect(),
            places: HashMap::new(),
            taken_at,
            sessions: Sessions::of(sessions.collect()),
            sessions_end: SessionsEnd::WithSnapshot,
        })))
    }
}

#[async_trait]
impl Source for MySqlSource {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        let mut reason = String::new();
        for attempt in 1..=ATTEMPTS_MAX {
            match self.attempt(attempt).await? {
                Attempt::Done(snapshot) => return Ok(snapshot),
                Attempt::Busy(busy) => {
                    tracing::debug!(attempt, reason = %busy, "the snapshot starts over");
                    reason = busy;
                }
            }
            tokio::time::sleep(ATTEMPT_PAUSE * attempt).await;
        }
        Err(PortError::new(
            ErrorKind::Unavailable,
            format!(
                "{} changes its tables too often for a snapshot ({ATTEMPTS_MAX} attempts; the last: {reason}); \
                 retry when it is quieter",
                self.server.describe()
            ),
        ))
    }
}

/// Whether writers wait for us.
enum Held {
    Yes,
    /// We may not.
    Denied,
    /// Somebody writes, or changes a table.
    Busy(String),
}

async fn hold_writers(
    Session { connection, flavour }: &mut Session,
    database: &str,
    tables: &[Listed],
) -> Result<Held, PortError> {
    let hold = |error| failed("hold writers for the moment of the snapshot", error);
    let locks: Vec<String> = tables
        .iter()
        .map(|table| format!("{}.{} READ", quoted(database), quoted(&table.name)))
        .collect();
    let least = flavour.least_lock_wait_seconds();
    set_lock_wait(connection, least).await.map_err(hold)?;
    // On MySQL writers wait as long as we do, a second: once is enough.
    let asked_max = if least == 0 { ASKED_MAX } else { 1 };
    let lock = format!("LOCK TABLES {}", locks.join(", "));
    for asked in 1..=asked_max {
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(lock.clone()))
            .execute(&mut *connection)
            .await
        else {
            return Ok(Held::Yes);
        };
        if is_change(&error) {
            return Ok(Held::Busy("a table was dropped".to_owned()));
        }
        match mysql_number(&error) {
            Some(1044 | 1045 | 1142 | 1227) => {
                tracing::debug!("no right to LOCK TABLES: one session reads alone");
                return Ok(Held::Denied);
            }
            Some(1205 | 1213) if asked < asked_max => tokio::time::sleep(ASKED_PAUSE).await,
            Some(1205 | 1213) => {}
            Some(_) | None => return Err(hold(error)),
        }
    }
    Ok(Held::Busy("tables are being written to without pause".to_owned()))
}

fn take(error: sqlx::Error) -> PortError {
    failed("take a snapshot", error)
}

/// Takes a snapshot in that session, and holds the definition of every table.
pub(super) async fn begin(
    connection: &mut MySqlConnection,
    database: &str,
    tables: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
         START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
    .execute(&mut *connection)
    .await?;
    // A row of each, for InnoDB looks at a definition's age only when it reads.
    let touch: Vec<String> = tables
        .iter()
        .map(|table| format!("SELECT 1 FROM {}.{} LIMIT 1", quoted(database), quoted(table)))
        .collect();
    if touch.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(AssertSqlSafe(touch.join("; ")))
        .execute(connection)
        .await
        .map(|_| ())
}

/// No such table (any more), or another definition than at the snapshot.
fn is_change(error: &sqlx::Error) -> bool {
    matches!(mysql_number(error), Some(1146 | 1412 | 1051))
}

async fn now(connection: &mut MySqlConnection) -> Result<Instant, PortError> {
    let micros: i64 = sqlx::query_scalar("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)")
        .fetch_one(connection)
        .await
        .map_err(|error| failed("ask the server for the time", error))?;
    Ok(Instant { micros, nanos: 0 })
}
