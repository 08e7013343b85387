//! Rows as the transaction that wrote them sees them, before anybody else does: one table at a time, in its session.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use metaferry_domain::ports::{RowReader, Snapshot, TableRead};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::schema::{Catalogue, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection};

use super::pool::{Lent, Pool};
use crate::error::failed;
use crate::postgres::read::{self, CopyOut, LentSession};
use crate::postgres::schema::{ReadCatalogue, TableReading};
use crate::postgres::snapshot::from_clause;

/// Reads in the transaction; closing it leaves the transaction as it is.
pub(super) struct WrittenRows {
    there: Arc<ReadCatalogue>,
    pool: Arc<Pool>,
    taken_at: Instant,
}

impl WrittenRows {
    pub(super) fn new(there: Arc<ReadCatalogue>, pool: Arc<Pool>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let taken_at = Instant {
            micros: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            nanos: 0,
        };
        Self {
            there,
            pool,
            taken_at,
        }
    }

    fn table(&self, key: &str) -> Result<(&Table, &TableReading), PortError> {
        self.there
            .catalogue
            .table(key)
            .and_then(|table| Some((table, self.there.readings.get(&table.name.key())?)))
            .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("the target has no table {key:?}")))
    }
}

impl LentSession for Lent {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    fn put_back(self) {
        Self::put_back(self);
    }
}

#[async_trait]
impl Snapshot for WrittenRows {
    fn catalogue(&self) -> &Catalogue {
        &self.there.catalogue
    }

    fn taken_at(&self) -> Instant {
        self.taken_at
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        let (table, reading) = self.table(table)?;
        let sql = format!("SELECT count(*) FROM {}", from_clause(table, reading.kind));
        let mut lent = self.pool.get().await?;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut lent.connection)
            .await
            .map_err(|error| failed(format!("count the rows of table {}", table.name), error))?;
        lent.put_back();
        Ok(count.unsigned_abs())
    }

    async fn read(&self, wanted: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let (table, reading) = self.table(&wanted.table)?;
        let copy = CopyOut::new(table, reading, wanted)?;
        Ok(Box::new(read::start_in(copy, self.pool.get().await?)))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}
