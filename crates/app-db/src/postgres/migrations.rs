//! The rows of `cloud_migration`, exactly in Metabase's shape and under its guard.

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::{GuardedUpdate, MigrationRow, MigrationRows, NewMigrationRow};
use metaferry_domain::{Cancellation, PortError};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::app_db::PostgresAppDb;
use super::triggers::{end_statement, session_of};
use crate::error::failed;
use crate::own_rows::{RawMigrationRow, i32_id, not_cancelled, not_written};
use crate::patience::while_wanted;
use crate::transaction::{commit, ended};

/// What every query of a row selects, in this order.
const COLUMNS: &str = "id, external_id, upload_url, state, progress, \
     (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint";

#[async_trait]
impl MigrationRows for PostgresAppDb {
    async fn insert(
        &self,
        token: FencingToken,
        row: &NewMigrationRow,
        cancel: &Cancellation,
    ) -> Result<MigrationRow, PortError> {
        let mut transaction = self.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let inserting = insert(&mut transaction, row);
        let inserted = while_wanted(cancel, inserting, || end_statement(&self.pool, session)).await;
        ended(transaction, inserted, "insert into cloud_migration").await
    }

    async fn reopen(
        &self,
        token: FencingToken,
        id: RowId,
        row: &NewMigrationRow,
        cancel: &Cancellation,
    ) -> Result<GuardedUpdate, PortError> {
        let mut transaction = self.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let reopening = reopen(&mut transaction, id, row);
        let reopened = while_wanted(cancel, reopening, || end_statement(&self.pool, session)).await;
        ended(transaction, reopened, "reopen the row in cloud_migration").await
    }

    async fn update_guarded(
        &self,
        token: FencingToken,
        id: RowId,
        phase: Phase,
        progress: u8,
    ) -> Result<GuardedUpdate, PortError> {
        let mut transaction = self.to_be_fenced().await?;
        sqlx::query("SELECT 1 FROM cloud_migration WHERE id = $1 FOR UPDATE")
            .bind(i32_id(id)?)
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("update cloud_migration", error))?;
        self.prove(&mut transaction, token).await?;
        let updated = sqlx::query(
            "UPDATE cloud_migration SET state = $2, progress = $3, updated_at = clock_timestamp()
             WHERE id = $1 AND state NOT IN ('done', 'error', 'cancelled')",
        )
        .bind(i32_id(id)?)
        .bind(phase.as_str())
        .bind(i32::from(progress))
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("update cloud_migration", error))?;
        let outcome = outcome(&mut transaction, id, updated.rows_affected()).await?;
        commit(transaction, "update cloud_migration").await?;
        Ok(outcome)
    }

    async fn get(&self, id: RowId) -> Result<Option<MigrationRow>, PortError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration WHERE id = $1"
        )))
        .bind(i32_id(id)?)
        .fetch_optional(&mut *self.glance().await?)
        .await
        .map_err(|error| failed("read cloud_migration", error))?;
        row.as_ref().map(migration_row).transpose()
    }

    async fn newest(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration ORDER BY created_at DESC, id DESC LIMIT $1"
        )))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.glance().await?)
        .await
        .map_err(|error| failed("read cloud_migration", error))?;
        rows.iter().map(migration_row).collect()
    }

    async fn cancel_all(&self) -> Result<u64, PortError> {
        let mut transaction = self.glance().await?;
        let done = sqlx::query(
            "UPDATE cloud_migration SET state = 'cancelled', updated_at = clock_timestamp()
             WHERE state NOT IN ('done', 'error', 'cancelled')",
        )
        .execute(&mut *transaction)
        .await
        .map_err(not_cancelled)?;
        commit(transaction, "cancel in cloud_migration").await?;
        Ok(done.rows_affected())
    }
}

/// The row that is there, or a new one.
async fn insert(connection: &mut PgConnection, row: &NewMigrationRow) -> Result<MigrationRow, PortError> {
    let write = |error| failed("insert into cloud_migration", error);
    let there = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM cloud_migration WHERE external_id = $1"
    )))
    .bind(&row.external_id)
    .fetch_optional(&mut *connection)
    .await
    .map_err(write)?;
    let inserted = match there {
        Some(there) => there,
        None => sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO cloud_migration (external_id, upload_url, created_at, updated_at)
             VALUES ($1, $2, clock_timestamp(), clock_timestamp()) RETURNING {COLUMNS}"
        )))
        .bind(&row.external_id)
        .bind(&row.upload_url)
        .fetch_one(&mut *connection)
        .await
        .map_err(write)?,
    };
    migration_row(&inserted)
}

async fn reopen(
    connection: &mut PgConnection,
    id: RowId,
    row: &NewMigrationRow,
) -> Result<GuardedUpdate, PortError> {
    let updated = sqlx::query(
        "UPDATE cloud_migration
         SET state = 'init', progress = 0, external_id = $2, upload_url = $3, updated_at = clock_timestamp()
         WHERE id = $1 AND (state IN ('error', 'cancelled') OR (state = 'init' AND external_id = $2))
           AND NOT EXISTS (SELECT 1 FROM cloud_migration newer, cloud_migration this
                           WHERE this.id = $1 AND (newer.created_at, newer.id) > (this.created_at, this.id))",
    )
    .bind(i32_id(id)?)
    .bind(&row.external_id)
    .bind(&row.upload_url)
    .execute(&mut *connection)
    .await
    .map_err(|error| failed("reopen the row in cloud_migration", error))?;
    outcome(connection, id, updated.rows_affected()).await
}

async fn outcome(connection: &mut PgConnection, id: RowId, updated: u64) -> Result<GuardedUpdate, PortError> {
    if updated > 0 {
        return Ok(GuardedUpdate::Written);
    }
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM cloud_migration WHERE id = $1")
        .bind(i32_id(id)?)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed("read cloud_migration", error))?;
    not_written(state.as_deref())
}

fn migration_row(row: &PgRow) -> Result<MigrationRow, PortError> {
    let read = |error| failed("read cloud_migration", error);
    RawMigrationRow {
        id: i64::from(row.try_get::<i32, _>(0).map_err(read)?),
        external_id: row.try_get(1).map_err(read)?,
        upload_url: row.try_get(2).map_err(read)?,
        state: row.try_get(3).map_err(read)?,
        progress: i64::from(row.try_get::<i32, _>(4).map_err(read)?),
        created_at_micros: row.try_get(5).map_err(read)?,
        updated_at_micros: row.try_get(6).map_err(read)?,
    }
    .read()
}
