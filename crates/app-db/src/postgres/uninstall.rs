//! Removing everything of ours from a Postgres app DB.

use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::LeaseStore as _;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::app_db::PostgresAppDb;
use super::connect::quoted;
use crate::error::failed;
use crate::guard::{Effort, Fence};
use crate::transaction::commit;
use crate::uninstall::{UNINSTALL, claim, still_there};

/// Where sessions are listed.
const SESSIONS: &str = "pg_stat_activity";

impl PostgresAppDb {
    /// Removes our triggers, functions, tables and schema, and answers their names; empty if there was nothing.
    ///
    /// # Errors
    /// [`Conflict`](metaferry_domain::ErrorKind::Conflict) while somebody holds the lease, or a migration is not settled:
    /// then nothing was removed. The same if a trigger of ours could not be: then our tables stay as well.
    pub async fn uninstall(pool: PgPool) -> Result<Vec<String>, PortError> {
        let mut removed = Vec::new();
        // In a schema of ours, beside Metabase's tables, or both.
        for _ in 0..2 {
            let Some(app_db) = Self::look(pool.clone()).await? else {
                break;
            };
            let lease = claim(&app_db, &app_db, UNINSTALL).await?;
            let names = async {
                let left = app_db
                    .remove_triggers(Fence::Lease(lease.token), Effort::Asked)
                    .await?;
                // As long as one is there, our tables stay: by them it is found again.
                if left.is_empty() {
                    app_db.remove(lease.token).await
                } else {
                    Err(still_there(&left, SESSIONS))
                }
            };
            match names.await {
                Ok(names) => removed.extend(names),
                Err(error) => {
                    app_db.release(&lease).await?;
                    return Err(error);
                }
            }
        }
        // Triggers whose tables of ours are gone.
        let swept = Self::remove_leftovers(pool, Effort::Asked).await?;
        if !swept.left.is_empty() {
            return Err(still_there(&swept.left, SESSIONS));
        }
        removed.extend(swept.removed);
        Ok(removed)
    }

    async fn remove(&self, token: FencingToken) -> Result<Vec<String>, PortError> {
        let mut removed = Vec::new();
        let mut transaction = self.fenced(token).await?;
        for name in self.own.present(&mut transaction).await? {
            run(&mut transaction, format!("DROP TABLE {name}")).await?;
            removed.push(name);
        }
        if let Some(schema) = self.own.schema()
            && may_drop(&mut transaction, schema).await?
        {
            run(&mut transaction, format!("DROP SCHEMA {}", quoted(schema))).await?;
            removed.push(schema.to_owned());
        }
        commit(transaction, "remove Metaferry's own tables").await?;
        Ok(removed)
    }
}

/// Is it the user's own, and has nobody else put anything into it?
async fn may_drop(connection: &mut PgConnection, schema: &str) -> Result<bool, PortError> {
    sqlx::query_scalar(
        "SELECT pg_has_role(n.nspowner, 'USAGE')
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid)
         FROM pg_catalog.pg_namespace n WHERE n.nspname = $1",
    )
    .bind(schema)
    .fetch_one(connection)
    .await
    .map_err(|error| failed("look what is in the schema metaferry", error))
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), PortError> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| failed("remove Metaferry's own tables", error))
}
