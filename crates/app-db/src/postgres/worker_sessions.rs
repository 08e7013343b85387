//! Sessions that hold definitions of tables for the worker under the lease. They are marked by a lock that anybody may
//! share, so that whoever takes the lease next can end them: of a worker that was cut off they would stay for as long as
//! the server believes in it, hours if need be, and no table could be given back meanwhile.

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::app_db::PostgresAppDb;
use crate::error::failed;

/// The second half of the lock's number; the first is the schema's.
const MARK: u32 = 0x4d66_7279;

const SCHEMA: &str = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = pg_catalog.current_schema())";

/// Until the session ends.
pub(super) async fn mark(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = format!("SELECT pg_catalog.pg_advisory_lock_shared(({SCHEMA}::bigint << 32) | {MARK})");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

impl PostgresAppDb {
    /// Ends all of them that this role may end, while the lease is ours: those of who has it next are not there before that
    /// is over. Answers how many.
    ///
    /// # Errors
    /// If some are another role's, which a superuser may end, or who has that role or `pg_signal_backend`.
    pub(super) async fn end_worker_sessions(&self, token: FencingToken) -> Result<u64, PortError> {
        let failed = |error| failed("end the sessions of who lost the lease", error);
        let mut transaction = self.fenced(token).await?;
        let sql = format!(
            "SELECT count(*) FILTER (WHERE CASE WHEN may_end THEN pg_catalog.pg_terminate_backend(pid) END),
                 string_agg(pid::text, ', ') FILTER (WHERE NOT may_end)
             FROM (SELECT pid, NOT coalesce(owner.rolsuper, true) AND pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')
                     OR NOT coalesce(owner.rolsuper, true) AND pg_catalog.pg_has_role(owner.oid, 'USAGE')
                     OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS may_end
                 FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)
                 LEFT JOIN pg_catalog.pg_roles owner ON owner.oid = usesysid
                 WHERE locktype = 'advisory' AND classid = {SCHEMA} AND objid = {MARK} AND objsubid = 1
                   AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
                   AND application_name = 'metaferry') AS marked"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        let ended: i64 = row.try_get(0).map_err(failed)?;
        match row.try_get::<Option<String>, _>(1).map_err(failed)? {
            Some(others) => Err(PortError::new(
                ErrorKind::Denied,
                format!(
                    "sessions {others} of who lost the lease are another role's: end them (pg_terminate_backend), or GRANT \
                     pg_signal_backend to this one"
                ),
            )),
            None => Ok(ended.unsigned_abs()),
        }
    }
}
