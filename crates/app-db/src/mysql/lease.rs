//! The lease: one row, one clock, the server's.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::{HeldLease, Lease};
use metaferry_domain::ports::LeaseStore;
use sqlx::{AssertSqlSafe, Row};

use super::app_db::{MySqlAppDb, NOW_MICROS};
use super::connect::text;
use crate::error::failed;
use crate::own_rows::{self, database_token, held_by, lease_is_lost};
use crate::transaction::commit;
use crate::worker::tell_ended;

#[async_trait]
impl LeaseStore for MySqlAppDb {
    async fn acquire(&self, holder: &str, term_ms: u64) -> Result<Lease, PortError> {
        let take = |error| failed("take the lease", error);
        if let Some(held) = self.held().await? {
            return Err(held_by(Some(&held)));
        }
        let term = i64::try_from(term_ms).unwrap_or(i64::MAX / 1_000_000);
        let mut transaction = self.pool.begin().await.map_err(take)?;
        // Waits for transactions that have proved the token before, and for others who take it.
        sqlx::query("SELECT id FROM metaferry_lease WHERE id = 2 FOR UPDATE")
            .fetch_optional(&mut *transaction)
            .await
            .map_err(take)?;
        let taken = sqlx::query(AssertSqlSafe(format!(
            "UPDATE metaferry_lease SET token = token + 1, holder = ?, term_ms = ?,
                 expires_at_micros = {NOW_MICROS} + ? * 1000
             WHERE id = 1 AND expires_at_micros <= {NOW_MICROS}"
        )))
        .bind(holder)
        .bind(term)
        .bind(term)
        .execute(&mut *transaction)
        .await
        .map_err(take)?;
        if taken.rows_affected() == 0 {
            drop(transaction);
            return Err(held_by(self.held().await?.as_ref()));
        }
        let token: i64 = sqlx::query_scalar("SELECT token FROM metaferry_lease WHERE id = 1")
            .fetch_one(&mut *transaction)
            .await
            .map_err(take)?;
        commit(transaction, "take the lease").await?;
        let lease = Lease {
            term_ms,
            ..own_rows::lease(token, holder.to_owned(), term)
        };
        tell_ended(self.end_worker_sessions(lease.token).await);
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease) -> Result<(), PortError> {
        let renewed = sqlx::query(AssertSqlSafe(format!(
            "UPDATE metaferry_lease SET expires_at_micros = {NOW_MICROS} + term_ms * 1000
             WHERE id = 1 AND token = ? AND expires_at_micros > {NOW_MICROS}"
        )))
        .bind(database_token(lease.token)?)
        .execute(&self.pool)
        .await
        .map_err(|error| failed("renew the lease", error))?;
        match renewed.rows_affected() {
            1 => Ok(()),
            _ => Err(lease_is_lost(lease.token)),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        sqlx::query("UPDATE metaferry_lease SET expires_at_micros = 0 WHERE id = 1 AND token = ?")
            .bind(database_token(lease.token)?)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| failed("release the lease", error))
    }

    async fn current(&self) -> Result<Option<HeldLease>, PortError> {
        self.held().await
    }
}

impl MySqlAppDb {
    async fn held(&self) -> Result<Option<HeldLease>, PortError> {
        let read = |error| failed("read the lease", error);
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT token, holder, term_ms, CAST((expires_at_micros - {NOW_MICROS}) / 1000 AS SIGNED)
             FROM metaferry_lease WHERE id = 1 AND expires_at_micros > {NOW_MICROS}"
        )))
        .fetch_optional(&self.pool)
        .await
        .map_err(read)?;
        row.map(|row| {
            Ok(own_rows::held(
                own_rows::lease(
                    row.try_get(0).map_err(read)?,
                    text(&row, 1).map_err(read)?.unwrap_or_default(),
                    row.try_get(2).map_err(read)?,
                ),
                row.try_get(3).map_err(read)?,
            ))
        })
        .transpose()
    }
}
