//! The sessions that share a snapshot, lent to one reader at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::{failed, sql_state};
use crate::postgres::connect::{PostgresServer, close};

/// Sessions at once, whatever callers do: readers that are kept open take one each.
const SESSIONS_MAX: usize = 16;

/// Idle sessions, and how to get another one.
pub(in crate::postgres) struct Sessions {
    server: PostgresServer,
    begin: String,
    /// `None` once closed. The leader is first, and so lent last.
    idle: Mutex<Option<Vec<Session>>>,
    company: Company,
    open: Arc<AtomicUsize>,
}

/// Whether others can join the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// They can: the leader is kept for them as long as possible.
    Joined,
    /// Somebody stands between: the leader reads all.
    Alone,
}

/// A session inside the snapshot, its tables locked. Dropped, it is gone; [`Sessions::put_back`] keeps it.
pub(in crate::postgres) struct Session {
    pub(in crate::postgres) connection: PgConnection,
    role: Role,
    _place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
}

/// One of [`SESSIONS_MAX`].
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    /// The leader, and sessions that hold the locks already and are let share its snapshot.
    pub(super) async fn new(
        server: PostgresServer,
        exported: &str,
        lock: &str,
        leader: PgConnection,
        followers: Vec<PgConnection>,
    ) -> Result<Self, PortError> {
        let share = format!("SET TRANSACTION SNAPSHOT '{}'", exported.replace('\'', "''"));
        let open = Arc::new(AtomicUsize::new(followers.len() + 1));
        let session = |connection, role| Session {
            connection,
            role,
            _place: Place(Arc::clone(&open)),
        };
        let company = if followers.is_empty() {
            Company::Alone
        } else {
            Company::Joined
        };
        let mut idle = vec![session(leader, Role::Leader)];
        for mut connection in followers {
            sqlx::raw_sql(AssertSqlSafe(share.clone()))
                .execute(&mut connection)
                .await
                .map_err(|error| failed("share the snapshot", error))?;
            idle.push(session(connection, Role::Follower));
        }
        // A session that comes later has its own locks too: they outlive the leader's, should that be killed.
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {share}; {lock}");
        Ok(Self {
            server,
            begin,
            idle: Mutex::new(Some(idle)),
            company,
            open,
        })
    }

    /// An idle session, else another one. Never waits for a reader to end: its caller may be the one to end it.
    pub(super) async fn get(&self) -> Result<Session, PortError> {
        // Without the leader nobody can join any more, and a reader that fails or is dropped ends its session.
        let kept = match self.company {
            Company::Joined => 1,
            Company::Alone => 0,
        };
        if let Some(session) = self.pop(kept) {
            return Ok(session);
        }
        match self.open().await {
            Ok(session) => Ok(session),
            Err(error) => self.pop(0).ok_or(error),
        }
    }

    /// One of the idle sessions, if there are more than `kept`.
    fn pop(&self, kept: usize) -> Option<Session> {
        let mut idle = self.idle.lock().expect("no code panics while it holds this");
        idle.as_mut().filter(|idle| idle.len() > kept).and_then(Vec::pop)
    }

    async fn open(&self) -> Result<Session, PortError> {
        let place = Place(Arc::clone(&self.open));
        if self.open.fetch_add(1, Ordering::Relaxed) >= SESSIONS_MAX {
            return Err(PortError::new(
                ErrorKind::Exhausted,
                format!("{SESSIONS_MAX} tables are being read at once already; end one first"),
            ));
        }
        let mut connection = self.server.connect().await?.connection;
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(self.begin.clone()))
            .execute(&mut connection)
            .await
        else {
            return Ok(Session {
                connection,
                role: Role::Follower,
                _place: place,
            });
        };
        let what = match sql_state(&error).as_deref() {
            Some("55P03" | "40P01") => "somebody waits to change a table that is being read",
            Some("22023" | "42704" | "55000") => "the session that held the snapshot is gone",
            Some(_) | None => return Err(failed("share the snapshot", error)),
        };
        Err(PortError::new(ErrorKind::Unavailable, what).because(error))
    }

    /// How many wait to be used.
    pub(super) fn idle(&self) -> usize {
        self.idle
            .lock()
            .expect("no code panics while it holds this")
            .as_ref()
            .map_or(0, Vec::len)
    }

    /// Takes back a session that has read to the end.
    pub(in crate::postgres) fn put_back(&self, session: Session) {
        if let Some(idle) = self
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .as_mut()
        {
            match session.role {
                Role::Leader => idle.insert(0, session),
                Role::Follower => idle.push(session),
            }
        }
    }

    pub(super) async fn close(&self) {
        let idle = self
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .take();
        for session in idle.into_iter().flatten() {
            close(session.connection).await;
        }
    }
}
