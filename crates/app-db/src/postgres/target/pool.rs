//! The sessions that write: several of their own transactions, or the one that holds the transaction around.

use std::sync::{Arc, Mutex};

use metaferry_domain::{ErrorKind, PortError};
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::run;
use crate::error::failed;
use crate::postgres::connect::{PostgresServer, close};

/// A commit is not waited for until it is on the disk: each of some hundred statements would wait. What is shown at the
/// end is, and everything written before lies before it in the log.
pub(super) const WITHOUT_WAITING: &str = "SET synchronous_commit = off";

/// Sessions lent to one writer at a time.
pub(super) struct Pool {
    idle: Mutex<Vec<PgConnection>>,
    places: Arc<Semaphore>,
    /// Where more come from; `None` if there is only the one.
    server: Option<PostgresServer>,
}

/// A session that somebody works with. Dropped, it is gone; [`Lent::put_back`] keeps it.
pub(super) struct Lent {
    pub(super) connection: PgConnection,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    /// At most `places` sessions, opened as they are wanted; see [`WITHOUT_WAITING`].
    pub(super) fn of_server(server: PostgresServer, places: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(places)),
            server: Some(server),
        })
    }

    /// That session alone.
    pub(super) fn of_one(connection: PgConnection) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(vec![connection]),
            places: Arc::new(Semaphore::new(1)),
            server: None,
        })
    }

    /// An idle session or a new one; waits while all are lent.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Lent, PortError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| lost())?;
        let idle = self
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .pop();
        let connection = match (idle, &self.server) {
            (Some(connection), _) => connection,
            (None, Some(server)) => {
                let mut connection = server.connect().await?.connection;
                run(&mut connection, WITHOUT_WAITING.to_owned())
                    .await
                    .map_err(|error| failed("set up a session", error))?;
                connection
            }
            (None, None) => return Err(lost()),
        };
        Ok(Lent {
            connection,
            pool: Arc::clone(self),
            _place: place,
        })
    }

    /// Ends the idle ones.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().expect("no code panics while it holds this"));
        for connection in idle {
            close(connection).await;
        }
    }
}

fn lost() -> PortError {
    PortError::new(
        ErrorKind::Unavailable,
        "the session that all rows are written in has ended",
    )
}

impl Lent {
    /// The next one finds it.
    pub(super) fn put_back(self) {
        self.pool
            .idle
            .lock()
            .expect("no code panics while it holds this")
            .push(self.connection);
    }
}
