//! One consistent view of a schema, held against changes of its definition by a leading session and shared with
//! sessions that follow it. Reading rows through them is the read module's work.

mod leader;
mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::ports::{RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::{Catalogue, Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::AssertSqlSafe;

use super::connect::{PostgresServer, quoted};
use super::read::{self, CopyOut};
use super::schema::{TableKind, TableReading};
use crate::error::failed;
use crate::twins::refuse_twins;
use leader::{Leader, LockFailure, begin_locked};
pub(super) use sessions::{Session, Sessions};

/// Times that a snapshot is begun before its source is called too busy.
const ATTEMPTS_MAX: u32 = 6;
/// From this attempt on, the leader reads alone rather than start over for its followers' sake: under changes that
/// never pause, somebody waits for the leader at all times, and followers behind him.
const ALONE_FROM: u32 = 3;
/// How long a follower waits for a lock: it waits side by side with the leader, or in vain.
const FOLLOWER_LOCK_TIMEOUT_MS: u32 = 500;
/// Pause before the next attempt, times the attempt's number: whoever we stood in the way of gets on.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(150);
/// Sessions that read at once unless told otherwise: the server's own work per row is several times ours.
const PARALLELISM: usize = 2;
/// The most that may be asked for.
const PARALLELISM_MAX: usize = 8;

/// The tables of a Postgres schema as rows to copy.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    server: PostgresServer,
    parallelism: usize,
}

impl PostgresSource {
    /// A source that reads two tables at once.
    #[must_use]
    pub fn new(server: PostgresServer) -> Self {
        Self {
            server,
            parallelism: PARALLELISM,
        }
    }

    /// The same, reading `parallelism` tables at once, from 1 to 8. One session more is open beside them.
    #[must_use]
    pub fn with_parallelism(self, parallelism: usize) -> Self {
        Self {
            parallelism: parallelism.clamp(1, PARALLELISM_MAX),
            ..self
        }
    }

    /// Begins a snapshot once.
    async fn attempt(&self, attempt: u32) -> Result<Attempt, PortError> {
        let mut leader = Leader::connect(&self.server).await?;
        let mut followers = Vec::with_capacity(self.parallelism);
        let connecting = (0..self.parallelism).map(|_| self.server.connect());
        for connected in futures_util::future::join_all(connecting).await {
            match connected {
                Ok(session) => followers.push(session.connection),
                // The leader can read too.
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(error = %error.chain(), "fewer sessions than wanted");
                }
                Err(error) => return Err(error),
            }
        }
        // All at once, so that they stand in every queue side by side. One after the other, the next would wait
        // behind somebody who waits for the first.
        let lock = leader.lock_statement(FOLLOWER_LOCK_TIMEOUT_MS);
        let leading = leader.begin_locked();
        let following = followers
            .into_iter()
            .map(|mut follower| async { begin_locked(&mut follower, &lock).await.map(|()| follower) });
        let (led, followed) =
            futures_util::future::join(leading, futures_util::future::join_all(following)).await;
        match led {
            Ok(()) => {}
            Err(LockFailure::Busy) => {
                return Ok(match leader.blocker().await {
                    Some(blocker) => Attempt::Locked(blocker),
                    None => Attempt::Busy("a table was locked by somebody who changes it".to_owned()),
                });
            }
            Err(LockFailure::Failed(error)) => return Err(error),
        }
        let mut followers = Vec::with_capacity(self.parallelism);
        for followed in followed {
            match followed {
                Ok(follower) => followers.push(follower),
                Err(LockFailure::Busy) if attempt < ALONE_FROM => {
                    return Ok(Attempt::Busy("somebody waits to change a table".to_owned()));
                }
                Err(LockFailure::Busy) => {}
                Err(LockFailure::Failed(error)) => return Err(error),
            }
        }
        // The first query of them all: everybody who changed a table has committed before, nobody can any more.
        let exported = leader.take_snapshot().await?;
        let read = leader.catalogue().await?;
        if leader.has_moved().await? {
            return Ok(Attempt::Busy(
                "a table was created, dropped or rewritten".to_owned(),
            ));
        }
        refuse_twins(&read.catalogue)?;
        let taken_at = leader.taken_at();
        let sessions = Sessions::new(
            self.server.clone(),
            &exported,
            &lock,
            leader.into_session(),
            followers,
        )
        .await?;
        Ok(Attempt::Done(Box::new(PostgresSnapshot {
            catalogue: read.catalogue,
            readings: read.readings,
            taken_at,
            parallelism: sessions.idle().min(self.parallelism),
            sessions: Arc::new(sessions),
        })))
    }
}

enum Attempt {
    Done(Box<PostgresSnapshot>),
    Busy(String),
    /// Somebody holds a lock that lets nobody read.
    Locked(String),
}

#[async_trait]
impl Source for PostgresSource {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        let mut reason = String::new();
        let mut locked = None;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.attempt(attempt).await? {
                Attempt::Done(snapshot) => return Ok(snapshot),
                Attempt::Busy(busy) => {
                    tracing::debug!(attempt, reason = %busy, "the snapshot starts over");
                    reason = busy;
                    locked = None;
                }
                Attempt::Locked(by) => {
                    tracing::debug!(attempt, reason = %by, "the snapshot starts over");
                    locked = Some(by);
                }
            }
            tokio::time::sleep(ATTEMPT_PAUSE * attempt).await;
        }
        if let Some(locked) = locked {
            return Err(
                PortError::new(ErrorKind::Conflict, format!("{locked}; nothing was read")).advising(
                    "wait until that session has ended, or end it (pg_terminate_backend), then retry",
                ),
            );
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

struct PostgresSnapshot {
    catalogue: Catalogue,
    readings: HashMap<String, TableReading>,
    taken_at: Instant,
    parallelism: usize,
    sessions: Arc<Sessions>,
}

impl PostgresSnapshot {
    fn table(&self, key: &str) -> Result<(&Table, &TableReading), PortError> {
        self.catalogue
            .table(key)
            .and_then(|table| Some((table, self.readings.get(&table.name.key())?)))
            .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("the source has no table {key:?}")))
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn taken_at(&self) -> Instant {
        self.taken_at
    }

    fn parallelism(&self) -> usize {
        self.parallelism
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        let (table, reading) = self.table(table)?;
        let sql = format!("SELECT count(*) FROM {}", from_clause(table, reading.kind));
        let mut session = self
            .sessions
            .get()
            .await
            .map_err(|error| at_table("count", table, error))?;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut session.connection)
            .await
            .map_err(|error| failed(format!("count the rows of table {}", table.name), error))?;
        self.sessions.put_back(session);
        Ok(count.unsigned_abs())
    }

    async fn read(&self, wanted: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let (table, reading) = self.table(&wanted.table)?;
        let copy = CopyOut::new(table, reading, wanted)?;
        let session = self
            .sessions
            .get()
            .await
            .map_err(|error| at_table("read", table, error))?;
        Ok(Box::new(read::start(copy, session, Arc::clone(&self.sessions))))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.sessions.close().await;
        Ok(())
    }
}

fn at_table(what: &str, table: &Table, error: PortError) -> PortError {
    PortError::new(error.kind, format!("{what} table {}", table.name)).because(error)
}

/// The table as FROM and LOCK name it. Rows of tables that inherit belong to those.
pub(super) fn from_clause(table: &Table, kind: TableKind) -> String {
    let name = format!(
        "{}.{}",
        quoted(table.schema.as_str()),
        quoted(table.name.as_str())
    );
    match kind {
        TableKind::Ordinary => format!("ONLY {name}"),
        TableKind::Partitioned => name,
    }
}
