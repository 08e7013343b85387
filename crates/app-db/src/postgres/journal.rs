//! The journal: append-only, every write under the token.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::{JournalRecord, JournalStore, JournalTimes, MigrationSummary};
use sqlx::Row;

use super::app_db::PostgresAppDb;
use crate::error::failed;
use crate::own_rows::{database_token, journal_times, migration_id, same_entry};
use crate::transaction::commit;

#[async_trait]
impl JournalStore for PostgresAppDb {
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
            "INSERT INTO {} (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET settled = false WHERE {}.settled",
            self.own.migration(),
            self.own.migration(),
        )))
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(write)?;
        let inserted = sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO {} (migration_id, sequence, token, entry) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            self.own.journal()
        )))
        .bind(id.to_string())
        .bind(sequence)
        .bind(database_token(token)?)
        .bind(&record.json)
        .execute(&mut *transaction)
        .await
        .map_err(write)?;
        if inserted.rows_affected() == 0 {
            // The answer to an earlier try may have been lost: the same content is the same entry.
            let there: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT entry FROM {} WHERE migration_id = $1 AND sequence = $2",
                self.own.journal()
            )))
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
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT sequence, entry FROM {} WHERE migration_id = $1 ORDER BY sequence",
            self.own.journal()
        )))
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

    async fn times(&self, id: MigrationId) -> Result<Option<JournalTimes>, PortError> {
        let read = |error| failed("read the times of the journal", error);
        let written: Vec<(i64, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT sequence, (extract(epoch FROM written_at) * 1000)::bigint FROM {} WHERE migration_id = $1",
            self.own.journal()
        )))
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        let now_ms: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            .fetch_one(&self.pool)
            .await
            .map_err(read)?;
        Ok(Some(journal_times(now_ms, written)))
    }

    async fn settle(&self, token: FencingToken, id: MigrationId) -> Result<(), PortError> {
        let mut transaction = self.fenced(token).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE {} SET settled = true WHERE id = $1",
            self.own.migration()
        )))
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("settle the migration", error))?;
        commit(transaction, "settle the migration").await
    }

    async fn migrations(&self, limit: u32) -> Result<Vec<MigrationSummary>, PortError> {
        let read = |error| failed("list migrations", error);
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT id, settled FROM {} ORDER BY begun_at DESC, id LIMIT $1",
            self.own.migration()
        )))
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
