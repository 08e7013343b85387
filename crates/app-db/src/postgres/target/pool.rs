//! The sessions that write to Postgres.

use metaferry_domain::PortError;
use sqlx::PgConnection;

use super::run;
use crate::error::failed;
use crate::load::pool::{self, FailedStatement, Opens, one_by_one};
use crate::postgres::connect::{PostgresServer, close};

/// A commit is not waited for until it is on the disk: each of some hundred statements would wait. What is shown at the
/// end is, and everything written before lies before it in the log.
pub(super) const WITHOUT_WAITING: &str = "SET synchronous_commit = off";

/// Sessions lent to one writer at a time.
pub(super) type Pool = pool::Pool<PostgresServer>;
/// A session that somebody works with.
pub(super) type Lent = pool::Lent<PostgresServer>;

/// See [`WITHOUT_WAITING`].
impl Opens for PostgresServer {
    type Session = PgConnection;

    async fn open(&self) -> Result<PgConnection, PortError> {
        let mut connection = self.connect().await?.connection;
        run(&mut connection, WITHOUT_WAITING.to_owned())
            .await
            .map_err(|error| failed("set up a session", error))?;
        Ok(connection)
    }

    async fn run(session: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
        run(session, sql).await
    }

    /// All in one message, which is one transaction: some hundred statements would each wait for their turn and commit. One
    /// by one only to learn which of them fails.
    async fn run_all(session: &mut PgConnection, statements: &[String]) -> Result<(), FailedStatement> {
        match run(session, statements.join(";\n")).await {
            Ok(()) => Ok(()),
            Err(_) => one_by_one::<Self>(session, statements).await,
        }
    }

    async fn end(session: PgConnection) {
        close(session).await;
    }
}
