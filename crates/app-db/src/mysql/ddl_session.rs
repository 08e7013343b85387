//! A session that changes definitions of tables, and waits for nobody long.

use metaferry_domain::PortError;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::connect::{close, session};
use crate::error::failed;
use crate::patience::Patience;

/// How long one try waits for a table, and others behind us.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waits {
    /// At most a second.
    Little,
    /// Where the server knows that: MariaDB. MySQL has a second at least.
    Not,
}

/// The session, and by whom its statements can be ended.
pub(super) struct DdlSession {
    pub(super) connection: MySqlConnection,
    id: i64,
    pool: MySqlPool,
}

impl DdlSession {
    pub(super) async fn open(pool: &MySqlPool, waits: Waits) -> Result<Self, PortError> {
        let open = |error| failed("open a session to guard tables", error);
        let mut connection = session(pool).await.map_err(open)?.connection;
        let limit = match waits {
            Waits::Little => "SET SESSION lock_wait_timeout = 1",
            Waits::Not => "SET SESSION lock_wait_timeout = 0",
        };
        run(&mut connection, limit).await.map_err(open)?;
        let id = id_of(&mut connection).await.map_err(open)?;
        Ok(Self {
            connection,
            id,
            pool: pool.clone(),
        })
    }

    /// One try, which ends when nobody wants it any more.
    pub(super) async fn try_run(&mut self, sql: &str, patience: &Patience<'_>) -> Result<(), sqlx::Error> {
        let (id, pool) = (self.id, &self.pool);
        patience
            .see(run(&mut self.connection, sql), || end_statement(pool, id))
            .await
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }
}

pub(super) async fn run(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// By what the server knows a session.
pub(super) async fn id_of(connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .fetch_one(connection)
        .await
}

/// Ends what that session is about, and not the session: everybody may of his own.
pub(super) async fn end_statement(pool: &MySqlPool, id: i64) {
    let sql = format!("KILL QUERY {id}");
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await {
        tracing::debug!(%error, "a statement that nobody wants any more is not ended by the server");
    }
}
