//! The journal: append-only, every write under the token.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::{JournalRecord, JournalStore, JournalTimes, MigrationSummary};
use sqlx::{AssertSqlSafe, Row};

use super::app_db::{MySqlAppDb, NOW_MICROS};
use super::connect::text;
use crate::error::failed;
use crate::own_rows::{database_token, journal_times, migration_id, same_entry};
use crate::transaction::commit;

#[async_trait]
impl JournalStore for MySqlAppDb {
    async fn append(
        &self,
        token: FencingToken,
        id: MigrationId,
        record: &JournalRecord,
    ) -> Result<(), PortError> {
        let write = |error| failed("write the journal", error);
        let sequence = i64::try_from(record.sequence).unwrap_or(i64::MAX);
        let mut transaction = self.fenced(token).await?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO metaferry_migration (id, begun_at_micros) VALUES (?, {NOW_MICROS})
             ON DUPLICATE KEY UPDATE settled = b'0'"
        )))
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(write)?;
        let there =
            sqlx::query("SELECT entry FROM metaferry_journal WHERE migration_id = ? AND sequence = ?")
                .bind(id.to_string())
                .bind(sequence)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(write)?;
        match there {
            Some(there) => {
                same_entry(id, record, &text(&there, 0).map_err(write)?.unwrap_or_default())?;
            }
            None => {
                sqlx::query(AssertSqlSafe(format!(
                    "INSERT INTO metaferry_journal (migration_id, sequence, token, entry, written_at_micros)
                     VALUES (?, ?, ?, ?, {NOW_MICROS})"
                )))
                .bind(id.to_string())
                .bind(sequence)
                .bind(database_token(token)?)
                .bind(&record.json)
                .execute(&mut *transaction)
                .await
                .map_err(write)?;
            }
        }
        commit(transaction, "write the journal").await
    }

    async fn read(&self, id: MigrationId) -> Result<Vec<JournalRecord>, PortError> {
        let read = |error| failed("read the journal", error);
        let rows = sqlx::query(
            "SELECT sequence, entry FROM metaferry_journal WHERE migration_id = ? ORDER BY sequence",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        rows.iter()
            .map(|row| {
                Ok(JournalRecord {
                    sequence: row.try_get::<i64, _>(0).map_err(read)?.unsigned_abs(),
                    json: text(row, 1).map_err(read)?.unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn times(&self, id: MigrationId) -> Result<Option<JournalTimes>, PortError> {
        let read = |error| failed("read the times of the journal", error);
        // Before they are upgraded, our tables have no such column.
        let dated: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = database()
                 AND table_name = 'metaferry_journal' AND column_name = 'written_at_micros'",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(read)?;
        if dated == 0 {
            return Ok(None);
        }
        let written: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT sequence, written_at_micros DIV 1000 FROM metaferry_journal
             WHERE migration_id = ? AND written_at_micros IS NOT NULL",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        let now_ms: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {NOW_MICROS} DIV 1000")))
            .fetch_one(&self.pool)
            .await
            .map_err(read)?;
        Ok(Some(journal_times(now_ms, written)))
    }

    async fn settle(&self, token: FencingToken, id: MigrationId) -> Result<(), PortError> {
        let mut transaction = self.fenced(token).await?;
        sqlx::query("UPDATE metaferry_migration SET settled = b'1' WHERE id = ?")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("settle the migration", error))?;
        commit(transaction, "settle the migration").await
    }

    async fn migrations(&self, limit: u32) -> Result<Vec<MigrationSummary>, PortError> {
        let read = |error| failed("list migrations", error);
        let rows = sqlx::query(
            "SELECT id, CAST(settled AS SIGNED) FROM metaferry_migration ORDER BY begun_at_micros DESC, id LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        rows.iter()
            .map(|row| {
                let settled: i64 = row.try_get(1).map_err(read)?;
                Ok(MigrationSummary {
                    id: migration_id(&text(row, 0).map_err(read)?.unwrap_or_default())?,
                    settled: settled != 0,
                })
            })
            .collect()
    }
}
