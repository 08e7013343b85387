//! One consistent view of a schema, held against changes of its definition by a leading session and shared with
//! sessions that follow it. Reading rows through them is the read module's work.

pub(super) mod followers;
mod leader;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::ports::{RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::{Catalogue, Dialect, Table};
use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::Mutex;

use super::connect::{PostgresServer, quoted};
use super::read::{self, CopyOut};
use super::schema::{TableKind, TableReading};
use crate::error::failed;
pub(super) use followers::{Follower, Followers};
use leader::Leader;

/// Times that a snapshot is begun before its source is called too busy.
const ATTEMPTS_MAX: u32 = 6;
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
        Self { server, parallelism: PARALLELISM }
    }

    /// The same, reading `parallelism` tables at once, from 1 to 8. One session more is open beside them.
    #[must_use]
    pub fn with_parallelism(self, parallelism: usize) -> Self {
        Self { parallelism: parallelism.clamp(1, PARALLELISM_MAX), ..self }
    }

    /// Begins a snapshot once; `None` to try again, with the reason.
    async fn attempt(&self) -> Result<Attempt, PortError> {
        let mut leader = match Leader::begin(&self.server).await? {
            Ok(leader) => leader,
            Err(busy) => return Ok(Attempt::Busy(busy)),
        };
        let lock = leader.lock_statement();
        let followers = Followers::new(self.server.clone(), leader.exported(), lock);
        for _ in 0..self.parallelism {
            match followers.open().await {
                Ok(Ok(follower)) => followers.put_back(follower),
                // It waits behind somebody who waits for the leader: only starting over lets both on.
                Ok(Err(busy)) => return Ok(Attempt::Busy(busy)),
                // One session is enough to go on with.
                Err(error) if followers.idle() > 0 && error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(error = %error.chain(), sessions = followers.idle(), "fewer sessions than wanted");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let read = leader.catalogue().await?;
        // The leader still stands, so its locks held until the followers had theirs.
        if leader.has_moved().await? {
            return Ok(Attempt::Busy("a table was created, dropped or rewritten".to_owned()));
        }
        refuse_twins(&read.catalogue)?;
        Ok(Attempt::Done(Box::new(PostgresSnapshot {
            catalogue: read.catalogue,
            readings: read.readings,
            taken_at: leader.taken_at(),
            parallelism: followers.idle(),
            leader: Mutex::new(leader),
            followers: Arc::new(followers),
        })))
    }
}

enum Attempt {
    Done(Box<PostgresSnapshot>),
    Busy(String),
}

#[async_trait]
impl Source for PostgresSource {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        let mut reason = String::new();
        for attempt in 1..=ATTEMPTS_MAX {
            match self.attempt().await? {
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

/// Names are compared in lower case everywhere; two that differ in case only cannot be told apart.
fn refuse_twins(catalogue: &Catalogue) -> Result<(), PortError> {
    let refuse = |first: String, second: String| {
        PortError::new(
            ErrorKind::Unsupported,
            format!("{first} and {second} differ in case only; rename one of them, then retry"),
        )
    };
    for pair in catalogue.tables.windows(2) {
        if pair[0].name.key() == pair[1].name.key() {
            return Err(refuse(format!("tables {:?}", pair[0].name), format!("{:?}", pair[1].name)));
        }
    }
    for table in &catalogue.tables {
        let mut seen = HashMap::new();
        for column in &table.columns {
            if let Some(twin) = seen.insert(column.name.key(), &column.name) {
                return Err(refuse(format!("table {}: columns {twin:?}", table.name), format!("{:?}", column.name)));
            }
        }
    }
    Ok(())
}

struct PostgresSnapshot {
    catalogue: Catalogue,
    readings: HashMap<String, TableReading>,
    taken_at: Instant,
    parallelism: usize,
    leader: Mutex<Leader>,
    followers: Arc<Followers>,
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
        let from = from_clause(table, reading.kind);
        self.leader
            .lock()
            .await
            .count(&from)
            .await
            .map_err(|error| failed(format!("count the rows of table {}", table.name), error))
    }

    async fn read(&self, wanted: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let (table, reading) = self.table(&wanted.table)?;
        let copy = CopyOut::new(table, reading, wanted)?;
        let at_table = |error: PortError| {
            PortError::new(error.kind, format!("read table {}", table.name)).because(error)
        };
        let follower = match self.followers.take() {
            Some(follower) => follower,
            None => match self.followers.open().await.map_err(at_table)? {
                Ok(follower) => follower,
                Err(busy) => return Err(at_table(PortError::new(ErrorKind::Unavailable, busy))),
            },
        };
        Ok(Box::new(read::start(copy, follower, Arc::clone(&self.followers))))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.followers.close().await;
        self.leader.into_inner().close().await;
        Ok(())
    }
}

/// The table as FROM and LOCK name it. Rows of tables that inherit belong to those.
pub(super) fn from_clause(table: &Table, kind: TableKind) -> String {
    let name = format!("{}.{}", quoted(table.schema.as_str()), quoted(table.name.as_str()));
    match kind {
        TableKind::Ordinary => format!("ONLY {name}"),
        TableKind::Partitioned => name,
    }
}
