//! `undo.sql`: plain SQL that puts read-only and the scheduler back with `mysql` or `mariadb` alone, whatever became of
//! us. MySQL has no statement that decides, so each statement carries its own condition, and one transaction holds them.

use std::path::PathBuf;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{ReadOnlyGuard, Scheduler, UndoScript};
use metaferry_domain::schema::Dialect;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::quartz::plan::PausedBefore;
use metaferry_metabase::quartz::{SCHEDULER_NAME, TRIGGER_ACCESS};
use metaferry_metabase::settings::{LAST_UPDATED, READ_ONLY_MODE};

use super::app_db::MySqlAppDb;
use super::connect::{database, quoted};
use super::guard;
use super::guard_triggers::Trigger;
use super::read_only::column_obstacle;
use super::scheduler::{MySqlQuartz, exists, wake_up};
use crate::error::failed;
use crate::transaction::commit;
use crate::undo::{self, Conditions};

/// Writes `undo.sql` into a folder and keeps the same text in the app DB.
#[derive(Debug)]
pub struct MySqlUndoScript {
    app_db: MySqlAppDb,
    folder: PathBuf,
}

impl MySqlUndoScript {
    /// A script in that folder.
    #[must_use]
    pub fn new(app_db: MySqlAppDb, folder: PathBuf) -> Self {
        Self { app_db, folder }
    }
}

#[async_trait]
impl UndoScript for MySqlUndoScript {
    async fn store(&self, token: FencingToken) -> Result<String, PortError> {
        let read_only = self.app_db.before().await?;
        let saved = MySqlQuartz::new(self.app_db.clone()).before().await?;
        let paused: PausedBefore = serde_json::from_str(&saved.json).map_err(|error| {
            PortError::new(
                ErrorKind::Corrupt,
                "what was read of Quartz's triggers cannot be read again",
            )
            .because(error)
        })?;
        let mut connection = self.app_db.connection().await?;
        let database = database(&mut connection).await?;
        let quartz = exists(&mut connection).await?.then_some(&paused);
        let by_api_alone = column_obstacle(&mut connection).await?.is_some();
        drop(connection);
        let triggers = guard::expected(&self.app_db.pool).await?;
        let before = read_only.value.as_deref();
        let sql = if by_api_alone {
            // Written as ours it is left alone.
            let ours = read_only.ours.as_str();
            undo::by_api(before) + &script(&database, Some(ours), ours, quartz)
        } else {
            script(&database, before, &read_only.ours, quartz)
        } + &removal(&triggers);
        let mut transaction = self.app_db.fenced(token).await?;
        sqlx::query(
            "INSERT INTO metaferry_undo_script (id, `sql`) VALUES (1, ?) ON DUPLICATE KEY UPDATE `sql` = ?",
        )
        .bind(&sql)
        .bind(&sql)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed("keep undo.sql in the app DB", error))?;
        commit(transaction, "keep undo.sql in the app DB").await?;
        undo::write(&self.folder, &sql).await
    }
}

/// The script. `quartz` is what was paused before; `None` where there is no Quartz.
fn script(database: &str, read_only: Option<&str>, ours: &str, quartz: Option<&PausedBefore>) -> String {
    format!(
        "-- Puts back what Metaferry changes in this app DB: the read-only setting and Quartz's triggers.\n\
         -- Run it with mysql or mariadb if no Metaferry can. Running it again changes nothing.\n\
         USE {};\nSET NAMES utf8mb4;\nSTART TRANSACTION;\n{}{}COMMIT;\n{}",
        quoted(database),
        setting(read_only, ours),
        quartz.map(scheduler).unwrap_or_default(),
        // Last, and outside: nodes look for themselves as well, within half a minute.
        quartz
            .map(|_| wake_up(" AND @metaferry_resumed > 0") + ";\n")
            .unwrap_or_default()
    )
}

/// Triggers that keep tables still, where there are any: they refuse as long as a Metaferry lives that made them.
fn removal(triggers: &[Trigger]) -> String {
    let drops: Vec<String> = triggers
        .iter()
        .map(|trigger| format!("DROP TRIGGER IF EXISTS {};\n", quoted(&trigger.name)))
        .collect();
    format!("SET SESSION lock_wait_timeout = 10;\n{}", drops.concat())
}

/// The setting, if it is still as we wrote it, and then the bump that tells every node.
fn setting(value: Option<&str>, ours: &str) -> String {
    if value == Some(ours) {
        return String::new();
    }
    let ours_only = format!(
        "`key` = {} AND BINARY `value` = {}",
        literal(READ_ONLY_MODE),
        literal(ours)
    );
    let put_back = match value {
        Some(value) => format!(
            "UPDATE setting SET `value` = {} WHERE {ours_only}",
            literal(value)
        ),
        None => format!("DELETE FROM setting WHERE {ours_only}"),
    };
    // The next whole second, as `bump` of the crate `metaferry-metabase` writes it, once the clock has come to it.
    format!(
        "{put_back};
SET @metaferry_changed = ROW_COUNT();
SET @metaferry_next = IF(@metaferry_changed > 0, (SELECT DATE_FORMAT(DATE_ADD(LEFT(`value`, 19), INTERVAL 1 SECOND),
    '%Y-%m-%d %H:%i:%s') FROM setting WHERE `key` = {last_updated} FOR UPDATE), NULL);
DO SLEEP(LEAST(10, GREATEST(0, COALESCE(TIMESTAMPDIFF(SECOND,
    CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone), @metaferry_next), 0))));
UPDATE setting SET `value` = @metaferry_next WHERE `key` = {last_updated} AND @metaferry_next IS NOT NULL;\n",
        last_updated = literal(LAST_UPDATED),
    )
}

/// The same as `resume_plan` of the crate `metaferry-metabase`, in SQL.
fn scheduler(paused: &PausedBefore) -> String {
    let scheduler = literal(SCHEDULER_NAME);
    let Conditions { resumed, unlisted } = undo::conditions(paused, "QRTZ_TRIGGERS", literal);
    format!(
        "SELECT lock_name AS held FROM QRTZ_LOCKS WHERE sched_name = {scheduler} AND lock_name = {lock} FOR UPDATE;
UPDATE QRTZ_TRIGGERS t SET trigger_state = {resumed_state}
    WHERE t.sched_name = {scheduler} AND t.trigger_state IN ('PAUSED', 'PAUSED_BLOCKED'){resumed};
SET @metaferry_resumed = ROW_COUNT();
DELETE g FROM QRTZ_PAUSED_TRIGGER_GRPS g WHERE g.sched_name = {scheduler}{unlisted};\n",
        lock = literal(TRIGGER_ACCESS),
        resumed_state = undo::resumed_state(Dialect::MySql),
    )
}

/// A string literal that means the same whatever `sql_mode` says of backslashes.
pub(super) fn literal(text: &str) -> String {
    use std::fmt::Write as _;

    if !text.contains(['\\', '\0']) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    text.bytes().fold("_utf8mb4 x'".to_owned(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    }) + "'"
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn quotes_what_could_end_a_literal() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'"), "_utf8mb4 x'5c27'");
    }
}
