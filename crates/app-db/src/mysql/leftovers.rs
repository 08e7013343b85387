//! Triggers that a settled migration had to leave behind because somebody kept their tables in use, or because it was
//! killed. They do nothing, and are taken away here.

use metaferry_domain::ports::LeaseStore as _;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sqlx::MySqlPool;

use super::app_db::MySqlAppDb;
use crate::guard::{Effort, Fence, Standing};
use crate::uninstall::{Leftovers, claim, holder};

impl MySqlAppDb {
    /// The triggers of ours that are in an app DB, each with its table. While a migration is not settled it needs them.
    ///
    /// # Errors
    /// If the app DB cannot be read.
    pub async fn leftovers(pool: &MySqlPool) -> Result<Vec<String>, PortError> {
        let app_db = Self::open_to_look(pool.clone());
        let mut connection = app_db.connection().await?;
        let there = app_db.triggers(&mut connection).await?;
        Ok(there.iter().map(Standing::shown).collect())
    }

    /// Takes away what settled migrations have left behind. Touches nothing while somebody holds the lease.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while a migration is not settled, or somebody holds the lease.
    pub async fn remove_leftovers(pool: MySqlPool, effort: Effort) -> Result<Leftovers, PortError> {
        let there = Self::leftovers(&pool).await?;
        if there.is_empty() {
            return Ok(Leftovers::default());
        }
        let app_db = Self::open_to_look(pool);
        let wanted = Cancellation::new();
        let left = match claim(&app_db, &app_db, holder(effort)).await {
            Ok(lease) => {
                let left = app_db
                    .remove_guard(Fence::Lease(lease.token), effort, &wanted)
                    .await;
                app_db.release(&lease).await?;
                left?
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                app_db.remove_guard(Fence::NoTables, effort, &wanted).await?
            }
            Err(error) => return Err(error),
        };
        let removed = there.into_iter().filter(|name| !left.contains(name)).collect();
        Ok(Leftovers { removed, left })
    }
}
