//! Removing everything of ours from a MySQL or MariaDB app DB.

use metaferry_domain::ports::LeaseStore as _;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlPool};

use super::app_db::MySqlAppDb;
use crate::error::failed_on_own_tables;
use crate::guard::{Effort, Fence, Standing};
use crate::uninstall::{UNINSTALL, claim, still_there};

/// Every table of ours, those that refer to others first.
const TABLES: [&str; 5] = [
    "metaferry_journal",
    "metaferry_migration",
    "metaferry_undo_script",
    "metaferry_lease",
    "metaferry_schema_version",
];

impl MySqlAppDb {
    /// Removes our triggers and tables, and answers their names; empty if there was none.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while somebody holds the lease, or a migration is not settled: then nothing was
    /// removed. The same if triggers are left because others keep their tables in use: then our tables stay.
    pub async fn uninstall(pool: MySqlPool) -> Result<Vec<String>, PortError> {
        let app_db = Self::open_to_look(pool);
        let lease = match claim(&app_db, &app_db, UNINSTALL).await {
            Ok(lease) => Some(lease),
            // A removal that was interrupted may have left some of them.
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let fence = lease
            .as_ref()
            .map_or(Fence::NoTables, |lease| Fence::Lease(lease.token));
        let removed = app_db.remove(fence).await;
        if let (Err(_), Some(lease)) = (&removed, &lease) {
            app_db.release(lease).await?;
        }
        removed
    }

    async fn remove(&self, fence: Fence) -> Result<Vec<String>, PortError> {
        let fails = |error| {
            failed_on_own_tables(
                "remove Metaferry's own tables",
                "the user needs DROP on them",
                error,
            )
        };
        let mut connection = self.connection().await?;
        let triggers = self.triggers(&mut connection).await?;
        let left = self
            .remove_guard(fence, Effort::Asked, &Cancellation::new())
            .await?;
        if !left.is_empty() {
            // By our tables they are found again.
            return Err(still_there(&left, "SHOW FULL PROCESSLIST"));
        }
        let mut removed: Vec<String> = triggers.iter().map(Standing::shown).collect();
        for table in TABLES {
            let there: Option<i64> = sqlx::query_scalar(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
            )
            .bind(table)
            .fetch_optional(&mut *connection)
            .await
            .map_err(fails)?;
            if there.is_some() {
                sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE IF EXISTS {table}")))
                    .execute(&mut *connection)
                    .await
                    .map_err(fails)?;
                removed.push(table.to_owned());
            }
        }
        Ok(removed)
    }
}
