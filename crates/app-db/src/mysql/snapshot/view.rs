//! A view that was taken: its tables, and the sessions that see it, lent to one reader at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use metaferry_domain::ports::{RowReader, Snapshot, TableRead};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::{Catalogue, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::error::failed;
use crate::mysql::connect::{close, quoted};
use crate::mysql::read::{self, Selection};
use crate::mysql::schema::ReadCatalogue;
use crate::mysql::types::Reading;

/// The sessions of a snapshot, lent to one reader at a time. None can be added: a snapshot cannot be joined.
#[derive(Debug)]
pub(in crate::mysql) struct Sessions {
    /// `None` once closed.
    idle: Mutex<Option<Vec<MySqlConnection>>>,
    parallelism: usize,
}

impl Sessions {
    /// These, all idle.
    pub(super) fn of(connections: Vec<MySqlConnection>) -> Arc<Self> {
        let parallelism = connections.len();
        Arc::new(Self {
            idle: Mutex::new(Some(connections)),
            parallelism,
        })
    }

    /// An idle session.
    pub(in crate::mysql) fn get(&self) -> Result<MySqlConnection, PortError> {
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
    pub(in crate::mysql) fn put_back(&self, connection: MySqlConnection) {
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
pub(in crate::mysql) fn written(
    there: ReadCatalogue,
    connection: MySqlConnection,
) -> (Box<dyn Snapshot>, Arc<Sessions>) {
    let sessions = Sessions::of(vec![connection]);
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
pub(in crate::mysql) fn staged(
    there: ReadCatalogue,
    places: HashMap<String, String>,
    connections: Vec<MySqlConnection>,
) -> Box<dyn Snapshot> {
    Box::new(MySqlSnapshot {
        catalogue: there.catalogue,
        readings: there.readings,
        notes: Vec::new(),
        places,
        taken_at: at_our_clock(),
        sessions: Sessions::of(connections),
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
pub(super) enum SessionsEnd {
    /// They end.
    WithSnapshot,
    /// They are somebody else's.
    Later,
}

#[derive(Debug)]
pub(super) struct MySqlSnapshot {
    pub(super) catalogue: Catalogue,
    pub(super) readings: HashMap<String, Vec<Reading>>,
    pub(super) notes: Vec<String>,
    /// What tables are called where that is not their name.
    pub(super) places: HashMap<String, String>,
    pub(super) taken_at: Instant,
    pub(super) sessions: Arc<Sessions>,
    pub(super) sessions_end: SessionsEnd,
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
