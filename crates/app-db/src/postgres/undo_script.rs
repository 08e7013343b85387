//! `undo.sql`: plain SQL that puts read-only and the scheduler back with `psql` alone, whatever became of us.

use std::path::PathBuf;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{ReadOnlyGuard, Scheduler, UndoScript};
use metaferry_domain::schema::Dialect;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::quartz::plan::PausedBefore;
use metaferry_metabase::quartz::{SCHEDULER_NAME, TRIGGER_ACCESS};
use metaferry_metabase::settings::{LAST_UPDATED, READ_ONLY_MODE};

use super::app_db::PostgresAppDb;
use super::connect::quoted;
use super::guard_triggers::is_ours;
use super::own_tables::OwnTables;
use super::read_only::column_obstacle;
use super::scheduler::{PostgresQuartz, wake_up};
use super::switch::TRIGGER as SWITCH;
use crate::error::failed;
use crate::transaction::commit;
use crate::undo::{self, Conditions};

/// Writes `undo.sql` into a folder and keeps the same text in the app DB.
#[derive(Debug)]
pub struct PostgresUndoScript {
    app_db: PostgresAppDb,
    folder: PathBuf,
}

impl PostgresUndoScript {
    /// A script in that folder.
    #[must_use]
    pub fn new(app_db: PostgresAppDb, folder: PathBuf) -> Self {
        Self { app_db, folder }
    }
}

#[async_trait]
impl UndoScript for PostgresUndoScript {
    async fn store(&self, token: FencingToken) -> Result<String, PortError> {
        let read_only = self.app_db.before().await?;
        let quartz = PostgresQuartz::new(self.app_db.clone()).before().await?;
        let paused: PausedBefore = serde_json::from_str(&quartz.json).map_err(|error| {
            PortError::new(
                ErrorKind::Corrupt,
                "what was read of Quartz's triggers cannot be read again",
            )
            .because(error)
        })?;
        let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
            .fetch_one(&self.app_db.pool)
            .await
            .map_err(|error| failed("ask for Metabase's schema", error))?;
        let mut connection = self
            .app_db
            .pool
            .acquire()
            .await
            .map_err(|error| failed("read the columns of the table setting", error))?;
        let by_api_alone = column_obstacle(&mut connection).await?.is_some();
        drop(connection);
        let sql = script(&Before {
            schema: &schema,
            // Written as ours it is left alone.
            read_only: if by_api_alone {
                Some(&read_only.ours)
            } else {
                read_only.value.as_deref()
            },
            ours: &read_only.ours,
            paused: &paused,
            own: &self.app_db.own,
        });
        let sql = if by_api_alone {
            format!("{}{sql}", undo::by_api(read_only.value.as_deref()))
        } else {
            sql
        };
        let mut transaction = self.app_db.fenced(token).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO {} (id, sql) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET sql = $1",
            self.app_db.own.undo_script()
        )))
        .bind(&sql)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("keep undo.sql in the app DB", error))?;
        commit(transaction, "keep undo.sql in the app DB").await?;
        undo::write(&self.folder, &sql).await
    }
}

/// What [`script`] puts back, read while nothing was changed yet.
struct Before<'a> {
    /// Metabase's schema: a session of `psql` may have another search path.
    schema: &'a str,
    read_only: Option<&'a str>,
    ours: &'a str,
    paused: &'a PausedBefore,
    own: &'a OwnTables,
}

/// The script: one statement, so that it is done as a whole or not at all, whatever runs it.
fn script(before: &Before<'_>) -> String {
    let mut body = format!(
        "DECLARE\n    latest text;\n    next text;\n    ours record;\nBEGIN\n    PERFORM set_config('search_path', {}, true);\n",
        literal(&quoted(before.schema))
    );
    body.push_str(&read_only(before.read_only, before.ours));
    body.push_str("    IF to_regclass('qrtz_triggers') IS NOT NULL THEN\n");
    body.push_str(&scheduler(before.paused));
    body.push_str("    END IF;\n");
    body.push_str(&own_rows(before.own));
    body.push_str(&triggers(before.own));
    body.push_str("END\n");
    let mut tag = String::from("$metaferry$");
    while body.contains(&tag) {
        tag.insert(1, 'x');
    }
    format!(
        "-- Puts back what Metaferry changes in this app DB: the read-only setting and Quartz's triggers.\n\
         -- Run it with psql if no Metaferry can. Running it again changes nothing.\nDO {tag}\n{body}{tag};\n"
    )
}

