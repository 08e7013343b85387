//! `undo.sql`: plain SQL that puts read-only and the scheduler back with `psql` alone, whatever became of us.

use std::fmt::Write as _;
use std::path::PathBuf;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{ReadOnlyGuard, Scheduler, UndoScript};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::quartz::plan::PausedBefore;
use metaferry_metabase::quartz::{SCHEDULER_NAME, TRIGGER_ACCESS};
use metaferry_metabase::settings::{LAST_UPDATED, READ_ONLY_MODE};

use super::app_db::{PostgresAppDb, commit};
use super::scheduler::PostgresQuartz;
use crate::error::failed;

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
            PortError::new(ErrorKind::Corrupt, "what was read of Quartz's triggers cannot be read again").because(error)
        })?;
        let sql = script(read_only.value.as_deref(), &read_only.ours, &paused);
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
        let path = self.folder.join("undo.sql");
        tokio::fs::write(&path, &sql).await.map_err(|error| {
            PortError::new(ErrorKind::Denied, format!("write {}", path.display())).because(error)
        })?;
        Ok(path.display().to_string())
    }
}

/// The script, for a database that is now as it is to be again.
fn script(read_only: Option<&str>, ours: &str, paused: &PausedBefore) -> String {
    let mut sql = String::from(
        "-- Puts back what Metaferry changes in this app DB: the read-only setting and Quartz's triggers.\n\
         -- Run it with psql if no Metaferry can. Running it twice does no harm.\nBEGIN;\n",
    );
    let scheduler = literal(SCHEDULER_NAME);
    let mut line = |text: String| {
        sql.push_str(&text);
        sql.push('\n');
    };
    let ours_only = format!("key = {} AND value = {}", literal(READ_ONLY_MODE), literal(ours));
    line(match read_only {
        Some(value) => format!("UPDATE setting SET value = {} WHERE {ours_only};", literal(value)),
        None => format!("DELETE FROM setting WHERE {ours_only};"),
    });
    // The next whole second of what is there: later than it for every node, and never in the future for long.
    line(format!(
        "UPDATE setting SET value = to_char((substring(value from 1 for 19))::timestamp + interval '1 second', \
         'YYYY-MM-DD HH24:MI:SS') || substring(value from '[+-][0-9:]+$') WHERE key = {};",
        literal(LAST_UPDATED)
    ));
    line(format!(
        "SELECT 1 FROM qrtz_locks WHERE sched_name = {scheduler} AND lock_name = {} FOR UPDATE;",
        literal(TRIGGER_ACCESS)
    ));
    let keys = list(paused.triggers.iter().filter(|saved| saved.state.is_paused()).map(|saved| {
        format!("({}, {})", literal(&saved.key.group), literal(&saved.key.name))
    }));
    let but = keys.map(|keys| format!(" AND (trigger_group, trigger_name) NOT IN ({keys})")).unwrap_or_default();
    line(format!(
        "UPDATE qrtz_triggers t SET trigger_state = CASE WHEN EXISTS (SELECT 1 FROM qrtz_job_details j \
         JOIN qrtz_fired_triggers f ON f.sched_name = j.sched_name AND f.job_group = j.job_group AND f.job_name = j.job_name \
         WHERE j.is_nonconcurrent AND j.sched_name = t.sched_name AND j.job_group = t.job_group AND j.job_name = t.job_name) \
         THEN 'BLOCKED' ELSE 'WAITING' END \
         WHERE sched_name = {scheduler} AND trigger_state IN ('PAUSED', 'PAUSED_BLOCKED'){but};"
    ));
    let groups = list(paused.groups.iter().map(|group| literal(group)));
    let but = groups.map(|groups| format!(" AND trigger_group NOT IN ({groups})")).unwrap_or_default();
    line(format!("DELETE FROM qrtz_paused_trigger_grps WHERE sched_name = {scheduler}{but};"));
    sql.push_str("COMMIT;\n");
    sql
}

/// Joined by commas; `None` for an empty list, which SQL does not have.
fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{item}").expect("writing to a string cannot fail");
    }
    (!text.is_empty()).then_some(text)
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{literal, script};
    use metaferry_metabase::quartz::plan::PausedBefore;

    #[test]
    fn quotes_what_could_end_a_literal() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'"), r"E'a\\'''");
    }

    #[test]
    fn removes_the_setting_that_was_not_there() {
        let sql = script(None, "true", &PausedBefore::default());
        assert!(sql.contains("DELETE FROM setting WHERE key = 'read-only-mode' AND value = 'true';"), "{sql}");
    }
}
