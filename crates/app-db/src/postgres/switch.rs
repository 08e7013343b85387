//! The dead man's switch: a trigger on the check-ins of Metabase's own nodes. Once the lease has run out it puts back
//! what [`Changed`] says that we have changed, each thing once, and otherwise does nothing.
//!
//! It runs in Metabase's own transactions: it waits for no lock, and no error of its reaches them.

use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{DeadMansSwitch, ReadOnlyBefore};
use metaferry_domain::schema::Dialect;
use metaferry_domain::{Cancellation, PortError};
use metaferry_metabase::quartz::{ALL_GROUPS_PAUSED, SCHEDULER_NAME, TRIGGER_ACCESS};
use metaferry_metabase::settings::{LAST_UPDATED, READ_ONLY_MODE};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::app_db::PostgresAppDb;
use super::own_tables::OwnTables;
use super::scheduler::wake_up;
use super::triggers;
use super::undo_script::{bumped, literal};
use crate::error::failed;
use crate::guard::{Effort, Fence};
use crate::patience::{GivenUp, PAUSE, Patience};
use crate::transaction::commit;
use crate::undo;

/// Where Metabase's nodes check in.
pub(super) const CHECK_INS: &str = "qrtz_scheduler_state";
/// The trigger's name there.
pub(super) const TRIGGER: &str = "metaferry_switch";

/// How long it is tried to take the trigger away, before it is left behind to do nothing.
const REMOVE_MAX: Duration = Duration::from_secs(12);
/// How long it is tried to make it.
const MAKE_MAX: Duration = Duration::from_secs(20);

/// What we have changed, as the switch reads it: written in the transaction that makes the change or takes it back.
pub(super) enum Changed<'a> {
    /// Read-only went on; what was there before.
    ReadOnly(&'a ReadOnlyBefore),
    /// Read-only is as it was.
    ReadOnlyRestored,
    /// The scheduler was paused; what was paused before, in JSON.
    Scheduler(&'a str),
    /// The scheduler is as it was.
    SchedulerRestored,
}

impl Changed<'_> {
    /// Writes it down.
    pub(super) async fn record(
        &self,
        own: &OwnTables,
        connection: &mut PgConnection,
    ) -> Result<(), PortError> {
        let table = own.switch();
        let (set, values): (&str, [Option<&str>; 2]) = match self {
            Self::ReadOnly(before) => (
                "read_only_engaged = true, read_only_before = $1, read_only_ours = $2",
                [before.value.as_deref(), Some(&before.ours)],
            ),
            Self::ReadOnlyRestored => (
                "read_only_engaged = false, read_only_before = $1, read_only_ours = $2",
                [None, None],
            ),
            Self::Scheduler(before) => ("scheduler_before = coalesce($1, $2)", [Some(before), None]),
            Self::SchedulerRestored => ("scheduler_before = coalesce($1, $2)", [None, None]),
        };
        let mut query = sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET {set} WHERE id = 1")));
        for value in values {
            query = query.bind(value);
        }
        query
            .execute(connection)
            .await
            .map(drop)
            .map_err(|error| failed("write down what must be put back", error))
    }
}

