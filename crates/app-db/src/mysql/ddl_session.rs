//! A session that changes definitions of tables. At first it waits for nobody: where it waits for somebody who has read a
//! table and then writes to it, the server sends that one away, and his transaction is lost. Only where a table is in use all
//! the time it waits, a second at most.

use std::time::{Duration, Instant};

use metaferry_domain::PortError;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::connect::{close, session};
use crate::error::failed;
use crate::patience::{PAUSE, Patience};

/// How long it waits for nobody.
pub(super) const GENTLE: Duration = Duration::from_secs(5);
/// Between two tries then: nobody queues behind us.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The session, and by whom its statements can be ended.
pub(super) struct DdlSession {
    pub(super) connection: MySqlConnection,
    id: i64,
    pool: MySqlPool,
    gentle_until: Instant,
    waits: bool,
}

impl DdlSession {
    pub(super) async fn open(pool: &MySqlPool, gentle: Duration) -> Result<Self, PortError> {
        let open = |error| failed("open a session to guard tables", error);
        let mut connection = session(pool).await.map_err(open)?.connection;
        // MySQL makes a second of it, its least.
        let limit = "SET SESSION lock_wait_timeout = 0";
        run(&mut connection, limit).await.map_err(open)?;
        let id = id_of(&mut connection).await.map_err(open)?;
        Ok(Self {
            connection,
            id,
            pool: pool.clone(),
            gentle_until: Instant::now() + gentle,
            waits: false,
        })
    }

    /// Between two tries.
    pub(super) fn pause(&self) -> Duration {
        if self.waits { PAUSE } else { TRY_EVERY }
    }

    /// One try, which ends when nobody wants it any more.
    pub(super) async fn try_run(&mut self, sql: &str, patience: &Patience<'_>) -> Result<(), sqlx::Error> {
        if !self.waits && Instant::now() >= self.gentle_until {
            run(&mut self.connection, "SET SESSION lock_wait_timeout = 1").await?;
            self.waits = true;
        }
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
