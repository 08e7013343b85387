//! Read-only of strength `enforced`: triggers on the tables that must not change, which refuse while a session of ours
//! holds a lock. It is taken before the first trigger is made, so that each is in force with its making; and that waits
//! for every transaction that has touched the table before.

use std::time::Duration;

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sqlx::{MySqlConnection, MySqlPool};

use super::app_db::MySqlAppDb;
use super::connect::{close, database, quoted, session, text};
use super::ddl_session::{DdlSession, GENTLE, Waits};
use super::guard_session::GuardSession;
use super::guard_triggers::{self, PREFIX, Trigger};
use super::schema::{self, Which};
use super::still_tables;
use crate::error::{failed, mysql_number};
use crate::guard::{Effort, Fence, MAKE_MAX, Removal, Standing};
use crate::patience::{GivenUp, Patience};
use crate::transaction::commit;

/// From when on it waits for who has a table in use while triggers are taken away.
const GENTLE_REMOVAL: Waits = Waits::OnceBusyFor(Duration::from_secs(2));

impl MySqlAppDb {
    /// Arms, and makes the triggers. Idempotent. Once it is not wanted any more it ends where it stands, armed.
    pub(super) async fn make_guard(
        &self,
        token: FencingToken,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        if let Some(why) = self.guard_obstacle(cancel).await? {
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
        if guard.is_none() {
            // What an earlier one left has another end in it, and must not come to life.
            let left = self
                .remove_guard(Fence::Lease(token), Effort::Asked, cancel)
                .await?;
            if !left.is_empty() {
                return Err(PortError::new(
                    ErrorKind::Unavailable,
                    format!("remove triggers of an earlier migration: {}", left.join(", ")),
                ));
            }
            // Nobody takes the lease before the lock is ours, which the end of the fence proves.
            let fence = self.fenced(token).await?;
            let armed = GuardSession::begin(&self.pool, token, self.guard_max, cancel).await?;
            commit(fence, "prove the lease").await?;
            *guard = Some(armed);
        }
        let Some(armed) = guard.as_ref() else {
            return Ok(());
        };
        let mut session = DdlSession::open(&self.pool, GENTLE).await?;
        let there = self.triggers(&mut session.connection).await?;
        let patience = Patience::new(MAKE_MAX, cancel);
        for trigger in expected(&self.pool).await? {
            if there.iter().any(|standing| standing.name == trigger.name) {
                continue;
            }
            let sql = trigger.definition(&armed.lock, &armed.end);
            let what = format!("guard the table {}", trigger.table);
            self.alter(
                Fence::Lease(token),
                &mut session,
                &trigger.table,
                &sql,
                &what,
                &patience,
            )
            .await?;
        }
        session.close().await;
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
            .filter(|trigger| !there.iter().any(|standing| standing.name == trigger.name))
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
    pub(super) async fn remove_guard(
        &self,
        fence: Fence,
        effort: Effort,
        cancel: &Cancellation,
    ) -> Result<Vec<String>, PortError> {
        let mut connection = self.connection().await?;
        let there = self.triggers(&mut connection).await?;
        drop(connection);
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let waits = match effort {
            Effort::Asked => GENTLE_REMOVAL,
            Effort::InPassing => Waits::Never,
        };
        let mut session = DdlSession::open(&self.pool, waits).await?;
        let mut removal = Removal::begin(effort);
        for trigger in there {
            if let Some(limit) = removal.limit(&trigger) {
                let patience = Patience::new(limit, cancel);
                let sql = format!("DROP TRIGGER IF EXISTS {}", quoted(&trigger.name));
                let what = format!("remove the trigger {}", trigger.shown());
                let tried = self
                    .alter(fence, &mut session, &trigger.table, &sql, &what, &patience)
                    .await;
                removal.tried(trigger, tried)?;
            }
        }
        session.close().await;
        Ok(removal.left())
    }

    /// Tries it until it is done or `patience` is over. Whoever takes the lease next waits for each try.
    async fn alter(
        &self,
        fence: Fence,
        session: &mut DdlSession,
        table: &str,
        sql: &str,
        what: &str,
        patience: &Patience<'_>,
    ) -> Result<(), GivenUp> {
        loop {
            patience.check()?;
            let held = self.behind(fence).await?;
            let tried = session.try_run(table, sql, patience).await;
            drop(held);
            match tried {
                Ok(()) => return Ok(()),
                Err(error) => patience.again(error, what, session.pause()).await?,
            }
        }
    }

    /// Triggers of ours that are there.
    pub(super) async fn triggers(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<Vec<Standing>, PortError> {
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
            .map(|row| {
                Ok(Standing {
                    name: word(row, 0)?,
                    table: word(row, 1)?,
                })
            })
            .collect()
    }

    /// Why tables cannot be guarded, if so. Asks each for a trigger that cannot be, because it is to follow one that is not
    /// there: the server looks at rights first.
    pub(super) async fn guard_obstacle(&self, cancel: &Cancellation) -> Result<Option<String>, PortError> {
        let mut tables: Vec<String> = expected(&self.pool)
            .await?
            .into_iter()
            .map(|trigger| trigger.table)
            .collect();
        tables.dedup();
        let mut session = DdlSession::open(&self.pool, Waits::Never).await?;
        let patience = Patience::new(Duration::ZERO, cancel);
        let mut denied = Vec::new();
        for table in &tables {
            cancel.check()?;
            let asked = format!(
                "CREATE TRIGGER {PREFIX}asked BEFORE INSERT ON {} FOR EACH ROW FOLLOWS {PREFIX}nobody BEGIN END",
                quoted(table)
            );
            let answer = session.try_run(table, &asked, &patience).await;
            match answer.as_ref().err().and_then(mysql_number) {
                Some(1419) => {
                    session.close().await;
                    return Ok(Some(
                        "the server writes a binary log and lets only its administrators make triggers: set \
                         log_bin_trust_function_creators = 1 meanwhile, or GRANT SUPER to this user"
                            .to_owned(),
                    ));
                }
                Some(1044 | 1142 | 1227 | 1290 | 1836) => denied.push(table),
                Some(_) | None => {}
            }
        }
        session.close().await;
        Ok(denied.first().map(|first| {
            format!(
                "this user may not make triggers on {} of the {} tables of Metabase's that would be guarded, such as \
                 {first}; GRANT TRIGGER on their database to it",
                denied.len(),
                tables.len()
            )
        }))
    }
}

/// The triggers that there are to be.
pub(super) async fn expected(pool: &MySqlPool) -> Result<Vec<Trigger>, PortError> {
    let mut session = session(pool)
        .await
        .map_err(|error| failed("look which tables are to be guarded", error))?;
    let database = database(&mut session.connection).await?;
    let tables = still_tables::read(&mut session.connection).await?;
    let read = schema::read_catalogue(&mut session, &database, Which::Shown).await?;
    close(session.connection).await;
    Ok(guard_triggers::all(&tables, &read.catalogue))
}

async fn disarm(armed: Option<GuardSession>) {
    if let Some(armed) = armed {
        armed.end().await;
    }
}
