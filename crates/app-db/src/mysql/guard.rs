//! Read-only of strength `enforced`: triggers on the tables that must not change, which refuse while a session of ours
//! holds a lock. It is taken before the first trigger is made, so that each is in force with its making; and that waits
//! for every transaction that has touched the table before.

use std::time::{Duration, Instant};

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::app_db::MySqlAppDb;
use super::connect::{Session, close, quoted, session, text};
use super::guard_session::GuardSession;
use super::guard_triggers::{self, PREFIX, Trigger};
use super::schema::{self, Which};
use super::still_tables;
use crate::error::{failed, mysql_number};

/// The longest that one try waits for a table, and others behind us.
const LOCK_SECONDS: u32 = 1;
/// Between two tries, so that those who queued behind us get their turn.
const PAUSE: Duration = Duration::from_millis(300);
/// How long it is tried to make all triggers, before the whole is tried again.
const MAKE_MAX: Duration = Duration::from_secs(25);
/// How long it is tried to take one table's away, before they are left behind.
const REMOVE_MAX: Duration = Duration::from_secs(4);
/// The same for all together.
const REMOVE_ALL_MAX: Duration = Duration::from_secs(15);

impl MySqlAppDb {
    /// Arms, and makes the triggers. Idempotent.
    pub(super) async fn make_guard(&self, token: FencingToken) -> Result<(), PortError> {
        if let Some(why) = self.guard_obstacle().await? {
            return Err(PortError::new(
                ErrorKind::Denied,
                format!("read-only of strength `enforced` cannot be: {why}"),
            ));
        }
        let mut guard = self.guard.lock().await;
        if guard
            .as_ref()
            .is_some_and(|armed| armed.token != token || armed.has_ended())
        {
            disarm(guard.take()).await;
        }
        // Proves the lease, and nobody takes it before the lock is ours.
        let fence = self.fenced(token).await?;
        let is_new = guard.is_none();
        if is_new {
            // What an earlier one left has another end in it, and must not come to life.
            let left = self.remove_guard().await?;
            if !left.is_empty() {
                return Err(PortError::new(
                    ErrorKind::Unavailable,
                    format!("remove triggers of an earlier migration: {}", left.join(", ")),
                ));
            }
            *guard = Some(GuardSession::begin(&self.pool, token, self.guard_max).await?);
        }
        drop(fence);
        let Some(armed) = guard.as_ref() else {
            return Ok(());
        };
        let Session { mut connection, .. } = ddl_session(&self.pool).await?;
        let there = self.triggers(&mut connection).await?;
        let until = Instant::now() + MAKE_MAX;
        for trigger in expected(&self.pool).await? {
            if there.iter().any(|(name, _)| *name == trigger.name) {
                continue;
            }
            let sql = trigger.definition(&armed.lock, &armed.end);
            let what = format!("guard the table {}", trigger.table);
            loop {
                let fence = self.fenced(token).await?;
                let made = try_run(&mut connection, &sql).await;
                drop(fence);
                match made {
                    Ok(()) => break,
                    Err(error) => again(error, &what, until).await?,
                }
            }
        }
        close(connection).await;
        Ok(())
    }

