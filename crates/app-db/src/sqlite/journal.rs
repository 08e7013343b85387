//! The journal: append-only, every write under the token.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::{JournalRecord, JournalStore, MigrationSummary};
use sqlx::Row;

use super::{NOW_MS, SqliteState};
use crate::error::failed;
use crate::own_rows::{database_token, migration_id, same_entry};
use crate::transaction::commit;

#[async_trait]
impl JournalStore for SqliteState {
    async fn append(
        &self,
        token: FencingToken,
        id: MigrationId,
        record: &JournalRecord,
    ) -> Result<(), PortError> {
        let write = |error| failed("write the journal", error);
        let sequence = i64::try_from(record.sequence).unwrap_or(i64::MAX);
        let mut transaction = self.fenced(token).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO migration (id, begun) VALUES (?, {NOW_MS}) ON CONFLICT (id) DO UPDATE SET settled = 0"
        )))
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(write)?;
        let inserted = sqlx::query(
            "INSERT INTO journal (migration_id, sequence, token, entry) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(sequence)
        .bind(database_token(token)?)
        .bind(&record.json)
        .execute(&mut *transaction)
        .await
        .map_err(write)?;
        if inserted.rows_affected() == 0 {
            // The answer to an earlier try may have been lost: the same content is the same entry.
            let there: String =
                sqlx::query_scalar("SELECT entry FROM journal WHERE migration_id = ? AND sequence = ?")
                    .bind(id.to_string())
                    .bind(sequence)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(write)?;
            same_entry(id, record, &there)?;
        }
        commit(transaction, "write the journal").await
    }

    async fn read(&self, id: MigrationId) -> Result<Vec<JournalRecord>, PortError> {
        let read = |error| failed("read the journal", error);
        let rows =
            sqlx::query("SELECT sequence, entry FROM journal WHERE migration_id = ? ORDER BY sequence")
                .bind(id.to_string())
                .fetch_all(&self.pool)
                .await
                .map_err(read)?;
        rows.iter()
            .map(|row| {
                Ok(JournalRecord {
                    sequence: row.try_get::<i64, _>(0).map_err(read)?.unsigned_abs(),
                    json: row.try_get(1).map_err(read)?,
                })
            })
            .collect()
    }

    async fn settle(&self, token: FencingToken, id: MigrationId) -> Result<(), PortError> {
        let mut transaction = self.fenced(token).await?;
        sqlx::query("UPDATE migration SET settled = 1 WHERE id = ?")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("settle the migration", error))?;
        commit(transaction, "settle the migration").await
    }

    async fn migrations(&self, limit: u32) -> Result<Vec<MigrationSummary>, PortError> {
        let read = |error| failed("list migrations", error);
        let rows = sqlx::query("SELECT id, settled FROM migration ORDER BY begun DESC, rowid DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(read)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get(0).map_err(read)?;
                Ok(MigrationSummary {
                    id: migration_id(&id)?,
                    settled: row.try_get(1).map_err(read)?,
                })
            })
            .collect()
    }
}
