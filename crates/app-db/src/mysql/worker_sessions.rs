//! Sessions that hold definitions of tables for the worker under the lease, or refuse writes for it. They are marked by
//! locks with names, so that whoever takes the lease next can end them: of a worker that was cut off they would stay for
//! as long as the server believes in it, hours if need be, and no table could be given back meanwhile.

use metaferry_domain::PortError;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

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

/// Ends all of them that are this user's, and the session that guards tables; answers how many.
pub(super) async fn end(pool: &MySqlPool) -> Result<u64, PortError> {
    let failed = |error| failed("end the sessions of who lost the lease", error);
    let sql = format!(
        "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
         WHERE id IN (IS_USED_LOCK({}), IS_USED_LOCK({}))",
        lock_of("id"),
        guard_session::LOCK
    );
    let ids: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    let mut ended = 0;
    for id in ids {
        match sqlx::raw_sql(AssertSqlSafe(format!("KILL CONNECTION {id}")))
            .execute(pool)
            .await
        {
            Ok(_) => ended += 1,
            // It has ended by itself.
            Err(error) if mysql_number(&error) == Some(1094) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(ended)
}
