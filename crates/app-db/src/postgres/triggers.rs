//! Triggers on Metabase's tables: made and taken away without ever queueing behind a long transaction for more than a
//! second at a time, because everybody else who comes later would queue behind us.

use std::time::{Duration, Instant};

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::connect::quoted;
use super::own_tables::OwnTables;
use crate::error::{failed, sql_state};

/// The longest that one try waits for a table's lock.
pub(super) const LOCK_WAIT_MS: u32 = 800;
/// Between two tries, so that those who queued behind us get their turn.
const PAUSE: Duration = Duration::from_millis(300);
/// What a function of ours may wait for any lock, within a transaction of Metabase's.
const WITHIN_MS: u32 = 200;

/// A lock could not be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEADLOCK: &str = "40P01";

/// How long something is tried that needs a table's lock.
pub(super) struct Patience {
    until: Instant,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
        }
    }

    /// Limits what one try in this transaction may wait.
    pub(super) async fn limit(&self, connection: &mut PgConnection) -> Result<(), PortError> {
        let sql = format!("SET LOCAL lock_timeout = '{LOCK_WAIT_MS}ms'");
        run(connection, sql, "limit the wait for locks").await
    }

    /// Returns after a pause if another try is worth it, else the error.
    pub(super) async fn again(&self, error: sqlx::Error, what: &str) -> Result<(), PortError> {
        match sql_state(&error).as_deref() {
            Some(LOCK_NOT_AVAILABLE | DEADLOCK) if Instant::now() < self.until => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            Some(LOCK_NOT_AVAILABLE) => Err(PortError::new(
                ErrorKind::Unavailable,
                format!(
                    "{what}: other sessions keep the table's lock; find them in pg_stat_activity and end them, or wait for \
                     them"
                ),
            )
            .because(error)),
            Some(_) | None => Err(failed(what, error)),
        }
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

/// Takes a trigger away. Needs no lease: it is called once the trigger does nothing any more.
pub(super) async fn remove(
    pool: &PgPool,
    table: &str,
    trigger: &str,
    limit: Duration,
) -> Result<(), PortError> {
    let what = format!("remove the trigger {trigger} on {table}");
    let patience = Patience::new(limit);
    loop {
        let mut transaction = pool.begin().await.map_err(|error| failed(&*what, error))?;
        if !exists(&mut transaction, table, trigger).await? {
            return Ok(());
        }
        patience.limit(&mut transaction).await?;
        let removed = try_run(
            &mut transaction,
            format!("DROP TRIGGER IF EXISTS {} ON {table}", quoted(trigger)),
        )
        .await;
        match removed {
            Ok(()) => return transaction.commit().await.map_err(|error| failed(what, error)),
            Err(error) => {
                drop(transaction);
                patience.again(error, &what).await?;
            }
        }
    }
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
