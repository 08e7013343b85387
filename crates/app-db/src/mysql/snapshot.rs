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

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use metaferry_domain::ports::{RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::{Catalogue, Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::connect::{MySqlServer, Session, close, quoted};
use super::flavour::Flavour;
use super::read::{self, Selection};
use super::schema::views::hidden_note;
use super::schema::{self, Listed, ReadCatalogue, Which};
use super::types::Reading;
use crate::error::{failed, mysql_number};
use crate::twins::refuse_twins;

/// Times that a snapshot is begun before its source is called too busy.
const ATTEMPTS_MAX: u32 = 6;
/// From this attempt on one session reads alone: writers that never pause keep the lock from us.
const ALONE_FROM: u32 = 3;
/// Times that an attempt asks for the lock where it is to be had at once or not at all, as on MariaDB.
const ASKED_MAX: u32 = 40;
/// Between two of them.
const ASKED_PAUSE: Duration = Duration::from_millis(15);
/// How long writers are made to wait for us on MySQL, which takes no less, while we wait for those before them.
const LOCK_SECONDS: u32 = 1;
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
        if sessions.len() > 1 && !tables.is_empty() {
            match hold_writers(&mut locker, database, &tables).await? {
                Held::Yes => {}
                Held::Denied => sessions.truncate(1),
                Held::Busy(why) => return Ok(Attempt::Busy(why)),
            }
        }
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let begun = futures_util::future::join_all(
            sessions
                .iter_mut()
                .map(|session| begin(&mut session.connection, database, &names)),
        )
        .await;
        let taken_at = now(&mut locker.connection).await?;
        let released = sqlx::raw_sql("UNLOCK TABLES")
            .execute(&mut locker.connection)
            .await;
        released.map_err(|error| failed("let writers go on", error))?;
        for begun in begun {
            match begun {
                Ok(()) => {}
                Err(error) if is_change(&error) => {
                    return Ok(Attempt::Busy(
                        "a table was changed, created or dropped".to_owned(),
                    ));
                }
                Err(error) => return Err(failed("take a snapshot", error)),
            }
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
        let parallelism = sessions.len();
        let sessions = Sessions {
            idle: Mutex::new(Some(
                sessions.into_iter().map(|session| session.connection).collect(),
            )),
            parallelism,
        };
        Ok(Attempt::Done(Box::new(MySqlSnapshot {
            catalogue,
            readings,
            notes: notes.into_iter().collect(),
            places: HashMap::new(),
            taken_at,
            sessions: Arc::new(sessions),
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
    let (wait_seconds, asked_max) = match flavour {
        Flavour::MariaDb => (0, ASKED_MAX),
        Flavour::MySql => (LOCK_SECONDS, 1),
    };
    let limit = format!("SET SESSION lock_wait_timeout = {wait_seconds}");
    sqlx::raw_sql(AssertSqlSafe(limit))
        .execute(&mut *connection)
        .await
        .map_err(hold)?;
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

/// The sessions of a snapshot, lent to one reader at a time. None can be added: a snapshot cannot be joined.
#[derive(Debug)]
pub(super) struct Sessions {
    /// `None` once closed.
    idle: Mutex<Option<Vec<MySqlConnection>>>,
    parallelism: usize,
}

impl Sessions {
    /// An idle session.
    pub(super) fn get(&self) -> Result<MySqlConnection, PortError> {
        let mut idle = self.idle.lock().expect("no code panics while it holds this");
        idle.as_mut().and_then(Vec::pop).ok_or_else(|| {
            PortError::new(
                ErrorKind::Exhausted,
                format!(
                    "the {} sessions of the snapshot are all in use, or ended with a reader that failed",
                    self.parallelism
                ),
            )
        })
    }

    /// Takes back a session that has read to the end.
    pub(super) fn put_back(&self, connection: MySqlConnection) {
        if let Some(idle) = self
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .as_mut()
        {
            idle.push(connection);
        }
    }

    async fn close(&self) {
        let idle = self
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .take();
        for connection in idle.into_iter().flatten() {
            close(connection).await;
        }
    }
}

/// Rows as the transaction of that session sees them, before anybody else does. Closing the snapshot leaves the
/// session, which is to be had from the sessions that are given beside it.
pub(super) fn written(
    there: ReadCatalogue,
    connection: MySqlConnection,
) -> (Box<dyn Snapshot>, Arc<Sessions>) {
    let sessions = Arc::new(Sessions {
        idle: Mutex::new(Some(vec![connection])),
        parallelism: 1,
    });
    let snapshot = MySqlSnapshot {
        catalogue: there.catalogue,
        readings: there.readings,
        notes: Vec::new(),
        places: HashMap::new(),
        taken_at: at_our_clock(),
        sessions: Arc::clone(&sessions),
        sessions_end: SessionsEnd::Later,
    };
    (Box::new(snapshot), sessions)
}

/// Rows of tables that nobody else knows, by sessions that end with the snapshot. `places` says what a table is called
/// until it is shown, by its key.
pub(super) fn staged(
    there: ReadCatalogue,
    places: HashMap<String, String>,
    connections: Vec<MySqlConnection>,
) -> Box<dyn Snapshot> {
    let parallelism = connections.len();
    Box::new(MySqlSnapshot {
        catalogue: there.catalogue,
        readings: there.readings,
        notes: Vec::new(),
        places,
        taken_at: at_our_clock(),
        sessions: Arc::new(Sessions {
            idle: Mutex::new(Some(connections)),
            parallelism,
        }),
        sessions_end: SessionsEnd::WithSnapshot,
    })
}

fn at_our_clock() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant {
        micros: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

/// What becomes of the sessions when a snapshot is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionsEnd {
    /// They end.
    WithSnapshot,
    /// They are somebody else's.
    Later,
}

#[derive(Debug)]
struct MySqlSnapshot {
    catalogue: Catalogue,
    readings: HashMap<String, Vec<Reading>>,
    notes: Vec<String>,
    /// What tables are called where that is not their name.
    places: HashMap<String, String>,
    taken_at: Instant,
    sessions: Arc<Sessions>,
    sessions_end: SessionsEnd,
}

impl MySqlSnapshot {
    fn table(&self, key: &str) -> Result<(&Table, &[Reading]), PortError> {
        self.catalogue
            .table(key)
            .and_then(|table| Some((table, self.readings.get(&table.name.key())?.as_slice())))
            .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("the source has no table {key:?}")))
    }

    /// The table as FROM names it.
    fn place_of(&self, table: &Table) -> String {
        let place = self.places.get(&table.name.key());
        let name = place.map_or_else(|| table.name.as_str(), String::as_str);
        format!("{}.{}", quoted(table.schema.as_str()), quoted(name))
    }
}

#[async_trait]
impl Snapshot for MySqlSnapshot {
    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn taken_at(&self) -> Instant {
        self.taken_at
    }

    fn parallelism(&self) -> usize {
        self.sessions.parallelism
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        let (table, _) = self.table(table)?;
        let mut connection = self.sessions.get()?;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM {}",
            self.place_of(table)
        )))
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failed(format!("count the rows of table {}", table.name), error))?;
        self.sessions.put_back(connection);
        Ok(count.unsigned_abs())
    }

    async fn read(&self, wanted: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let (table, readings) = self.table(&wanted.table)?;
        let selection = Selection::new(table, &self.place_of(table), readings, wanted)?;
        let connection = self.sessions.get()?;
        Ok(Box::new(read::start(
            selection,
            connection,
            Arc::clone(&self.sessions),
        )))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        match self.sessions_end {
            SessionsEnd::WithSnapshot => self.sessions.close().await,
            SessionsEnd::Later => {}
        }
        Ok(())
    }
}
