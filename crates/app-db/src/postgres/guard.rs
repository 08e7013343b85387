//! Read-only of strength `enforced`: triggers on the tables that must not change. Whether they refuse is one row, the
//! lease's: armed and disarmed by one update, and no longer armed once the lease is lost, its time is over, or the row is
//! gone. What cannot be taken away afterwards does nothing.

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::app_db::PostgresAppDb;
use super::guard_triggers::{Found, GuardedTable, ON_ROWS, definitions, guarded_tables, is_ours};
use super::own_tables::OwnTables;
use super::triggers;
use super::undo_script::literal;
use crate::error::failed;
use crate::guard::{Effort, Fence, MAKE_MAX, Removal, Standing};
use crate::patience::{PAUSE, Patience};
use crate::transaction::commit;

/// Whether tables are guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarded {
    Yes,
    No,
}

impl PostgresAppDb {
    /// Makes the function and the triggers, which do nothing yet. Idempotent.
    pub(super) async fn make_guard(
        &self,
        token: FencingToken,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        if let Some(why) = guard_obstacle(&self.pool, &self.own).await? {
            return Err(PortError::new(
                ErrorKind::Denied,
                format!("read-only of strength `enforced` cannot be: {why}"),
            ));
        }
        let what = "make the function that guards tables";
        let schema = triggers::schema(&self.pool).await?;
        let mut transaction = self.fenced(token).await?;
        let end: String = sqlx::query_scalar(
            "SELECT to_char((clock_timestamp() + $1 * interval '1 millisecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'",
        )
        .bind(self.guard_ms())
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| failed(what, error))?;
        triggers::run(&mut transaction, function(&self.own, &schema, &end), what).await?;
        commit(transaction, what).await?;
        let patience = Patience::new(MAKE_MAX, cancel);
        for table in guarded_tables(&self.pool).await? {
            self.make_triggers(token, &table, &patience).await?;
        }
        Ok(())
    }

    /// One table after the other: locks are held for milliseconds. What is there under their names and is another trigger
    /// is made anew: an earlier migration left it, and the table has got columns since.
    async fn make_triggers(
        &self,
        token: FencingToken,
        table: &GuardedTable,
        patience: &Patience<'_>,
    ) -> Result<(), PortError> {
        let name = &table.name;
        let what = format!("guard the table {name}");
        loop {
            let mut transaction = self.fenced(token).await?;
            let session = triggers::limit(&mut transaction).await?;
            let making = async {
                let (mut gone, mut made) = (Vec::new(), Vec::new());
                for definition in definitions(table, &self.own) {
                    let found = definition.found(&mut transaction, name).await;
                    match found.map_err(Tried::Failed)? {
                        Found::AsDefined => continue,
                        Found::Another => gone.push(triggers::dropping(name, &definition.name)),
                        Found::Nothing => {}
                    }
                    made.push(definition.sql);
                }
                // The stronger locks first.
                for sql in gone.into_iter().chain(made) {
                    triggers::try_run(&mut transaction, sql)
                        .await
                        .map_err(Tried::Refused)?;
                }
                Ok(())
            };
            let made = patience
                .see(making, || triggers::end_statement(&self.pool, session))
                .await;
            patience.check()?;
            match made {
                Ok(()) => return commit(transaction, &what).await,
                Err(Tried::Failed(error)) => return Err(error),
                Err(Tried::Refused(error)) => {
                    drop(transaction);
                    patience.again(error, &what, PAUSE).await?;
                }
            }
        }
    }

    /// Arms or disarms: one update, in force when the transaction is committed.
    pub(super) async fn arm_guard(
        &self,
        connection: &mut PgConnection,
        guarded: Guarded,
    ) -> Result<(), PortError> {
        let set = match guarded {
            Guarded::Yes => format!(
                "guard_token = token, guard_until = clock_timestamp() + {} * interval '1 millisecond'",
                self.guard_ms()
            ),
            Guarded::No => "guard_token = NULL, guard_since = NULL, guard_until = NULL".to_owned(),
        };
        let sql = format!("UPDATE {} SET {set} WHERE id = 1", self.own.lease());
        triggers::run(connection, sql, "arm or disarm the guard of the tables").await
    }

    /// Notes a time at which everybody who begins sees it armed.
    pub(super) async fn guard_holds_since_now(&self, token: FencingToken) -> Result<(), PortError> {
        let mut transaction = self.fenced(token).await?;
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE {} SET guard_since = clock_timestamp() WHERE id = 1",
            self.own.lease()
        )))
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("note since when tables are guarded", error))?;
        commit(transaction, "note since when tables are guarded").await
    }

    /// Transactions that began before it was armed and have written to a guarded table, or are about to.
    pub(super) async fn writers_before_guard(&self) -> Result<u64, PortError> {
        // Of other users' sessions we may not see since when they run: then they count as long as they hold the lock.
        let sql = format!(
            "SELECT count(DISTINCT coalesce(held.pid::text, held.virtualtransaction))
             FROM pg_catalog.pg_locks held
             JOIN pg_catalog.pg_trigger guard ON guard.tgrelid = held.relation AND guard.tgname = '{ON_ROWS}'
             LEFT JOIN pg_catalog.pg_stat_activity session ON session.pid = held.pid
             WHERE held.locktype = 'relation' AND held.mode = 'RowExclusiveLock'
                 AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
                 AND (session.xact_start IS NULL OR session.xact_start <= (SELECT guard_since FROM {} WHERE id = 1))",
            self.own.lease()
        );
        let writers: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .map_err(|error| failed("look who writes to guarded tables", error))?;
        Ok(writers.unsigned_abs())
    }

    /// Is it armed, and is every table guarded? Both were so all the time, if they are so at the end: nobody but us arms it.
    pub(super) async fn prove_guard(&self) -> Result<(), PortError> {
        let read = |error| failed("look whether the guard of the tables is armed", error);
        let armed: Option<bool> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT guard_token = token AND guard_until > clock_timestamp() AND guard_since IS NOT NULL FROM {} WHERE id = 1",
            self.own.lease()
        )))
        .fetch_one(&self.pool)
        .await
        .map_err(read)?;
        if armed != Some(true) {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "the tables were writable again before all was read: {} minutes are over, or somebody disarmed the \
                     guard; give it more time by --read-only-max, or use --read-only flag",
                    self.guard_max.as_secs() / 60
                ),
            ));
        }
        let mut missing = Vec::new();
        let mut connection = self.pool.acquire().await.map_err(read)?;
        for table in guarded_tables(&self.pool).await? {
            for definition in definitions(&table, &self.own) {
                if definition.found(&mut connection, &table.name).await? != Found::AsDefined {
                    missing.push(table.name.clone());
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.dedup();
        Err(PortError::new(
            ErrorKind::Precondition,
            format!(
                "somebody took the guard away from {}, or changed its columns",
                missing.join(", ")
            ),
        ))
    }

    /// Takes triggers and function away, where they are. What is locked by others stays, and does nothing: answers these
    /// triggers, each with its table.
    pub(super) async fn remove_guard(&self, fence: Fence, effort: Effort) -> Result<Vec<String>, PortError> {
        let read = |error| failed("look for triggers that guard tables", error);
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT tgrelid::regclass::text, tgname::text FROM pg_catalog.pg_trigger
             WHERE {} ORDER BY 1, 2",
            is_ours(None)
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        let mut removal = Removal::begin(effort);
        for row in rows {
            let trigger = Standing {
                table: row.try_get(0).map_err(read)?,
                name: row.try_get(1).map_err(read)?,
            };
            if let Some(limit) = removal.limit(&trigger) {
                let tried = self
                    .remove_trigger(fence, &trigger.table, &trigger.name, limit)
                    .await;
                removal.tried(trigger, tried)?;
            }
        }
        let left = removal.left();
        if left.is_empty() {
            self.remove_function(
                fence,
                &self.own.guard_function(),
                "remove the function that guards tables",
            )
            .await?;
        }
        Ok(left)
    }

    fn guard_ms(&self) -> i64 {
        i64::try_from(self.guard_max.as_millis()).unwrap_or(i64::MAX)
    }
}

/// How a try ended that was not done.
enum Tried {
    /// By the server, and another try may help.
    Refused(sqlx::Error),
    Failed(PortError),
}

/// Why tables cannot be guarded, if so.
pub(super) async fn guard_obstacle(pool: &PgPool, own: &OwnTables) -> Result<Option<String>, PortError> {
    let tables = guarded_tables(pool).await?;
    let foreign: Vec<&str> = tables
        .iter()
        .filter(|table| !table.owned)
        .map(|table| table.name.as_str())
        .collect();
    if let Some(first) = foreign.first() {
        return Ok(Some(format!(
            "this user does not own {} of the {} tables that would be guarded, such as {first}, so that it may not take a \
             trigger away again; connect as their owner, or GRANT the owner's role to this user",
            foreign.len(),
            tables.len()
        )));
    }
    triggers::function_obstacle(pool, own).await
}

/// The function. `end` is when it stops to refuse anything, whatever any table says.
fn function(own: &OwnTables, schema: &str, end: &str) -> String {
    let lease = own.lease();
    let body = format!(
        "DECLARE
    armed boolean;
BEGIN
    IF clock_timestamp() < {end}::timestamptz THEN
        BEGIN
            SELECT guard_token = token AND expires_at > clock_timestamp() AND guard_until > clock_timestamp() INTO armed
                FROM {lease} WHERE id = 1;
        EXCEPTION WHEN OTHERS THEN
            armed := false;
        END;
    END IF;
    IF armed THEN
        RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
            MESSAGE = format('table %s is read-only while its snapshot is taken; try again in a few minutes', TG_TABLE_NAME);
    END IF;
    IF TG_LEVEL = 'STATEMENT' THEN
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END",
        end = literal(end),
    );
    triggers::definer(&own.guard_function(), schema, &body)
}
