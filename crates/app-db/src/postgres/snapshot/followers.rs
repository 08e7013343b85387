//! The sessions that share a snapshot and read its rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::{failed, sql_state};
use crate::postgres::connect::{PostgresServer, close};

/// Sessions at once, whatever callers do: readers that are kept open take one each.
const SESSIONS_MAX: usize = 16;

/// Idle sessions, and how to get another one.
pub(in crate::postgres) struct Followers {
    server: PostgresServer,
    begin: String,
    /// `None` once closed.
    idle: Mutex<Option<Vec<Follower>>>,
    open: std::sync::Arc<AtomicUsize>,
}

/// A session inside the snapshot, its tables locked.
pub(in crate::postgres) struct Follower {
    pub(in crate::postgres) connection: PgConnection,
    _place: Place,
}

/// One of [`SESSIONS_MAX`].
struct Place(std::sync::Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Followers {
    pub(super) fn new(server: PostgresServer, exported: String, lock: String) -> Self {
        // The locks again, for this session: they outlive the leader's, should its session be killed.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'; {lock}",
            exported.replace('\'', "''")
        );
        Self { server, begin, idle: Mutex::new(Some(Vec::new())), open: std::sync::Arc::default() }
    }

    /// Another session in the snapshot. The inner error says who stood in the way.
    pub(super) async fn open(&self) -> Result<Result<Follower, String>, PortError> {
        let place = Place(std::sync::Arc::clone(&self.open));
        if self.open.fetch_add(1, Ordering::Relaxed) >= SESSIONS_MAX {
            return Err(PortError::new(
                ErrorKind::Exhausted,
                format!("{SESSIONS_MAX} tables are being read at once already; end one first"),
            ));
        }
        let mut connection = self.server.connect().await?.connection;
        match sqlx::raw_sql(AssertSqlSafe(self.begin.clone())).execute(&mut connection).await {
            Ok(_) => Ok(Ok(Follower { connection, _place: place })),
            Err(error) if matches!(sql_state(&error).as_deref(), Some("55P03" | "40P01")) => {
                close(connection).await;
                Ok(Err("somebody waits to change a table that is being read".to_owned()))
            }
            Err(error) if matches!(sql_state(&error).as_deref(), Some("22023" | "42704" | "55000")) => {
                Err(PortError::new(ErrorKind::Unavailable, "the session that held the snapshot is gone").because(error))
            }
            Err(error) => Err(failed("share the snapshot", error)),
        }
    }

    pub(super) fn take(&self) -> Option<Follower> {
        self.idle.lock().expect("no code panics while it holds this").as_mut()?.pop()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.lock().expect("no code panics while it holds this").as_ref().map_or(0, Vec::len)
    }

    /// Takes back a session that has read to the end.
    pub(in crate::postgres) fn put_back(&self, follower: Follower) {
        if let Some(idle) = self.idle.lock().expect("no code panics while it holds this").as_mut() {
            idle.push(follower);
        }
    }

    pub(super) async fn close(&self) {
        let idle = self.idle.lock().expect("no code panics while it holds this").take();
        for follower in idle.into_iter().flatten() {
            close(follower.connection).await;
        }
    }
}
