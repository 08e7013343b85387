//! Sessions that hold definitions of tables for the worker under the lease. They are marked by a lock that anybody may
//! share, so that whoever takes the lease next can end them: of a worker that was cut off they would stay for as long as
//! the server believes in it, hours if need be, and no table could be given back meanwhile.

use metaferry_domain::PortError;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

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

/// Ends all of them, whosever they are; answers how many.
///
/// # Errors
/// If one of them is another role's, which a superuser may end, or who has that role or `pg_signal_backend`.
pub(super) async fn end(pool: &PgPool) -> Result<u64, PortError> {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(pid))
         FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND classid = {SCHEMA} AND objid = {MARK} AND objsubid = 1
           AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
           AND application_name = 'metaferry'"
    );
    sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .map(i64::unsigned_abs)
        .map_err(|error| failed("end the sessions of who lost the lease", error))
}