    /// Is it armed, and is every trigger there? It was armed all the time, if it is at the end: nobody but us holds the lock,
    /// and by one session only. What was written while a trigger was gone and made again the digests find.
    pub(super) async fn prove_guard(&self) -> Result<(), PortError> {
        let read = |error| failed("look whether the guard of the tables is armed", error);
        let guard = self.guard.lock().await;
        let mut connection = self.connection().await?;
        let is_armed = match guard.as_ref() {
            Some(armed) => {
                let armed: Option<i64> =
                    sqlx::query_scalar("SELECT CAST(IS_USED_LOCK(?) = ? AND UTC_TIMESTAMP(6) < ? AS SIGNED)")
                        .bind(&armed.lock)
                        .bind(armed.connection_id)
                        .bind(&armed.end)
                        .fetch_one(&mut *connection)
                        .await
                        .map_err(read)?;
                armed == Some(1)
            }
            None => false,
        };
        if !is_armed {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "the tables were writable again before all was read: {} minutes are over, or the session that guards \
                     them was ended; give it more time by --read-only-max, or use --read-only flag",
                    self.guard_max.as_secs() / 60
                ),
            ));
        }
        let there = self.triggers(&mut connection).await?;
        drop(connection);
        let mut missing: Vec<String> = expected(&self.pool)
            .await?
            .into_iter()
            .filter(|trigger| !there.iter().any(|(name, _)| *name == trigger.name))
            .map(|trigger| trigger.table)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.dedup();
        Err(PortError::new(
            ErrorKind::Precondition,
            format!("somebody took the guard away from {}", missing.join(", ")),
        ))
    }

    /// From now on nothing is refused that this process has guarded.
    pub(super) async fn disarm_guard(&self) {
        let armed = self.guard.lock().await.take();
        disarm(armed).await;
    }

    /// Takes triggers away, where they are. What is locked by others stays, and does nothing once it is disarmed: answers
    /// these triggers, each with its table.
    pub(super) async fn remove_guard(&self) -> Result<Vec<String>, PortError> {
        let mut connection = self.connection().await?;
        let there = self.triggers(&mut connection).await?;
        drop(connection);
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let Session { mut connection, .. } = ddl_session(&self.pool).await?;
        let all_until = Instant::now() + REMOVE_ALL_MAX;
        let mut left = Vec::new();
        let mut in_use = String::new();
        for (name, table) in there {
            let shown = format!("{name} on {table}");
            if table == in_use {
                left.push(shown);
                continue;
            }
            let sql = format!("DROP TRIGGER IF EXISTS {}", quoted(&name));
            let until = all_until.min(Instant::now() + REMOVE_MAX);
            let what = format!("remove the trigger {shown}");
            let removed = loop {
                match try_run(&mut connection, &sql).await {
                    Ok(()) => break Ok(()),
                    Err(error) => match again(error, &what, until).await {
                        Ok(()) => {}
                        Err(error) => break Err(error),
                    },
                }
            };
            match removed {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(target: "cloud_migration", error = error.chain(), "a trigger stays behind for now, and does nothing");
                    left.push(shown);
                    in_use = table;
                }
                Err(error) => return Err(error),
            }
        }
        close(connection).await;
        Ok(left)
    }

    /// Triggers of ours that are there: each with its table.
    pub(super) async fn triggers(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<Vec<(String, String)>, PortError> {
        let read = |error| failed("look for triggers that guard tables", error);
        let rows = sqlx::query(
            "SELECT trigger_name, event_object_table FROM information_schema.triggers
             WHERE trigger_schema = database() AND left(trigger_name, ?) = ? ORDER BY 2, 1",
        )
        .bind(u32::try_from(PREFIX.len()).unwrap_or(u32::MAX))
        .bind(PREFIX)
        .fetch_all(connection)
        .await
        .map_err(read)?;
        let word = |row, position| text(row, position).map(Option::unwrap_or_default).map_err(read);
        rows.iter()
            .map(|row| Ok((word(row, 0)?, word(row, 1)?)))
            .collect()
    }

    /// Why tables cannot be guarded, if so. Asks for a trigger that cannot be, because it is to follow one that is not
    /// there: the server looks at rights first.
    pub(super) async fn guard_obstacle(&self) -> Result<Option<String>, PortError> {
        let Session { mut connection, .. } = ddl_session(&self.pool).await?;
        let tables = still_tables::read(&mut connection).await?;
        let Some(first) = tables.first() else {
            return Ok(None);
        };
        let asked = format!(
            "SET SESSION lock_wait_timeout = 0; CREATE TRIGGER {PREFIX}asked BEFORE INSERT ON {} FOR EACH ROW
             FOLLOWS {PREFIX}nobody BEGIN END",
            quoted(&first.name)
        );
        let answer = try_run(&mut connection, &asked).await;
        close(connection).await;
        Ok(match answer.as_ref().err().and_then(mysql_number) {
            Some(1419) => Some(
                "the server writes a binary log and lets only its administrators make triggers: set \
                 log_bin_trust_function_creators = 1 meanwhile, or GRANT SUPER to this user"
                    .to_owned(),
            ),
            Some(1044 | 1142 | 1227 | 1290 | 1836) => Some(
                "this user may not make triggers on Metabase's tables; GRANT TRIGGER on their database to it"
                    .to_owned(),
            ),
            Some(_) | None => None,
        })
    }
}

/// The triggers that there are to be.
pub(super) async fn expected(pool: &MySqlPool) -> Result<Vec<Trigger>, PortError> {
    let look = |error| failed("ask for Metabase's database", error);
    let mut session = session(pool).await.map_err(look)?;
    let row = sqlx::query("SELECT database()")
        .fetch_one(&mut session.connection)
        .await
        .map_err(look)?;
    let database = text(&row, 0).map_err(look)?.unwrap_or_default();
    let tables = still_tables::read(&mut session.connection).await?;
    let read = schema::read_catalogue(&mut session, &database, Which::Shown).await?;
    close(session.connection).await;
    Ok(guard_triggers::all(&tables, &read.catalogue))
}

/// A session that waits for nobody long.
async fn ddl_session(pool: &MySqlPool) -> Result<Session, PortError> {
    let open = |error| failed("open a session to guard tables", error);
    let mut session = session(pool).await.map_err(open)?;
    try_run(
        &mut session.connection,
        &format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}"),
    )
    .await
    .map_err(open)?;
    Ok(session)
}

async fn try_run(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// Returns after a pause if another try is worth it, else the error.
async fn again(error: sqlx::Error, what: &str, until: Instant) -> Result<(), PortError> {
    match mysql_number(&error) {
        Some(1205 | 1213) if Instant::now() < until => {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        Some(1205) => Err(PortError::new(
            ErrorKind::Unavailable,
            format!(
                "{what}: other sessions keep the table in use; find them by SHOW FULL PROCESSLIST and end them, or wait for \
                 them"
            ),
        )
        .because(error)),
        Some(_) | None => Err(failed(what, error)),
    }
}

async fn disarm(armed: Option<GuardSession>) {
    if let Some(armed) = armed {
        armed.end().await;
    }
}