#[async_trait]
impl DeadMansSwitch for PostgresAppDb {
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        obstacle(&self.pool, &self.own).await
    }

    async fn arm(&self, token: FencingToken, cancel: &Cancellation) -> Result<SwitchStanding, PortError> {
        if let Some(why) = self.obstacle().await? {
            return Ok(SwitchStanding::Impossible { why });
        }
        let schema = triggers::schema(&self.pool).await?;
        let patience = Patience::new(MAKE_MAX, cancel);
        loop {
            let mut transaction = self.fenced(token).await?;
            let session = triggers::limit(&mut transaction).await?;
            triggers::run(
                &mut transaction,
                function(&self.own, &schema),
                "make the dead man's switch",
            )
            .await?;
            // One that could not be taken away does its work again.
            let there = triggers::exists(&mut transaction, CHECK_INS, TRIGGER).await?;
            let made = if there {
                Ok(())
            } else {
                let sql = format!(
                    "CREATE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE ON {CHECK_INS}
                     FOR EACH STATEMENT EXECUTE FUNCTION {}()",
                    self.own.switch_function()
                );
                let making = triggers::try_run(&mut transaction, sql);
                patience
                    .see(making, || triggers::end_statement(&self.pool, session))
                    .await
            };
            patience.check()?;
            match made {
                Ok(()) => {
                    commit(transaction, "make the dead man's switch").await?;
                    return Ok(SwitchStanding::Armed);
                }
                Err(error) => {
                    drop(transaction);
                    patience
                        .again(
                            error,
                            &format!("make the dead man's switch on {CHECK_INS}"),
                            PAUSE,
                        )
                        .await?;
                }
            }
        }
    }

    async fn disarm(&self, token: FencingToken) -> Result<(), PortError> {
        // At once, and whatever else is to come, it does nothing any more.
        let mut transaction = self.fenced(token).await?;
        for changed in [Changed::ReadOnlyRestored, Changed::SchedulerRestored] {
            changed.record(&self.own, &mut transaction).await?;
        }
        commit(transaction, "disarm the dead man's switch").await?;
        if let Err(error) = self.remove_switch(Fence::Lease(token), Effort::Asked).await {
            let why = error.leaves_behind()?;
            tracing::warn!(
                target: "cloud_migration", error = why.chain(),
                "the trigger {TRIGGER} on {CHECK_INS} stays behind for now: it does nothing, and goes by a node \
                 that serves, with the next migration, or by `metaferry recover` or `uninstall`"
            );
        }
        Ok(())
    }
}

impl PostgresAppDb {
    /// Takes trigger and function away, where they are.
    pub(super) async fn remove_switch(&self, fence: Fence, effort: Effort) -> Result<(), GivenUp> {
        let at_most = match effort {
            Effort::Asked => REMOVE_MAX,
            Effort::InPassing => Duration::ZERO,
        };
        self.remove_trigger(fence, CHECK_INS, TRIGGER, at_most).await?;
        let what = "remove the function of the dead man's switch";
        Ok(self
            .remove_function(fence, &self.own.switch_function(), what)
            .await?)
    }
}

/// Why there can be no switch, if so: whoever makes a trigger must also be able to take it away.
pub(super) async fn obstacle(pool: &PgPool, own: &OwnTables) -> Result<Option<String>, PortError> {
    let ask = |error| failed("look whether a dead man's switch can be made", error);
    let owns: Option<bool> = sqlx::query_scalar(
        "SELECT pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = to_regclass($1)",
    )
    .bind(CHECK_INS)
    .fetch_optional(pool)
    .await
    .map_err(ask)?;
    match owns {
        None => {
            return Ok(Some(format!(
                "there is no table {CHECK_INS}, where nodes would check in"
            )));
        }
        Some(false) => {
            return Ok(Some(format!(
                "this user does not own the table {CHECK_INS}, so that it may not take a trigger away again; connect as its \
                 owner, or GRANT the owner's role to this user"
            )));
        }
        Some(true) => {}
    }
    triggers::function_obstacle(pool, own).await
}

/// The function, which does not depend on what was changed.
fn function(own: &OwnTables, schema: &str) -> String {
    let (switch, lease) = (own.switch(), own.lease());
    let body = format!(
        "DECLARE
    saved record;
    latest text;
    next text;
    resumed boolean := false;
BEGIN
    SELECT s.* INTO saved FROM {switch} s, {lease} l
        WHERE s.id = 1 AND l.id = 1 AND l.expires_at <= clock_timestamp()
            AND (s.read_only_engaged OR s.scheduler_before IS NOT NULL);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Whoever takes the lease meanwhile waits until this transaction has ended.
    PERFORM 1 FROM {lease} WHERE id = 1 AND expires_at <= clock_timestamp() FOR UPDATE NOWAIT;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO saved FROM {switch} WHERE id = 1 FOR UPDATE NOWAIT;
    IF saved.scheduler_before IS NOT NULL THEN
        BEGIN
{scheduler}            UPDATE {switch} SET scheduler_before = NULL WHERE id = 1;
            resumed := true;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END IF;
    IF saved.read_only_engaged THEN
        BEGIN
{read_only}            UPDATE {switch} SET read_only_engaged = false WHERE id = 1;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END IF;
    IF resumed THEN
        -- A check-in itself, so that this function runs once more; it finds the schedules put back.
        BEGIN
            {wake_up};
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END",
        wake_up = wake_up(),
        scheduler = scheduler(),
        read_only = read_only(),
    );
    triggers::definer(&own.switch_function(), schema, &body)
}

