//! Quartz, paused and resumed through its own tables the way `pauseAll` and `resumeAll` do it, under its own lock. Here
//! its tables have upper-case names, and truth values are bits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{PausedBefore, Scheduler};
use metaferry_domain::quiesce::{CheckIn, RunningJobs};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::quartz::liveness::{Observation, judge_nodes, running_jobs};
use metaferry_metabase::quartz::plan::{self, ResumePlan, StateChange, pause_plan, paused_now, resume_plan};
use metaferry_metabase::quartz::{
    Concurrency, FiredRow, FiredState, JobKey, SCHEDULER_NAME, TRIGGER_ACCESS, TriggerKey, TriggerRow,
    TriggerState, WAKE_UP,
};
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row};

use super::app_db::MySqlAppDb;
use super::connect::text;
use super::ddl_session::{end_statement, session_of};
use crate::error::{failed, mysql_number};
use crate::patience::while_wanted;
use crate::transaction::{commit, ended};
use crate::waking;

/// Looks at the nodes that are kept; the first and the latest decide.
const LOOKS_MAX: usize = 64;

/// Quartz in a MySQL or MariaDB app DB.
#[derive(Debug, Clone)]
pub struct MySqlQuartz {
    app_db: MySqlAppDb,
    looks: Arc<Mutex<Vec<Observation>>>,
    since: Instant,
}

impl MySqlQuartz {
    /// The scheduler of that app DB.
    #[must_use]
    pub fn new(app_db: MySqlAppDb) -> Self {
        Self {
            app_db,
            looks: Arc::default(),
            since: Instant::now(),
        }
    }

    /// Whether nothing is paused by us for sure: whoever keeps Quartz's lock is not waited for.
    async fn is_as_before(
        &self,
        token: FencingToken,
        before: &plan::PausedBefore,
    ) -> Result<bool, PortError> {
        let Some(mut transaction) = self.app_db.alone(token).await? else {
            return Ok(false);
        };
        let plan = match exists(&mut transaction).await {
            Ok(true) => to_resume(&mut transaction, before).await,
            Ok(false) => Ok(ResumePlan::default()),
            Err(error) => Err(error),
        };
        // Before others begin: it keeps the fence.
        let _ = transaction.rollback().await;
        match plan {
            Ok(plan) => Ok(plan.is_empty()),
            // A whole table is somebody's.
            Err(error) if error.kind == ErrorKind::Unavailable => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has nodes look at once for what they may fire again. Without it they do so a little later.
    async fn wake_up(&self, token: FencingToken) -> Result<(), PortError> {
        let mut transaction = self.app_db.fenced(token).await?;
        sqlx::query(sqlx::AssertSqlSafe(wake_up("")))
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("wake Quartz's nodes", error))?;
        commit(transaction, "wake Quartz's nodes").await
    }
}

/// Says nothing to nobody where no node ever was. `only_if` begins with ` AND` or is empty.
pub(super) fn wake_up(only_if: &str) -> String {
    format!(
        "INSERT IGNORE INTO QRTZ_SCHEDULER_STATE (sched_name, instance_name, last_checkin_time, checkin_interval)
         SELECT DISTINCT sched_name, '{WAKE_UP}', 0, 0 FROM QRTZ_SCHEDULER_STATE
         WHERE sched_name = '{SCHEDULER_NAME}'{only_if}"
    )
}

/// Are Quartz's tables there?
pub(super) async fn exists(connection: &mut MySqlConnection) -> Result<bool, PortError> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.tables
         WHERE table_schema = database() AND table_name = 'QRTZ_TRIGGERS'",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| failed("look for Quartz's tables", error))?;
    Ok(found > 0)
}

#[async_trait]
impl Scheduler for MySqlQuartz {
    async fn before(&self) -> Result<PausedBefore, PortError> {
        let mut connection = self.app_db.connection().await?;
        let now = if exists(&mut connection).await? {
            paused_now(
                &triggers(&mut connection).await?,
                &paused_groups(&mut connection).await?,
            )
        } else {
            plan::PausedBefore::default()
        };
        let json = serde_json::to_string(&now).expect("keys are strings");
        Ok(PausedBefore { json })
    }

