//! Rows in the shape of `cloud_migration`, for an app DB whose own table cannot be written.

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::{GuardedUpdate, MigrationRow, MigrationRows, NewMigrationRow};
use metaferry_domain::{Cancellation, PortError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{NOW_MS, SqliteState};
use crate::error::failed;
use crate::own_rows::{RawMigrationRow, not_written};
use crate::transaction::commit;

/// What every query of a row selects, in this order.
const COLUMNS: &str = "id, external_id, upload_url, state, progress, created_at_ms, updated_at_ms";

#[async_trait]
impl MigrationRows for SqliteState {
    async fn insert(
        &self,
        token: FencingToken,
        row: &NewMigrationRow,
        _: &Cancellation,
    ) -> Result<MigrationRow, PortError> {
        let write = |error| failed("insert a row for the migration", error);
        let mut transaction = self.fenced(token).await?;
        let there = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration WHERE external_id = ?"
        )))
        .bind(&row.external_id)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(write)?;
        let inserted = match there {
            Some(there) => there,
            None => sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO cloud_migration (external_id, upload_url, created_at_ms, updated_at_ms)
                 VALUES (?, ?, {NOW_MS}, {NOW_MS}) RETURNING {COLUMNS}"
            )))
            .bind(&row.external_id)
            .bind(&row.upload_url)
            .fetch_one(&mut *transaction)
            .await
            .map_err(write)?,
        };
        let inserted = migration_row(&inserted)?;
        commit(transaction, "insert a row for the migration").await?;
        Ok(inserted)
    }

    async fn reopen(
        &self,
        token: FencingToken,
        id: RowId,
        row: &NewMigrationRow,
        _: &Cancellation,
    ) -> Result<GuardedUpdate, PortError> {
        let mut transaction = self.fenced(token).await?;
        let updated = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE cloud_migration
             SET state = 'init', progress = 0, external_id = ?2, upload_url = ?3, updated_at_ms = {NOW_MS}
             WHERE id = ?1 AND id = (SELECT max(id) FROM cloud_migration)
               AND (state IN ('error', 'cancelled') OR (state = 'init' AND external_id = ?2))"
        )))
        .bind(id.0)
        .bind(&row.external_id)
        .bind(&row.upload_url)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("reopen the migration's row", error))?;
        let outcome = outcome(&mut transaction, id, updated.rows_affected()).await?;
        commit(transaction, "reopen the migration's row").await?;
        Ok(outcome)
    }

    async fn update_guarded(
        &self,
        token: FencingToken,
        id: RowId,
        phase: Phase,
        progress: u8,
    ) -> Result<GuardedUpdate, PortError> {
        let mut transaction = self.fenced(token).await?;
        let updated = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE cloud_migration SET state = ?2, progress = ?3, updated_at_ms = {NOW_MS}
             WHERE id = ?1 AND state NOT IN ('done', 'error', 'cancelled')"
        )))
        .bind(id.0)
        .bind(phase.as_str())
        .bind(i64::from(progress))
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("update the migration's row", error))?;
        let outcome = outcome(&mut transaction, id, updated.rows_affected()).await?;
        commit(transaction, "update the migration's row").await?;
        Ok(outcome)
    }

    async fn get(&self, id: RowId) -> Result<Option<MigrationRow>, PortError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration WHERE id = ?"
        )))
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed("read the migration's row", error))?;
        row.as_ref().map(migration_row).transpose()
    }

    async fn newest(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration ORDER BY id DESC LIMIT ?"
        )))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed("read the migrations' rows", error))?;
        rows.iter().map(migration_row).collect()
    }

    async fn cancel_all(&self) -> Result<u64, PortError> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE cloud_migration SET state = 'cancelled', updated_at_ms = {NOW_MS}
             WHERE state NOT IN ('done', 'error', 'cancelled')"
        )))
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
        .map_err(|error| failed("cancel the migrations' rows", error))
    }
}

async fn outcome(
    connection: &mut SqliteConnection,
    id: RowId,
    updated: u64,
) -> Result<GuardedUpdate, PortError> {
    if updated > 0 {
        return Ok(GuardedUpdate::Written);
    }
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM cloud_migration WHERE id = ?")
        .bind(id.0)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed("read the migration's row", error))?;
    not_written(state.as_deref())
}

fn migration_row(row: &SqliteRow) -> Result<MigrationRow, PortError> {
    let read = |error| failed("read the migration's row", error);
    let micros = |position| -> Result<i64, PortError> {
        let ms: i64 = row.try_get(position).map_err(read)?;
        Ok(ms.saturating_mul(1000))
    };
    RawMigrationRow {
        id: row.try_get(0).map_err(read)?,
        external_id: row.try_get(1).map_err(read)?,
        upload_url: row.try_get(2).map_err(read)?,
        state: row.try_get(3).map_err(read)?,
        progress: row.try_get(4).map_err(read)?,
        created_at_micros: micros(5)?,
        updated_at_micros: micros(6)?,
    }
    .read()
}
