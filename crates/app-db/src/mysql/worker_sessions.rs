//! Sessions that hold definitions of tables for the worker under the lease, or refuse writes for it. They are marked by
//! locks with names, so that whoever takes the lease next can end them: of a worker that was cut off they would stay for
//! as long as the server believes in it, hours if need be, and no table could be given back meanwhile.

use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::app_db::MySqlAppDb;
use super::guard_session;
use crate::error::{failed, mysql_number};

/// The lock's name, in SQL, of the session with that number. At most 64 letters are let be.
fn lock_of(session: &str) -> String {
    format!("concat('metaferry ', MD5(database()), ' ', {session})")
}

/// Until the session ends.
pub(super) async fn mark(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    let sql = format!("SELECT GET_LOCK({}, 0)", lock_of("CONNECTION_ID()"));
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

impl MySqlAppDb {
    /// Ends all of them that are this user's, and the session that guards tables, while the lease is ours: those of who has
    /// it next are not there before that is over. Answers how many.
    pub(super) async fn end_worker_sessions(&self, token: FencingToken) -> Result<u64, PortError> {
        let failed = |error| failed("end the sessions of who lost the lease", error);
        let mut transaction = self.fenced(token).await?;
        let sql = format!(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
             WHERE id IN (IS_USED_LOCK({}), IS_USED_LOCK({}))",
            lock_of("id"),
            guard_session::LOCK
        );
        let ids: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        let (mut ended, mut stays) = (0, None);
        for id in ids {
            let sql = format!("KILL CONNECTION {id}");
            match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await {
                Ok(_) => ended += 1,
                // It has ended by itself.
                Err(error) if mysql_number(&error) == Some(1094) => {}
                Err(error) => stays = Some(error),
            }
        }
        match stays {
            Some(error) => Err(failed(error)),
            None => Ok(ended),
        }
    }
}