    async fn quiesce(
        &self,
        token: FencingToken,
        _: &PausedBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        let mut transaction = self.app_db.fenced(token).await?;
        if !exists(&mut transaction).await? {
            return Ok(());
        }
        let session = session_of(&mut transaction).await?;
        let pausing = pause(&mut transaction);
        let paused = while_wanted(cancel, pausing, || end_statement(&self.app_db.pool, session)).await;
        ended(transaction, paused, "pause Quartz's triggers").await
    }

    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError> {
        let mut connection = self.app_db.connection().await?;
        if !exists(&mut connection).await? {
            return Ok(Vec::new());
        }
        let fired = fired(&mut connection).await?;
        let look = Observation {
            at_ms: i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX),
            check_ins: check_ins(&mut connection).await?,
        };
        let mut looks = self.looks.lock().expect("no code panics while it holds this");
        if looks.len() >= LOOKS_MAX {
            // The first look stays: what has not advanced since then is silent.
            looks.remove(1);
        }
        looks.push(look);
        Ok(running_jobs(&fired, &judge_nodes(&looks)))
    }

    async fn restore(&self, token: FencingToken, before: &PausedBefore) -> Result<(), PortError> {
        let before: plan::PausedBefore = serde_json::from_str(&before.json).map_err(|error| {
            PortError::new(
                ErrorKind::Corrupt,
                "what was saved of Quartz's triggers cannot be read",
            )
            .because(error)
        })?;
        if self.is_as_before(token, &before).await? {
            return Ok(());
        }
        let mut transaction = self.app_db.fenced(token).await?;
        if !exists(&mut transaction).await? {
            return Ok(());
        }
        lock_triggers(&mut transaction).await?;
        let plan = to_resume(&mut transaction, &before).await?;
        change_states(&mut transaction, &plan.states).await?;
        for group in &plan.delete_groups {
            sqlx::query("DELETE FROM QRTZ_PAUSED_TRIGGER_GRPS WHERE sched_name = ? AND trigger_group = ?")
                .bind(SCHEDULER_NAME)
                .bind(group)
                .execute(&mut *transaction)
                .await
                .map_err(|error| failed("resume a group of Quartz's triggers", error))?;
        }
        commit(transaction, "resume Quartz's triggers").await?;
        if !plan.states.is_empty() {
            waking::in_good_time(self.wake_up(token)).await;
        }
        Ok(())
    }
}

/// Under Quartz's lock.
async fn pause(connection: &mut MySqlConnection) -> Result<(), PortError> {
    lock_triggers(connection).await?;
    let plan = pause_plan(&triggers(connection).await?, &paused_groups(connection).await?);
    change_states(connection, &plan.states).await?;
    for group in &plan.insert_groups {
        sqlx::query("INSERT INTO QRTZ_PAUSED_TRIGGER_GRPS (sched_name, trigger_group) VALUES (?, ?)")
            .bind(SCHEDULER_NAME)
            .bind(group)
            .execute(&mut *connection)
            .await
            .map_err(|error| failed("pause a group of Quartz's triggers", error))?;
    }
    Ok(())
}

/// What is to be put back.
async fn to_resume(
    connection: &mut MySqlConnection,
    before: &plan::PausedBefore,
) -> Result<ResumePlan, PortError> {
    Ok(resume_plan(
        before,
        &triggers(connection).await?,
        &paused_groups(connection).await?,
        &fired(connection).await?,
        &check_ins(connection).await?,
    ))
}

/// Takes the lock under which Quartz's nodes change triggers, for the rest of the transaction.
async fn lock_triggers(connection: &mut MySqlConnection) -> Result<(), PortError> {
    let lock = |error| {
        match mysql_number(&error) {
        Some(1205) => PortError::new(
            ErrorKind::Unavailable,
            "Quartz's lock TRIGGER_ACCESS is held by another session for more than 10 s: find it in SHOW PROCESSLIST \
             and end it, or wait for it",
        )
        .because(error),
        Some(_) | None => failed("take Quartz's lock TRIGGER_ACCESS", error),
    }
    };
    // Where the row is missing, inserting it holds the lock as well.
    sqlx::query("INSERT IGNORE INTO QRTZ_LOCKS (sched_name, lock_name) VALUES (?, ?)")
        .bind(SCHEDULER_NAME)
        .bind(TRIGGER_ACCESS)
        .execute(&mut *connection)
        .await
        .map_err(lock)?;
    sqlx::query("SELECT sched_name FROM QRTZ_LOCKS WHERE sched_name = ? AND lock_name = ? FOR UPDATE")
        .bind(SCHEDULER_NAME)
        .bind(TRIGGER_ACCESS)
        .execute(connection)
        .await
        .map(drop)
        .map_err(lock)
}

