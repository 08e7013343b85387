//! Triggers that a settled migration had to leave behind because somebody kept their tables locked, or because it was Metabase
//! itself that put everything back. They do nothing, and are taken away here.

use metaferry_domain::PortError;
use metaferry_domain::ports::LeaseStore as _;
use sqlx::{AssertSqlSafe, PgPool};

use super::app_db::PostgresAppDb;
use super::guard_triggers::is_ours;
use super::switch::{CHECK_INS, TRIGGER};
use crate::error::failed;
use crate::guard::{Effort, Fence};
use crate::uninstall::{Leftovers, claim, holder};

impl PostgresAppDb {
    /// The triggers of ours that are in an app DB, each with its table. While a migration is not settled it needs them.
    ///
    /// # Errors
    /// If the app DB cannot be read.
    pub async fn leftovers(pool: &PgPool) -> Result<Vec<String>, PortError> {
        let sql = format!(
            "SELECT tgname::text || ' on ' || tgrelid::regclass::text FROM pg_catalog.pg_trigger
             WHERE {} ORDER BY 1",
            is_ours(Some(TRIGGER))
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .map_err(|error| failed("look for triggers of Metaferry's", error))
    }

    /// Takes away what settled migrations have left behind. Touches nothing while somebody holds the lease.
    ///
    /// # Errors
    /// [`Conflict`](metaferry_domain::ErrorKind::Conflict) while a migration is not settled, or somebody holds the lease.
    pub async fn remove_leftovers(pool: PgPool, effort: Effort) -> Result<Leftovers, PortError> {
        let there = Self::leftovers(&pool).await?;
        if there.is_empty() {
            return Ok(Leftovers::default());
        }
        let left = if let Some(app_db) = Self::look(pool.clone()).await? {
            let lease = claim(&app_db, &app_db, holder(effort)).await?;
            let left = app_db.remove_triggers(Fence::Lease(lease.token), effort).await;
            app_db.release(&lease).await?;
            left?
        } else {
            let app_db = Self::open_to_look(pool).await?;
            app_db.remove_triggers(Fence::NoTables, effort).await?
        };
        let removed = there.into_iter().filter(|name| !left.contains(name)).collect();
        Ok(Leftovers { removed, left })
    }

    /// Takes every trigger and its function away, and answers what is left because somebody keeps its table locked.
    pub(super) async fn remove_triggers(
        &self,
        fence: Fence,
        effort: Effort,
    ) -> Result<Vec<String>, PortError> {
        let switch = self.remove_switch(fence, effort).await;
        let mut left = self.remove_guard(fence, effort).await?;
        if let Err(error) = switch {
            error.leaves_behind()?;
            left.push(format!("{TRIGGER} on {CHECK_INS}"));
        }
        Ok(left)
    }
}
