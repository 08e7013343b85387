//! The lease: one row, one clock, the database's.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::{FencingToken, HeldLease, Lease};
use metaferry_domain::ports::LeaseStore;
use sqlx::Row;

use super::app_db::PostgresAppDb;
use crate::error::failed;
use crate::own_rows::{self, database_token, held_by, lease_is_lost};
use crate::worker::tell_ended;

#[async_trait]
impl LeaseStore for PostgresAppDb {
    async fn acquire(&self, holder: &str, term_ms: u64) -> Result<Lease, PortError> {
        let term = i64::try_from(term_ms).unwrap_or(i64::MAX);
        // One statement: whoever comes second waits for the row and then finds it held. FOR UPDATE also waits for
        // transactions that have proved the token before; renewing, which only touches the end, does not.
        let sql = format!(
            "WITH free AS (SELECT id FROM {lease} WHERE id = 1 AND expires_at <= clock_timestamp() FOR UPDATE)
             UPDATE {lease} SET token = token + 1, holder = $1, term_ms = $2,
                 expires_at = clock_timestamp() + $2 * interval '1 millisecond'
             WHERE id = (SELECT id FROM free) RETURNING token",
            lease = self.own.lease()
        );
        let token: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(holder)
            .bind(term)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| failed("take the lease", error))?;
        if let Some(token) = token {
            let token = FencingToken(token.unsigned_abs());
            tell_ended(self.end_worker_sessions(token).await);
            return Ok(Lease {
                token,
                holder: holder.to_owned(),
                term_ms,
            });
        }
        Err(held_by(self.held().await?.as_ref()))
    }

    async fn renew(&self, lease: &Lease) -> Result<(), PortError> {
        let sql = format!(
            "UPDATE {} SET expires_at = clock_timestamp() + term_ms * interval '1 millisecond'
             WHERE id = 1 AND token = $1 AND expires_at > clock_timestamp()",
            self.own.lease()
        );
        let renewed = sqlx::query(sqlx::AssertSqlSafe(sql))
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
        let sql = format!(
            "UPDATE {} SET expires_at = '-infinity' WHERE id = 1 AND token = $1",
            self.own.lease()
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
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

impl PostgresAppDb {
    async fn held(&self) -> Result<Option<HeldLease>, PortError> {
        let sql = format!(
            "SELECT token, holder, term_ms, (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint
             FROM {} WHERE id = 1 AND expires_at > clock_timestamp()",
            self.own.lease()
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| failed("read the lease", error))?;
        row.map(|row| {
            let read = |error| failed("read the lease", error);
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
