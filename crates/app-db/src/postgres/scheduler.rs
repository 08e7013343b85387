//! Quartz, paused and resumed through its own tables the way `pauseAll` and `resumeAll` do it, under its own lock.

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
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::app_db::{LOCK_TIMEOUT, PostgresAppDb};
use super::switch::{CHECK_INS, Changed};
use super::triggers::{end_statement, session_of};
use super::undo_script::literal;
use crate::error::{failed, sql_state};
use crate::patience::while_wanted;
use crate::transaction::{commit, ended};
use crate::waking;

/// Looks at the nodes that are kept; the first and the latest decide.
const LOOKS_MAX: usize = 64;

/// Quartz in a Postgres app DB.
#[derive(Debug, Clone)]
pub struct PostgresQuartz {
    app_db: PostgresAppDb,
    looks: Arc<Mutex<Vec<Observation>>>,
    since: Instant,
}

impl PostgresQuartz {
    /// The scheduler of that app DB.
    #[must_use]
    pub fn new(app_db: PostgresAppDb) -> Self {
        Self {
            app_db,
            looks: Arc::default(),
            since: Instant::now(),
        }
    }

    /// Under Quartz's lock.
    async fn pause(&self, connection: &mut PgConnection, before: &PausedBefore) -> Result<(), PortError> {
        lock_triggers(connection).await?;
        let plan = pause_plan(&triggers(connection).await?, &paused_groups(connection).await?);
        change_states(connection, &plan.states).await?;
        for group in &plan.insert_groups {
            sqlx::query("INSERT INTO qrtz_paused_trigger_grps (sched_name, trigger_group) VALUES ($1, $2)")
                .bind(SCHEDULER_NAME)
                .bind(group)
                .execute(&mut *connection)
                .await
                .map_err(|error| failed("pause a group of Quartz's triggers", error))?;
        }
        Changed::Scheduler(&before.json)
            .record(&self.app_db.own, connection)
            .await
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
        let is_as_before = match to_resume(&mut transaction, before).await {
            Ok(plan) => plan.is_empty(),
            // A whole table is somebody's.
            Err(error) if error.kind == ErrorKind::Unavailable => false,
            Err(error) => return Err(error),
        };
        if is_as_before {
            Changed::SchedulerRestored
                .record(&self.app_db.own, &mut transaction)
                .await?;
            commit(transaction, "write down that nothing must be resumed").await?;
        } else {
            // Before others begin: it keeps the lease's row.
            let _ = transaction.rollback().await;
        }
        Ok(is_as_before)
    }

    async fn exists(&self) -> Result<bool, PortError> {
        sqlx::query_scalar("SELECT to_regclass('qrtz_triggers') IS NOT NULL")
            .fetch_one(&self.app_db.pool)
            .await
            .map_err(|error| failed("look for Quartz's tables", error))
    }

    /// Has nodes look at once for what they may fire again. Without it they do so a little later.
    async fn wake_up(&self, token: FencingToken) -> Result<(), PortError> {
        let mut transaction = self.app_db.fenced(token).await?;
        sqlx::query(AssertSqlSafe(wake_up()))
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("wake Quartz's nodes", error))?;
        commit(transaction, "wake Quartz's nodes").await
    }
}

/// Says nothing to nobody where no node ever was.
pub(super) fn wake_up() -> String {
    let (scheduler, nobody) = (literal(SCHEDULER_NAME), literal(WAKE_UP));
    format!(
        "INSERT INTO {CHECK_INS} (sched_name, instance_name, last_checkin_time, checkin_interval)
         SELECT {scheduler}, {nobody}, 0, 0
         WHERE EXISTS (SELECT 1 FROM {CHECK_INS} WHERE sched_name = {scheduler}) ON CONFLICT DO NOTHING"
    )
}