/// A word of a row; NULL is none.
fn word(row: &MySqlRow, position: usize) -> Result<String, PortError> {
    text(row, position)
        .map(Option::unwrap_or_default)
        .map_err(|error| failed("read Quartz's tables", error))
}

async fn triggers(connection: &mut MySqlConnection) -> Result<Vec<TriggerRow>, PortError> {
    let read = |error| failed("read Quartz's triggers", error);
    let rows = sqlx::query(
        "SELECT t.trigger_group, t.trigger_name, t.job_group, t.job_name, t.trigger_state,
             CAST(j.is_nonconcurrent AS SIGNED), t.next_fire_time
         FROM QRTZ_TRIGGERS t JOIN QRTZ_JOB_DETAILS j
           ON j.sched_name = t.sched_name AND j.job_group = t.job_group AND j.job_name = t.job_name
         WHERE t.sched_name = ? ORDER BY 1, 2",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            let state = word(row, 4)?;
            let nonconcurrent: i64 = row.try_get(5).map_err(read)?;
            Ok(TriggerRow {
                key: TriggerKey {
                    group: word(row, 0)?,
                    name: word(row, 1)?,
                },
                job: JobKey {
                    group: word(row, 2)?,
                    name: word(row, 3)?,
                },
                concurrency: if nonconcurrent == 0 {
                    Concurrency::Concurrent
                } else {
                    Concurrency::NonConcurrent
                },
                state: TriggerState::from_stored(&state).ok_or_else(|| unknown("trigger", &state))?,
                next_fire_ms: row.try_get(6).map_err(read)?,
            })
        })
        .collect()
}

async fn paused_groups(connection: &mut MySqlConnection) -> Result<BTreeSet<String>, PortError> {
    let rows = sqlx::query("SELECT trigger_group FROM QRTZ_PAUSED_TRIGGER_GRPS WHERE sched_name = ?")
        .bind(SCHEDULER_NAME)
        .fetch_all(connection)
        .await
        .map_err(|error| failed("read Quartz's paused groups", error))?;
    rows.iter().map(|row| word(row, 0)).collect()
}

async fn fired(connection: &mut MySqlConnection) -> Result<Vec<FiredRow>, PortError> {
    let read = |error| failed("read Quartz's fired triggers", error);
    let rows = sqlx::query(
        "SELECT instance_name, state, job_group, job_name, trigger_group, trigger_name, sched_time
         FROM QRTZ_FIRED_TRIGGERS WHERE sched_name = ?",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            let state = word(row, 1)?;
            let group = text(row, 2).map_err(read)?;
            let name = text(row, 3).map_err(read)?;
            Ok(FiredRow {
                instance: word(row, 0)?,
                state: FiredState::from_stored(&state).ok_or_else(|| unknown("fired trigger", &state))?,
                trigger: TriggerKey {
                    group: word(row, 4)?,
                    name: word(row, 5)?,
                },
                scheduled_ms: row.try_get(6).map_err(read)?,
                job: group.zip(name).map(|(group, name)| JobKey { group, name }),
            })
        })
        .collect()
}

pub(super) async fn check_ins(connection: &mut MySqlConnection) -> Result<Vec<CheckIn>, PortError> {
    let read = |error| failed("read the check-ins of Quartz's nodes", error);
    let rows = sqlx::query(
        "SELECT instance_name, last_checkin_time, checkin_interval FROM QRTZ_SCHEDULER_STATE WHERE sched_name = ?",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            Ok(CheckIn {
                node: word(row, 0)?,
                last_ms: row.try_get(1).map_err(read)?,
                interval_ms: row.try_get::<i64, _>(2).map_err(read)?.unsigned_abs(),
            })
        })
        .collect()
}

async fn change_states(connection: &mut MySqlConnection, changes: &[StateChange]) -> Result<(), PortError> {
    for change in changes {
        sqlx::query(
            "UPDATE QRTZ_TRIGGERS SET trigger_state = ?
             WHERE sched_name = ? AND trigger_group = ? AND trigger_name = ? AND FIND_IN_SET(trigger_state, ?)",
        )
        .bind(change.to.as_str())
        .bind(SCHEDULER_NAME)
        .bind(&change.key.group)
        .bind(&change.key.name)
        .bind(change.from.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(","))
        .execute(&mut *connection)
        .await
        .map_err(|error| failed("change the state of a trigger of Quartz's", error))?;
    }
    Ok(())
}

fn unknown(of: &str, state: &str) -> PortError {
    PortError::new(
        ErrorKind::Unsupported,
        format!("a {of} of Quartz's is in the unknown state {state:?}"),
    )
}
