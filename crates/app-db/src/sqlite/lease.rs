//! The lease: one row, one clock, this machine's.

use async_trait::async_trait;
use metaferry_domain::lease::{FencingToken, Lease};
use metaferry_domain::ports::LeaseStore;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::Row;

use super::{NOW_MS, SqliteState, database_token};
use crate::error::failed;

#[async_trait]
impl LeaseStore for SqliteState {
    async fn acquire(&self, holder: &str, term_ms: u64) -> Result<Lease, PortError> {
        let token: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "UPDATE lease SET token = token + 1, holder = ?1, term_ms = ?2, expires_at_ms = {NOW_MS} + ?2
             WHERE id = 1 AND expires_at_ms <= {NOW_MS} RETURNING token"
        )))
        .bind(holder)
        .bind(i64::try_from(term_ms).unwrap_or(i64::MAX))
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed("take the lease", error))?;
        if let Some(token) = token {
            return Ok(Lease {
                token: FencingToken(token.unsigned_abs()),
                holder: holder.to_owned(),
                term_ms,
            });
        }
        let by = self.current().await?.map_or_else(
            || "another process".to_owned(),
            |lease| {
                format!(
                    "{}, for {} s at most if that process is gone",
                    lease.holder,
                    lease.term_ms.div_ceil(1000)
                )
            },
        );
        Err(PortError::new(
            ErrorKind::Conflict,
            format!("the lease is held by {by}; try again then"),
        ))
    }

    async fn renew(&self, lease: &Lease) -> Result<(), PortError> {
        let renewed = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE lease SET expires_at_ms = {NOW_MS} + term_ms WHERE id = 1 AND token = ? AND expires_at_ms > {NOW_MS}"
        )))
        .bind(database_token(lease.token)?)
        .execute(&self.pool)
        .await
        .map_err(|error| failed("renew the lease", error))?;
        if renewed.rows_affected() == 1 {
            return Ok(());
        }
        Err(PortError::new(
            ErrorKind::Precondition,
            format!("the lease with token {} is lost", lease.token),
        ))
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        sqlx::query("UPDATE lease SET expires_at_ms = 0 WHERE id = 1 AND token = ?")
            .bind(database_token(lease.token)?)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed("release the lease", error))
    }

    async fn current(&self) -> Result<Option<Lease>, PortError> {
        let read = |error| failed("read the lease", error);
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT token, holder, term_ms FROM lease WHERE id = 1 AND expires_at_ms > {NOW_MS}"
        )))
        .fetch_optional(&self.pool)
        .await
        .map_err(read)?;
        row.map(|row| {
            Ok(Lease {
                token: FencingToken(row.try_get::<i64, _>(0).map_err(read)?.unsigned_abs()),
                holder: row.try_get(1).map_err(read)?,
                term_ms: row.try_get::<i64, _>(2).map_err(read)?.unsigned_abs(),
            })
        })
        .transpose()
    }
}
