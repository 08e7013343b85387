//! The sessions that write to a target: several of their own transactions, or the one that holds the transaction
//! around; and jobs that are spread over them.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};

use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const HELD: &str = "no code panics while it holds this";

/// Where sessions come from.
pub(crate) trait Opens: Send + Sync + Sized + 'static {
    /// A session.
    type Session: Send + 'static;

    /// Opens one, set up for writing.
    fn open(&self) -> impl Future<Output = Result<Self::Session, PortError>> + Send;

    /// Runs statements, all in one message.
    fn run(session: &mut Self::Session, sql: String) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs one statement after the other, up to the first that fails.
    fn run_all(
        session: &mut Self::Session,
        statements: &[String],
    ) -> impl Future<Output = Result<(), FailedStatement>> + Send {
        one_by_one::<Self>(session, statements)
    }

    /// Ends it in good manners.
    fn end(session: Self::Session) -> impl Future<Output = ()> + Send;
}

/// Which of several statements failed, and why.
pub(crate) struct FailedStatement {
    pub(crate) statement: String,
    pub(crate) error: sqlx::Error,
}

/// Each statement in a message of its own.
pub(crate) async fn one_by_one<S: Opens>(
    session: &mut S::Session,
    statements: &[String],
) -> Result<(), FailedStatement> {
    for statement in statements {
        S::run(session, statement.clone())
            .await
            .map_err(|error| FailedStatement {
                statement: statement.clone(),
                error,
            })?;
    }
    Ok(())
}

/// Sessions lent to one writer at a time.
pub(crate) struct Pool<S: Opens> {
    idle: Mutex<Vec<S::Session>>,
    places: Arc<Semaphore>,
    /// How many there may be.
    size: usize,
    /// Where more come from; `None` if there is only the one.
    server: Option<S>,
}

/// A session that somebody works with. Dropped, it is gone; [`Lent::put_back`] keeps it.
pub(crate) struct Lent<S: Opens> {
    pub(crate) connection: S::Session,
    pool: Arc<Pool<S>>,
    _place: OwnedSemaphorePermit,
}

impl<S: Opens> Pool<S> {
    /// At most `size` sessions, opened as they are wanted.
    pub(crate) fn of_server(server: S, size: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(size)),
            size,
            server: Some(server),
        })
    }

    /// That session alone.
    pub(crate) fn of_one(connection: S::Session) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(vec![connection]),
            places: Arc::new(Semaphore::new(1)),
            size: 1,
            server: None,
        })
    }

    /// An idle session or a new one; waits while all are lent.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Lent<S>, PortError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| lost())?;
        let idle = self.idle.lock().expect(HELD).pop();
        let connection = match (idle, &self.server) {
            (Some(connection), _) => connection,
            (None, Some(server)) => server.open().await?,
            (None, None) => return Err(lost()),
        };
        Ok(Lent {
            connection,
            pool: Arc::clone(self),
            _place: place,
        })
    }

    /// Ends the idle ones.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().expect(HELD));
        for connection in idle {
            S::end(connection).await;
        }
    }

    /// Runs jobs on as many sessions as there may be, each session `set_up` before; the statements of one job one after
    /// the other. Of several failures the first is answered, as `because` tells it of its statement.
    pub(crate) async fn work_off(
        self: &Arc<Self>,
        set_up: &str,
        jobs: VecDeque<Vec<String>>,
        because: impl Fn(&str, sqlx::Error) -> PortError + Clone + Send + 'static,
    ) -> Result<(), PortError> {
        let sessions = self.size.min(jobs.len());
        let jobs = Arc::new(Mutex::new(jobs));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..sessions {
            let (pool, jobs, set_up) = (Arc::clone(self), Arc::clone(&jobs), set_up.to_owned());
            let because = because.clone();
            workers.spawn(async move {
                let mut lent = pool.get().await?;
                if !set_up.is_empty() {
                    S::run(&mut lent.connection, set_up.clone())
                        .await
                        .map_err(|error| because(&set_up, error))?;
                }
                loop {
                    let job = jobs.lock().expect(HELD).pop_front();
                    let Some(statements) = job else { break };
                    S::run_all(&mut lent.connection, &statements)
                        .await
                        .map_err(|failed| because(&failed.statement, failed.error))?;
                }
                lent.put_back();
                Ok::<(), PortError>(())
            });
        }
        let mut first = Ok(());
        while let Some(worker) = workers.join_next().await {
            let ended = match worker {
                Ok(ended) => ended,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            if first.is_ok() && ended.is_err() {
                // The others end with their statement.
                jobs.lock().expect(HELD).clear();
                first = ended;
            }
        }
        first
    }
}

impl<S: Opens> Lent<S> {
    /// The session itself, which does not come back.
    pub(crate) fn take(self) -> S::Session {
        self.connection
    }

    /// The next one finds it.
    pub(crate) fn put_back(self) {
        self.pool.idle.lock().expect(HELD).push(self.connection);
    }
}

/// What it ended of is told by whoever worked with it.
fn lost() -> PortError {
    PortError::new(
        ErrorKind::Cancelled,
        "the session that all rows are written in has ended",
    )
}