/// The same as `resume_plan` of the crate `metaferry-metabase`, from its JSON.
fn scheduler() -> String {
    let scheduler = literal(SCHEDULER_NAME);
    let all = literal(ALL_GROUPS_PAUSED);
    let saved = "jsonb_array_elements(saved.scheduler_before::jsonb -> 'triggers') AS e (item)
                    WHERE e.item -> 'key' ->> 'group' = t.trigger_group AND e.item -> 'key' ->> 'name' = t.trigger_name";
    let groups = "saved.scheduler_before::jsonb -> 'groups'";
    format!(
        "            PERFORM 1 FROM qrtz_locks WHERE sched_name = {scheduler} AND lock_name = {lock} FOR UPDATE NOWAIT;
            WITH before AS MATERIALIZED (
                SELECT e.item -> 'key' ->> 'group' AS trigger_group, e.item -> 'key' ->> 'name' AS trigger_name,
                    e.item ->> 'state' AS state
                FROM jsonb_array_elements(saved.scheduler_before::jsonb -> 'triggers') AS e (item)
            )
            UPDATE qrtz_triggers t SET trigger_state = {resumed_state}
                WHERE t.sched_name = {scheduler} AND t.trigger_state IN ('PAUSED', 'PAUSED_BLOCKED')
                AND NOT EXISTS (SELECT 1 FROM before b WHERE b.trigger_group = t.trigger_group
                    AND b.trigger_name = t.trigger_name AND b.state IN ('PAUSED', 'PAUSED_BLOCKED'))
                AND (EXISTS (SELECT 1 FROM before b WHERE b.trigger_group = t.trigger_group
                        AND b.trigger_name = t.trigger_name AND b.state IN ('WAITING', 'ACQUIRED', 'BLOCKED'))
                    OR NOT ({groups} ? t.trigger_group OR {groups} ? {all}));
            DELETE FROM qrtz_paused_trigger_grps g
                WHERE g.sched_name = {scheduler} AND NOT ({groups} ? g.trigger_group)
                AND NOT ({groups} ? {all} AND EXISTS (SELECT 1 FROM qrtz_triggers t
                    WHERE t.sched_name = g.sched_name AND t.trigger_group = g.trigger_group
                    AND NOT EXISTS (SELECT 1 FROM {saved})));\n",
        lock = literal(TRIGGER_ACCESS),
        resumed_state = undo::resumed_state(Dialect::Postgres),
    )
}

/// The setting, if it is still as we wrote it, and then the bump that tells every node.
fn read_only() -> String {
    let (name, last_updated) = (literal(READ_ONLY_MODE), literal(LAST_UPDATED));
    format!(
        "            PERFORM 1 FROM setting WHERE key IN ({name}, {last_updated}) FOR UPDATE NOWAIT;
            IF saved.read_only_before IS NULL THEN
                DELETE FROM setting WHERE key = {name} AND value = saved.read_only_ours;
            ELSE
                UPDATE setting SET value = saved.read_only_before WHERE key = {name} AND value = saved.read_only_ours
                    AND value IS DISTINCT FROM saved.read_only_before;
            END IF;
            IF FOUND THEN
                SELECT value INTO latest FROM setting WHERE key = {last_updated};
                next := {next};
                IF next IS NOT NULL THEN
                    -- Never a time to come: the next check-in tries again.
                    IF next::timestamptz > clock_timestamp() THEN
                        RAISE EXCEPTION 'not yet';
                    END IF;
                    UPDATE setting SET value = next WHERE key = {last_updated};
                END IF;
            END IF;\n",
        next = bumped("latest"),
    )
}

#[cfg(test)]
mod tests {
    use super::{OwnTables, function};

    #[test]
    fn the_function_waits_for_nothing_and_lets_no_error_out() {
        let sql = function(&OwnTables::default(), "Odd \"one\"");
        assert_eq!(
            sql.matches("FOR UPDATE").count(),
            sql.matches("FOR UPDATE NOWAIT").count(),
            "{sql}"
        );
        assert!(sql.contains("SECURITY DEFINER"), "{sql}");
        assert!(
            sql.contains(r#"SET search_path = "Odd ""one""", pg_temp"#),
            "{sql}"
        );
        assert!(!sql.contains("pg_sleep"), "{sql}");
    }
}