/// The setting, if it is still as we wrote it, and then the bump that tells every node.
fn read_only(value: Option<&str>, ours: &str) -> String {
    if value == Some(ours) {
        return String::new();
    }
    let ours_only = format!("key = {} AND value = {}", literal(READ_ONLY_MODE), literal(ours));
    let put_back = match value {
        Some(value) => format!("UPDATE setting SET value = {} WHERE {ours_only}", literal(value)),
        None => format!("DELETE FROM setting WHERE {ours_only}"),
    };
    // The next whole second, as `bump` of the crate `metaferry-metabase` writes it: with the digits of its fraction, for
    // collations that ignore punctuation.
    format!(
        "    {put_back};
    IF FOUND THEN
        SELECT value INTO latest FROM setting WHERE key = {last_updated} FOR UPDATE;
        next := {next};
        IF next IS NOT NULL THEN
            PERFORM pg_sleep(least(10, greatest(0, extract(epoch FROM next::timestamptz - clock_timestamp()))));
            UPDATE setting SET value = next WHERE key = {last_updated};
        ELSE
            RAISE WARNING 'nodes of Metabase notice the change of % only when another setting changes', {name};
        END IF;
    END IF;\n",
        next = bumped("latest"),
        last_updated = literal(LAST_UPDATED),
        name = literal(READ_ONLY_MODE),
    )
}

/// The next whole second after the text `latest`, as `bump` of the crate `metaferry-metabase` writes it; NULL of a text
/// that is no time.
pub(super) fn bumped(latest: &str) -> String {
    format!(
        "to_char(substring({latest} FROM '^[0-9-]+ [0-9:]+')::timestamp + interval '1 second', 'YYYY-MM-DD HH24:MI:SS.US')
            || substring({latest} FROM '[+-][0-9:]+$')"
    )
}

/// What was put back by hand is not put back again, and tables that are guarded can be written again.
fn own_rows(own: &OwnTables) -> String {
    let (switch, lease) = (own.switch(), own.lease());
    format!(
        "    BEGIN
        IF to_regclass({switch_name}) IS NOT NULL THEN
            EXECUTE 'UPDATE {switch} SET read_only_engaged = false, scheduler_before = NULL';
            EXECUTE 'UPDATE {lease} SET guard_token = NULL, guard_until = NULL';
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'this user may not write {switch} and {lease}: tables that are guarded are free once the lease has run out';
    END;\n",
        switch_name = literal(&switch),
    )
}

/// Triggers that do nothing any more, and their functions. What others use stays: its lock is kept to the end of all, so
/// that nobody may be waited for.
fn triggers(own: &OwnTables) -> String {
    let (guard, switch) = (own.guard_function(), own.switch_function());
    let ours = is_ours(Some(SWITCH));
    format!(
        "    PERFORM set_config('lock_timeout', '10ms', true);
    FOR ours IN
        SELECT tgname, tgrelid::regclass AS relation FROM pg_catalog.pg_trigger
            JOIN pg_catalog.pg_class c ON c.oid = tgrelid
        WHERE {ours} AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
    LOOP
        BEGIN
            EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', ours.tgname, ours.relation);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'the trigger % on % stays, and does nothing: %; run this again, or metaferry recover',
                ours.tgname, ours.relation, SQLERRM;
        END;
    END LOOP;
    BEGIN
        DROP FUNCTION IF EXISTS {guard}(), {switch}();
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'functions of Metaferry stay, and do nothing: %', SQLERRM;
    END;\n"
    )
}

/// The same as `resume_plan` of the crate `metaferry-metabase`, in SQL.
fn scheduler(paused: &PausedBefore) -> String {
    let scheduler = literal(SCHEDULER_NAME);
    let Conditions { resumed, unlisted } = undo::conditions(paused, "qrtz_triggers", literal);
    format!(
        "        PERFORM 1 FROM qrtz_locks WHERE sched_name = {scheduler} AND lock_name = {lock} FOR UPDATE;
        UPDATE qrtz_triggers t SET trigger_state = {resumed_state}
            WHERE t.sched_name = {scheduler} AND t.trigger_state IN ('PAUSED', 'PAUSED_BLOCKED'){resumed};
        IF FOUND THEN
            -- Nodes look for themselves as well, within half a minute.
            BEGIN
                {wake_up};
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;
            END;
        END IF;
        DELETE FROM qrtz_paused_trigger_grps g WHERE g.sched_name = {scheduler}{unlisted};\n",
        lock = literal(TRIGGER_ACCESS),
        resumed_state = undo::resumed_state(Dialect::Postgres),
        wake_up = wake_up(),
    )
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, OwnTables, literal, script};
    use metaferry_metabase::quartz::plan::PausedBefore;

    #[test]
    fn quotes_what_could_end_a_literal() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'"), r"E'a\\'''");
    }

    #[test]
    fn no_value_can_end_the_statement() {
        let sql = script(&Before {
            schema: "public",
            read_only: Some("$metaferry$; DROP TABLE setting;"),
            ours: "true",
            paused: &PausedBefore::default(),
            own: &OwnTables::default(),
        });
        assert!(
            sql.contains("DO $xmetaferry$\n") && sql.ends_with("END\n$xmetaferry$;\n"),
            "{sql}"
        );
    }
}