#[async_trait]
impl Scheduler for PostgresQuartz {
    async fn before(&self) -> Result<PausedBefore, PortError> {
        let now = if self.exists().await? {
            let mut connection = self.app_db.glance().await?;
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
        before: &PausedBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        if !self.exists().await? {
            return Ok(());
        }
        let mut transaction = self.app_db.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let pausing = self.pause(&mut transaction, before);
        let paused = while_wanted(cancel, pausing, || end_statement(&self.app_db.pool, session)).await;
        ended(transaction, paused, "pause Quartz's triggers").await
    }

    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError> {
        if !self.exists().await? {
            return Ok(Vec::new());
        }
        let mut connection = self.app_db.glance().await?;
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
        if !self.exists().await? {
            return Ok(());
        }
        if self.is_as_before(token, &before).await? {
            return Ok(());
        }
        let mut transaction = self.app_db.fenced(token).await?;
        lock_triggers(&mut transaction).await?;
        let plan = to_resume(&mut transaction, &before).await?;
        change_states(&mut transaction, &plan.states).await?;
        for group in &plan.delete_groups {
            sqlx::query("DELETE FROM qrtz_paused_trigger_grps WHERE sched_name = $1 AND trigger_group = $2")
                .bind(SCHEDULER_NAME)
                .bind(group)
                .execute(&mut *transaction)
                .await
                .map_err(|error| failed("resume a group of Quartz's triggers", error))?;
        }
        Changed::SchedulerRestored
            .record(&self.app_db.own, &mut transaction)
            .await?;
        commit(transaction, "resume Quartz's triggers").await?;
        if !plan.states.is_empty() {
            waking::in_good_time(self.wake_up(token)).await;
        }
        Ok(())
    }
}

/// What is to be put back.
async fn to_resume(
    connection: &mut PgConnection,
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

/// Takes Quartz's own lock. Held for milliseconds: every node waits for it.
async fn lock_triggers(connection: &mut PgConnection) -> Result<(), PortError> {
    // How long it may take is said where the transaction begins.
    let lock = |error| {
        match sql_state(&error).as_deref() {
        Some("55P03") => PortError::new(
            ErrorKind::Unavailable,
            format!(
                "Quartz's lock TRIGGER_ACCESS is held by another session for more than {LOCK_TIMEOUT}: find it in \
                 pg_stat_activity and end it, or wait for it"
            ),
        )
        .because(error),
        Some(_) | None => failed("take Quartz's lock TRIGGER_ACCESS", error),
    }
    };
    // Where the row is missing, inserting it holds the lock as well.
    sqlx::query("INSERT INTO qrtz_locks (sched_name, lock_name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(SCHEDULER_NAME)
        .bind(TRIGGER_ACCESS)
        .execute(&mut *connection)
        .await
        .map_err(lock)?;
    sqlx::query("SELECT 1 FROM qrtz_locks WHERE sched_name = $1 AND lock_name = $2 FOR UPDATE")
        .bind(SCHEDULER_NAME)
        .bind(TRIGGER_ACCESS)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(lock)
}

async fn triggers(connection: &mut PgConnection) -> Result<Vec<TriggerRow>, PortError> {
    let read = |error| failed("read Quartz's triggers", error);
    let rows = sqlx::query(
        "SELECT t.trigger_group, t.trigger_name, t.job_group, t.job_name, t.trigger_state, j.is_nonconcurrent,
             t.next_fire_time
         FROM qrtz_triggers t JOIN qrtz_job_details j
           ON j.sched_name = t.sched_name AND j.job_group = t.job_group AND j.job_name = t.job_name
         WHERE t.sched_name = $1 ORDER BY 1, 2",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            let state: String = row.try_get(4).map_err(read)?;
            let nonconcurrent: bool = row.try_get(5).map_err(read)?;
            Ok(TriggerRow {
                key: TriggerKey {
                    group: row.try_get(0).map_err(read)?,
                    name: row.try_get(1).map_err(read)?,
                },
                job: JobKey {
                    group: row.try_get(2).map_err(read)?,
                    name: row.try_get(3).map_err(read)?,
                },
                concurrency: if nonconcurrent {
                    Concurrency::NonConcurrent
                } else {
                    Concurrency::Concurrent
                },
                state: TriggerState::from_stored(&state).ok_or_else(|| unknown("trigger", &state))?,
                next_fire_ms: row.try_get(6).map_err(read)?,
            })
        })
        .collect()
}

async fn paused_groups(connection: &mut PgConnection) -> Result<BTreeSet<String>, PortError> {
    let groups: Vec<String> =
        sqlx::query_scalar("SELECT trigger_group FROM qrtz_paused_trigger_grps WHERE sched_name = $1")
            .bind(SCHEDULER_NAME)
            .fetch_all(connection)
            .await
            .map_err(|error| failed("read Quartz's paused groups", error))?;
    Ok(groups.into_iter().collect())
}

async fn fired(connection: &mut PgConnection) -> Result<Vec<FiredRow>, PortError> {
    let read = |error| failed("read Quartz's fired triggers", error);
    let rows = sqlx::query(
        "SELECT instance_name, state, job_group, job_name, trigger_group, trigger_name, sched_time
         FROM qrtz_fired_triggers WHERE sched_name = $1",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            let state: String = row.try_get(1).map_err(read)?;
            let group: Option<String> = row.try_get(2).map_err(read)?;
            let name: Option<String> = row.try_get(3).map_err(read)?;
            Ok(FiredRow {
                instance: row.try_get(0).map_err(read)?,
                state: FiredState::from_stored(&state).ok_or_else(|| unknown("fired trigger", &state))?,
                trigger: TriggerKey {
                    group: row.try_get(4).map_err(read)?,
                    name: row.try_get(5).map_err(read)?,
                },
                scheduled_ms: row.try_get(6).map_err(read)?,
                job: group.zip(name).map(|(group, name)| JobKey { group, name }),
            })
        })
        .collect()
}

pub(super) async fn check_ins(connection: &mut PgConnection) -> Result<Vec<CheckIn>, PortError> {
    let read = |error| failed("read the check-ins of Quartz's nodes", error);
    let rows = sqlx::query(
        "SELECT instance_name, last_checkin_time, checkin_interval FROM qrtz_scheduler_state WHERE sched_name = $1",
    )
    .bind(SCHEDULER_NAME)
    .fetch_all(connection)
    .await
    .map_err(read)?;
    rows.iter()
        .map(|row| {
            Ok(CheckIn {
                node: row.try_get(0).map_err(read)?,
                last_ms: row.try_get(1).map_err(read)?,
                interval_ms: row.try_get::<i64, _>(2).map_err(read)?.unsigned_abs(),
            })
        })
        .collect()
}

async fn change_states(connection: &mut PgConnection, changes: &[StateChange]) -> Result<(), PortError> {
    for change in changes {
        sqlx::query(
            "UPDATE qrtz_triggers SET trigger_state = $1
             WHERE sched_name = $2 AND trigger_group = $3 AND trigger_name = $4 AND trigger_state = ANY ($5)",
        )
        .bind(change.to.as_str())
        .bind(SCHEDULER_NAME)
        .bind(&change.key.group)
        .bind(&change.key.name)
        .bind(change.from.iter().map(|state| state.as_str()).collect::<Vec<_>>())
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
