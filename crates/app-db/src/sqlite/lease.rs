//! The lease: one row, one clock, this machine's.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::{FencingToken, HeldLease, Lease};
use metaferry_domain::ports::LeaseStore;
use sqlx::Row;

use super::{NOW_MS, SqliteState};
use crate::error::failed;
use crate::own_rows::{self, database_token, held_by, lease_is_lost};

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
        Err(held_by(self.held().await?.as_ref()))
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
        Err(lease_is_lost(lease.token))
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        sqlx::query("UPDATE lease SET expires_at_ms = 0 WHERE id = 1 AND token = ?")
            .bind(database_token(lease.token)?)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed("release the lease", error))
    }

    async fn current(&self) -> Result<Option<HeldLease>, PortError> {
        self.held().await
    }
}

impl SqliteState {
    async fn held(&self) -> Result<Option<HeldLease>, PortError> {
        let read = |error| failed("read the lease", error);
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT token, holder, term_ms, expires_at_ms - {NOW_MS} FROM lease WHERE id = 1 AND expires_at_ms > {NOW_MS}"
        )))
        .fetch_optional(&self.pool)
        .await
        .map_err(read)?;
        row.map(|row| {
            Ok(own_rows::held(
                own_rows::lease(
                    row.try_get(0).map_err(read)?,
                    row.try_get(1).map_err(read)?,
                    row.try_get(2).map_err(read)?,
                ),
                row.try_get(3).map_err(read)?,
            ))
        })
        .transpose()
    }
}
