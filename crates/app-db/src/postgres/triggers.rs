//! Triggers on Metabase's tables: made and taken away without ever queueing behind a long transaction for more than a
//! second at a time, because everybody else who comes later would queue behind us.

use std::time::Duration;

use metaferry_domain::{Cancellation, PortError};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::app_db::PostgresAppDb;
use super::connect::quoted;
use super::own_tables::OwnTables;
use crate::error::failed;
use crate::guard::Fence;
use crate::patience::{GivenUp, PAUSE, Patience};
use crate::transaction::commit;

/// The longest that one try waits for a table's lock.
pub(super) const LOCK_WAIT_MS: u32 = 800;
/// What a function of ours may wait for any lock, within a transaction of Metabase's.
const WITHIN_MS: u32 = 200;

/// Limits what one try in this transaction may wait, and answers by what the server knows its session.
pub(super) async fn limit(connection: &mut PgConnection) -> Result<i32, PortError> {
    let (session, _): (i32, String) =
        sqlx::query_as("SELECT pg_backend_pid(), set_config('lock_timeout', $1, true)")
            .bind(format!("{LOCK_WAIT_MS}ms"))
            .fetch_one(connection)
            .await
            .map_err(|error| failed("limit the wait for locks", error))?;
    Ok(session)
}

/// The same for a try that nobody may queue behind.
async fn wait_for_nobody(connection: &mut PgConnection) -> Result<(), PortError> {
    run(
        connection,
        "SET LOCAL lock_timeout = '10ms'".to_owned(),
        "limit the wait for locks",
    )
    .await
}

/// By what the server knows a session.
pub(super) async fn session_of(connection: &mut PgConnection) -> Result<i32, PortError> {
    sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await
        .map_err(|error| failed("ask for the session's own number", error))
}

/// Ends what that session is about, and not the session: everybody may of his own.
pub(super) async fn end_statement(pool: &PgPool, session: i32) {
    let asked = sqlx::query("SELECT pg_cancel_backend($1)")
        .bind(session)
        .execute(pool)
        .await;
    if let Err(error) = asked {
        tracing::debug!(%error, "a statement that nobody wants any more is not ended by the server");
    }
}

/// The schema of Metabase's tables.
pub(super) async fn schema(pool: &PgPool) -> Result<String, PortError> {
    sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(pool)
        .await
        .map_err(|error| failed("ask for Metabase's schema", error))
}

/// A trigger function that acts as its owner, whoever fires it, and finds Metabase's tables and nothing else.
pub(super) fn definer(name: &str, schema: &str, body: &str) -> String {
    let mut tag = String::from("$metaferry$");
    while body.contains(&tag) {
        tag.insert(1, 'x');
    }
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
         SET search_path = {}, pg_temp SET lock_timeout = '{WITHIN_MS}ms' SET row_security = off AS {tag}\n{body}\n{tag}",
        quoted(schema)
    )
}

/// Why functions of ours cannot be made, if so.
pub(super) async fn function_obstacle(pool: &PgPool, own: &OwnTables) -> Result<Option<String>, PortError> {
    let may: bool = sqlx::query_scalar(
        "SELECT CASE
             WHEN $1::text IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
             WHEN to_regnamespace($1) IS NULL THEN has_database_privilege(current_database(), 'CREATE')
             ELSE has_schema_privilege($1, 'CREATE') AND has_schema_privilege($1, 'USAGE') END
         AND has_language_privilege('plpgsql', 'USAGE')",
    )
    .bind(own.schema())
    .fetch_one(pool)
    .await
    .map_err(|error| failed("look whether functions can be made", error))?;
    Ok((!may).then(|| {
        "this user may not make functions beside Metaferry's own tables; GRANT CREATE on their schema to it".to_owned()
    }))
}

/// Is there a trigger of that name on that table?
pub(super) async fn exists(
    connection: &mut PgConnection,
    table: &str,
    trigger: &str,
) -> Result<bool, PortError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2)",
    )
    .bind(table)
    .bind(trigger)
    .fetch_one(connection)
    .await
    .map_err(|error| failed(format!("look for triggers on {table}"), error))
}

impl PostgresAppDb {
    /// Takes a trigger away that does nothing any more. Whoever takes the lease next waits for each try.
    pub(super) async fn remove_trigger(
        &self,
        fence: Fence,
        table: &str,
        trigger: &str,
        at_most: Duration,
    ) -> Result<(), GivenUp> {
        let what = format!("remove the trigger {trigger} on {table}");
        let wanted = Cancellation::new();
        let patience = Patience::new(at_most, &wanted);
        loop {
            let mut transaction = self.behind(fence).await?;
            if !exists(&mut transaction, table, trigger).await? {
                return Ok(());
            }
            limit(&mut transaction).await?;
            if at_most.is_zero() {
                wait_for_nobody(&mut transaction).await?;
            }
            match try_run(&mut transaction, dropping(table, trigger)).await {
                Ok(()) => return Ok(commit(transaction, &what).await?),
                Err(error) => {
                    drop(transaction);
                    patience.again(error, &what, PAUSE).await?;
                }
            }
        }
    }

    /// Takes a function of ours away, where it is.
    pub(super) async fn remove_function(
        &self,
        fence: Fence,
        function: &str,
        what: &str,
    ) -> Result<(), PortError> {
        let mut transaction = self.behind(fence).await?;
        run(
            &mut transaction,
            format!("DROP FUNCTION IF EXISTS {function}()"),
            what,
        )
        .await?;
        commit(transaction, what).await
    }
}

/// The statement that takes a trigger away.
pub(super) fn dropping(table: &str, trigger: &str) -> String {
    format!("DROP TRIGGER IF EXISTS {} ON {table}", quoted(trigger))
}

pub(super) async fn try_run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

pub(super) async fn run(connection: &mut PgConnection, sql: String, what: &str) -> Result<(), PortError> {
    try_run(connection, sql)
        .await
        .map_err(|error| failed(what, error))
}
