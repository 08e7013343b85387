//! The session by which triggers know that they are to refuse: it holds a lock by name, which whoever writes sees at
//! once whatever the snapshot of his transaction is. It ends with us, and by itself where we fall silent or lose the
//! lease; then nothing is refused any more.

use std::time::Duration;

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::app_db::NOW_MICROS;
use super::connect::{close, session, text};
use super::ddl_session::{end_statement, id_of};
use crate::error::failed;
use crate::own_rows::database_token;
use crate::patience::Patience;

/// How often the session says something, and looks whether the lease is still ours.
const SPEAK_EVERY: Duration = Duration::from_secs(2);
/// The server ends the session of a client that says nothing for so long.
const SILENCE_SECONDS: u32 = 12;
/// How long an answer, and the session's end, are waited for.
const END_MAX: Duration = Duration::from_secs(3);
/// How long the session of somebody who lost the lease is waited for; it lets go within [`SPEAK_EVERY`].
/// MariaDB ends the fence beside it after ten seconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The lock's name, in SQL: of the server, not of a database.
pub(super) const LOCK: &str = "concat('metaferry guard ', sha1(database()))";

/// Armed as long as it lives. Dropping it disarms soon, [`GuardSession::end`] at once.
#[derive(Debug)]
pub(super) struct GuardSession {
    pub(super) token: FencingToken,
    pub(super) connection_id: i64,
    /// The name itself.
    pub(super) lock: String,
    /// When nothing is refused any more, whatever else is so: UTC, as MySQL writes it.
    pub(super) end: String,
    stop: oneshot::Sender<()>,
    holding: JoinHandle<()>,
}

impl GuardSession {
    /// From now on, for at most so long.
    pub(super) async fn begin(
        pool: &MySqlPool,
        token: FencingToken,
        longest: Duration,
        cancel: &Cancellation,
    ) -> Result<Self, PortError> {
        let mut connection = session(pool).await.map_err(arm)?.connection;
        let set = format!("SET SESSION wait_timeout = {SILENCE_SECONDS}");
        sqlx::raw_sql(AssertSqlSafe(set))
            .execute(&mut connection)
            .await
            .map_err(arm)?;
        let micros = i64::try_from(longest.as_micros()).unwrap_or(i64::MAX);
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {LOCK}, CAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND AS CHAR)"
        )))
        .bind(micros)
        .fetch_one(&mut connection)
        .await
        .map_err(arm)?;
        let word = |position| text(&row, position).map(Option::unwrap_or_default).map_err(arm);
        let (lock, end) = (word(0)?, word(1)?);
        let connection_id = id_of(&mut connection).await.map_err(arm)?;
        let asked = sqlx::query_scalar("SELECT CAST(GET_LOCK(?, ?) AS SIGNED)")
            .bind(&lock)
            .bind(LOCK_WAIT.as_secs())
            .fetch_one(&mut connection);
        let locked: Result<Option<i64>, sqlx::Error> = Patience::new(LOCK_WAIT, cancel)
            .see(asked, || end_statement(pool, connection_id))
            .await;
        cancel.check()?;
        let locked = locked.map_err(arm)?;
        if locked != Some(1) {
            return Err(PortError::new(
                ErrorKind::Unavailable,
                format!(
                    "another session holds the lock {lock:?} by which tables are guarded; SELECT IS_USED_LOCK('{lock}') \
                     names it: end it, or wait for it"
                ),
            ));
        }
        let (stop, stopped) = oneshot::channel();
        let holding = tokio::spawn(hold(connection, database_token(token)?, stopped));
        Ok(Self {
            token,
            connection_id,
            lock,
            end,
            stop,
            holding,
        })
    }

    /// Is the session known to have ended?
    pub(super) fn has_ended(&self) -> bool {
        self.holding.is_finished()
    }

    /// Disarms: when this returns, nothing is refused any more, unless the server is out of reach.
    pub(super) async fn end(self) {
        drop(self.stop);
        let holding = self.holding.abort_handle();
        match tokio::time::timeout(END_MAX, self.holding).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the session that guards tables did not end in good manners");
            }
            Err(_) => {
                holding.abort();
                tracing::warn!(
                    target: "cloud_migration", seconds = SILENCE_SECONDS,
                    "the server is silent: it ends the session that guards tables by itself"
                );
            }
        }
    }
}

/// Keeps the session until it is told to end, or the lease is lost.
async fn hold(mut connection: MySqlConnection, token: i64, mut stopped: oneshot::Receiver<()>) {
    let is_ours = format!(
        "SELECT CAST(count(*) AS SIGNED) FROM metaferry_lease
         WHERE id = 1 AND token = ? AND expires_at_micros > {NOW_MICROS}"
    );
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(SPEAK_EVERY) => {}
        }
        let ours = sqlx::query_scalar(AssertSqlSafe(is_ours.clone()))
            .bind(token)
            .fetch_one(&mut connection);
        let ours: Result<Result<i64, sqlx::Error>, _> = tokio::select! {
            // Dropped in the middle of a question the connection is of no use any more, and ends.
            _ = &mut stopped => return,
            ours = tokio::time::timeout(END_MAX, ours) => ours,
        };
        match ours {
            Ok(Ok(1)) => {}
            Ok(_) => {
                tracing::warn!(target: "cloud_migration", "tables are no longer guarded: the lease or the session is lost");
                break;
            }
            Err(_) => {
                tracing::warn!(target: "cloud_migration", "tables are no longer guarded: the server is silent");
                return;
            }
        }
    }
    close(connection).await;
}

fn arm(error: sqlx::Error) -> PortError {
    failed("arm the guard of the tables", error)
}
