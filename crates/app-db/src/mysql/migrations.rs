//! The rows of `cloud_migration`, exactly in Metabase's shape and under its guard.

use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::{GuardedUpdate, MigrationRow, MigrationRows, NewMigrationRow};
use metaferry_domain::{Cancellation, PortError};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use super::app_db::{MySqlAppDb, is_locked};
use super::connect::text;
use super::ddl_session::{end_statement, session_of};
use crate::error::failed;
use crate::own_rows::{RawMigrationRow, i32_id, not_cancelled, not_written};
use crate::patience::while_wanted;
use crate::transaction::{commit, ended};

/// How often a cancel looks whether the row is let go, and the pause after each look: a second in all. Whoever asks for it again
/// and again must not fill the pool.
const CANCEL_LOOKS: u32 = 10;
const CANCEL_EVERY: Duration = Duration::from_millis(100);

/// What every query of a row selects, in this order.
const COLUMNS: &str = "id, external_id, upload_url, state, CAST(progress AS SIGNED), \
     CAST(UNIX_TIMESTAMP(created_at) * 1000000 AS SIGNED), CAST(UNIX_TIMESTAMP(updated_at) * 1000000 AS SIGNED)";

#[async_trait]
impl MigrationRows for MySqlAppDb {
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
        let mut transaction = self.begin().await?;
        sqlx::query("SELECT id FROM cloud_migration WHERE id = ? FOR UPDATE")
            .bind(i32_id(id)?)
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("update cloud_migration", error))?;
        self.fence(&mut transaction, token).await?;
        let updated = sqlx::query(
            "UPDATE cloud_migration SET state = ?, progress = ?, updated_at = SYSDATE(6)
             WHERE id = ? AND state NOT IN ('done', 'error', 'cancelled')",
        )
        .bind(phase.as_str())
        .bind(i32::from(progress))
        .bind(i32_id(id)?)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("update cloud_migration", error))?;
        let outcome = outcome(&mut transaction, id, updated.rows_affected()).await?;
        commit(transaction, "update cloud_migration").await?;
        Ok(outcome)
    }

    async fn get(&self, id: RowId) -> Result<Option<MigrationRow>, PortError> {
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration WHERE id = ?"
        )))
        .bind(i32_id(id)?)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed("read cloud_migration", error))?;
        row.as_ref().map(migration_row).transpose()
    }

    async fn newest(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM cloud_migration ORDER BY created_at DESC, id DESC LIMIT ?"
        )))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed("read cloud_migration", error))?;
        rows.iter().map(migration_row).collect()
    }

    async fn cancel_all(&self) -> Result<u64, PortError> {
        let mut looks = 0;
        loop {
            let mut transaction = self.begin().await?;
            let locked = sqlx::query(
                "SELECT id FROM cloud_migration WHERE state NOT IN ('done', 'error', 'cancelled') FOR UPDATE NOWAIT",
            )
            .execute(&mut *transaction)
            .await;
            looks += 1;
            match locked {
                Err(error) if is_locked(&error) && looks < CANCEL_LOOKS => {
                    drop(transaction);
                    tokio::time::sleep(CANCEL_EVERY).await;
                    continue;
                }
                Err(error) => return Err(not_cancelled(error)),
                Ok(_) => {}
            }
            let done = sqlx::query(
                "UPDATE cloud_migration SET state = 'cancelled', updated_at = SYSDATE(6)
                 WHERE state NOT IN ('done', 'error', 'cancelled')",
            )
            .execute(&mut *transaction)
            .await
            .map_err(not_cancelled)?;
            commit(transaction, "cancel in cloud_migration").await?;
            return Ok(done.rows_affected());
        }
    }
}

/// The row that is there, or a new one.
async fn insert(connection: &mut MySqlConnection, row: &NewMigrationRow) -> Result<MigrationRow, PortError> {
    let write = |error| failed("insert into cloud_migration", error);
    let there = sqlx::query(AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM cloud_migration WHERE BINARY external_id = ?"
    )))
    .bind(&row.external_id)
    .fetch_optional(&mut *connection)
    .await
    .map_err(write)?;
    let inserted = match there {
        Some(there) => there,
        None => {
            let done = sqlx::query(
                "INSERT INTO cloud_migration (external_id, upload_url, state, progress, created_at, updated_at)
                 VALUES (?, ?, 'init', 0, SYSDATE(6), SYSDATE(6))",
            )
            .bind(&row.external_id)
            .bind(&row.upload_url)
            .execute(&mut *connection)
            .await
            .map_err(write)?;
            sqlx::query(AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM cloud_migration WHERE id = ?"
            )))
            .bind(done.last_insert_id())
            .fetch_one(&mut *connection)
            .await
            .map_err(write)?
        }
    };
    migration_row(&inserted)
}

async fn reopen(
    connection: &mut MySqlConnection,
    id: RowId,
    row: &NewMigrationRow,
) -> Result<GuardedUpdate, PortError> {
    let write = |error| failed("reopen the row in cloud_migration", error);
    // MySQL reads no table that it updates; the lock keeps the answer true.
    let newest: Option<i32> = sqlx::query_scalar(
        "SELECT id FROM cloud_migration ORDER BY created_at DESC, id DESC LIMIT 1 FOR UPDATE",
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(write)?;
    let updated = if newest == Some(i32_id(id)?) {
        sqlx::query(
            "UPDATE cloud_migration
             SET state = 'init', progress = 0, upload_url = ?, external_id = ?, updated_at = SYSDATE(6)
             WHERE id = ? AND (state IN ('error', 'cancelled') OR (state = 'init' AND BINARY external_id = ?))",
        )
        .bind(&row.upload_url)
        .bind(&row.external_id)
        .bind(i32_id(id)?)
        .bind(&row.external_id)
        .execute(&mut *connection)
        .await
        .map_err(write)?
        .rows_affected()
    } else {
        0
    };
    outcome(connection, id, updated).await
}

async fn outcome(
    connection: &mut MySqlConnection,
    id: RowId,
    updated: u64,
) -> Result<GuardedUpdate, PortError> {
    if updated > 0 {
        return Ok(GuardedUpdate::Written);
    }
    let read = |error| failed("read cloud_migration", error);
    let row = sqlx::query("SELECT state FROM cloud_migration WHERE id = ?")
        .bind(i32_id(id)?)
        .fetch_optional(connection)
        .await
        .map_err(read)?;
    let state = row.map(|row| text(&row, 0)).transpose().map_err(read)?.flatten();
    not_written(state.as_deref())
}

fn migration_row(row: &MySqlRow) -> Result<MigrationRow, PortError> {
    let read = |error| failed("read cloud_migration", error);
    let word = |position| text(row, position).map(Option::unwrap_or_default).map_err(read);
    RawMigrationRow {
        id: i64::from(row.try_get::<i32, _>(0).map_err(read)?),
        external_id: word(1)?,
        upload_url: word(2)?,
        state: word(3)?,
        progress: row.try_get(4).map_err(read)?,
        created_at_micros: row.try_get(5).map_err(read)?,
        updated_at_micros: row.try_get(6).map_err(read)?,
    }
    .read()
}
