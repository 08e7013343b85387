//! What `undo.sql` says on every database: which triggers run again and which groups are no longer paused, and the file
//! that it is written to.

use std::fmt::Write as _;
use std::path::Path;

use metaferry_domain::schema::Dialect;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::quartz::plan::PausedBefore;
use metaferry_metabase::quartz::{ALL_GROUPS_PAUSED, QuartzTable, TriggerState};
use tokio::io::AsyncWriteExt as _;

const WRITING: &str = "writing to a string cannot fail";

/// Name of the script until it is complete.
pub const UNFINISHED: &str = "undo.sql.new";

/// Writes `undo.sql` into that folder and says where it is. By renaming: half a script is worse than none.
pub(crate) async fn write(folder: &Path, sql: &str) -> Result<String, PortError> {
    let path = folder.join("undo.sql");
    let written = async {
        let new = folder.join(UNFINISHED);
        let mut file = tokio::fs::File::create(&new).await?;
        file.write_all(sql.as_bytes()).await?;
        file.sync_all().await?;
        tokio::fs::rename(&new, &path).await
    };
    written.await.map_err(|error: std::io::Error| {
        PortError::new(ErrorKind::Denied, format!("write {}", path.display())).because(error)
    })?;
    Ok(path.display().to_string())
}

/// What the script says where only Metabase itself can write the setting rightly.
pub(crate) fn by_api(before: Option<&str>) -> String {
    let value = before.unwrap_or("null");
    format!(
        "-- Read-only is not put back here: in this version only Metabase writes the setting rightly. As an administrator:\n\
         --     curl -X PUT -H 'x-api-key: …' -H 'content-type: application/json' -d '{{\"value\": {value}}}' \\\n\
         --         https://METABASE/api/setting/read-only-mode\n"
    )
}

/// What follows `WHERE … ` of the two statements that put the scheduler back, each beginning with ` AND` or empty.
pub(crate) struct Conditions {
    /// Of the paused triggers `t`, those that run again.
    pub(crate) resumed: String,
    /// Of the paused groups `g`, those that were not paused before.
    pub(crate) unlisted: String,
}

/// The same as `resume_plan` of the crate `metaferry-metabase`, in SQL. `triggers` is the table's name.
pub(crate) fn conditions(
    paused: &PausedBefore,
    triggers: &str,
    literal: impl Fn(&str) -> String,
) -> Conditions {
    let keys = |wanted: fn(TriggerState) -> bool| {
        let saved = paused.triggers.iter().filter(|saved| wanted(saved.state));
        list(saved.map(|saved| format!("({}, {})", literal(&saved.key.group), literal(&saved.key.name))))
    };
    let is_key = "(t.trigger_group, t.trigger_name)";
    let groups = list(paused.groups.iter().map(|group| literal(group)));
    let all_paused = paused.groups.contains(ALL_GROUPS_PAUSED);
    let mut resumed = String::new();
    if let Some(keys) = keys(TriggerState::is_paused) {
        write!(resumed, " AND {is_key} NOT IN ({keys})").expect(WRITING);
    }
    let mut unlisted = String::new();
    if let Some(groups) = &groups {
        // Triggers that came meanwhile stay paused where Quartz alone would have stored them so.
        let elsewhere = if all_paused {
            "false".to_owned()
        } else {
            format!("t.trigger_group NOT IN ({groups})")
        };
        match keys(is_running) {
            Some(running) => write!(resumed, " AND ({elsewhere} OR {is_key} IN ({running}))").expect(WRITING),
            None => write!(resumed, " AND {elsewhere}").expect(WRITING),
        }
        write!(unlisted, " AND g.trigger_group NOT IN ({groups})").expect(WRITING);
    }
    if all_paused {
        let but = keys(|_| true)
            .map(|keys| format!(" AND {is_key} NOT IN ({keys})"))
            .unwrap_or_default();
        write!(
            unlisted,
            " AND NOT EXISTS (SELECT 1 FROM {triggers} t WHERE t.sched_name = g.sched_name \
             AND t.trigger_group = g.trigger_group{but})"
        )
        .expect(WRITING);
    }
    Conditions { resumed, unlisted }
}

/// The state that a paused trigger `t` gets when it runs again: the same as `resume_plan` of the crate `metaferry-metabase`,
/// in SQL.
pub(crate) fn resumed_state(dialect: Dialect) -> String {
    let [jobs, fired, nodes] = [
        QuartzTable::JobDetails,
        QuartzTable::FiredTriggers,
        QuartzTable::SchedulerState,
    ]
    .map(|table| table.name(dialect));
    format!(
        "CASE WHEN EXISTS (
                SELECT 1 FROM {jobs} j
                JOIN {fired} f
                    ON f.sched_name = j.sched_name AND f.job_group = j.job_group AND f.job_name = j.job_name
                WHERE j.is_nonconcurrent AND j.sched_name = t.sched_name
                    AND j.job_group = t.job_group AND j.job_name = t.job_name
            ) THEN 'BLOCKED' WHEN EXISTS (
                SELECT 1 FROM {fired} f
                JOIN {nodes} n ON n.sched_name = f.sched_name AND n.instance_name = f.instance_name
                WHERE f.sched_name = t.sched_name AND f.trigger_group = t.trigger_group
                    AND f.trigger_name = t.trigger_name AND f.state = 'ACQUIRED' AND f.sched_time = t.next_fire_time
            ) THEN 'ACQUIRED' ELSE 'WAITING' END"
    )
}

/// Ran before, and is resumed whatever groups were paused. What had ended counts as new when it is there again.
fn is_running(state: TriggerState) -> bool {
    match state {
        TriggerState::Waiting | TriggerState::Acquired | TriggerState::Blocked => true,
        TriggerState::Paused
        | TriggerState::PausedBlocked
        | TriggerState::Complete
        | TriggerState::Error
        | TriggerState::Deleted => false,
    }
}

/// Joined by commas; `None` for an empty list, which SQL does not have.
fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let text = items.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}
