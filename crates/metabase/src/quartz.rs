//! Metabase's job scheduler (Quartz, clustered, in the database) as an outsider must know it: names of tables and
//! columns, states, and which nodes are alive. How it is paused and resumed exactly is in [`plan`]. Running the
//! statements is the adapter's work.

pub mod liveness;
pub mod plan;

use metaferry_domain::schema::Dialect;
use std::fmt;

/// The scheduler's name: the value of `SCHED_NAME` in every row of ours. Always filter on it.
pub const SCHEDULER_NAME: &str = "MetabaseScheduler";
/// Stands in the paused groups for "all of them, and those to come".
pub const ALL_GROUPS_PAUSED: &str = "_$_ALL_GROUPS_PAUSED_$_";
/// Row of the locks table that pausing and resuming hold. Milliseconds only: every node waits for it.
pub const TRIGGER_ACCESS: &str = "TRIGGER_ACCESS";
/// Row of the locks table that check-ins hold. When both are needed, take this one first.
pub const STATE_ACCESS: &str = "STATE_ACCESS";
/// Name of a node that never was: nodes that find nothing to fire look again after up to half a minute, but at once when
/// they have recovered a node that is gone. So a row of that name, long silent, has them look at their next check-in, which
/// removes it.
pub const WAKE_UP: &str = "metaferry";
/// How often a node checks in, unless its row says otherwise, in milliseconds.
pub const CHECKIN_INTERVAL_MS: i64 = 7_500;
/// A trigger that is late by less simply fires late, in milliseconds; a later one gets its misfire instruction.
pub const MISFIRE_THRESHOLD_MS: i64 = 900_000;

/// A table of Quartz's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuartzTable {
    /// Jobs.
    JobDetails,
    /// Triggers of every kind.
    Triggers,
    /// What only cron triggers have.
    CronTriggers,
    /// What only simple triggers have.
    SimpleTriggers,
    /// What only triggers with properties have.
    SimpropTriggers,
    /// What only serialised triggers have.
    BlobTriggers,
    /// Calendars.
    Calendars,
    /// Groups of triggers that are paused.
    PausedTriggerGroups,
    /// Triggers that a node has claimed or is running.
    FiredTriggers,
    /// Check-ins of nodes.
    SchedulerState,
    /// Lock rows.
    Locks,
}

impl QuartzTable {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::JobDetails,
        Self::Triggers,
        Self::CronTriggers,
        Self::SimpleTriggers,
        Self::SimpropTriggers,
        Self::BlobTriggers,
        Self::Calendars,
        Self::PausedTriggerGroups,
        Self::FiredTriggers,
        Self::SchedulerState,
        Self::Locks,
    ];

    /// The name as that database spells it: lower case in Postgres, upper case in MySQL and H2.
    #[must_use]
    pub fn name(self, dialect: Dialect) -> String {
        spell(self.lower_case_name(), dialect)
    }

    fn lower_case_name(self) -> &'static str {
        match self {
            Self::JobDetails => "qrtz_job_details",
            Self::Triggers => "qrtz_triggers",
            Self::CronTriggers => "qrtz_cron_triggers",
            Self::SimpleTriggers => "qrtz_simple_triggers",
            Self::SimpropTriggers => "qrtz_simprop_triggers",
            Self::BlobTriggers => "qrtz_blob_triggers",
            Self::Calendars => "qrtz_calendars",
            Self::PausedTriggerGroups => "qrtz_paused_trigger_grps",
            Self::FiredTriggers => "qrtz_fired_triggers",
            Self::SchedulerState => "qrtz_scheduler_state",
            Self::Locks => "qrtz_locks",
        }
    }
}

/// Spells a column of Quartz's (given in lower case) as that database does.
#[must_use]
pub fn column(lower_case: &str, dialect: Dialect) -> String {
    spell(lower_case, dialect)
}

fn spell(lower_case: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => lower_case.to_owned(),
        Dialect::MySql | Dialect::H2 => lower_case.to_uppercase(),
    }
}

/// `QRTZ_TRIGGERS.TRIGGER_STATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TriggerState {
    /// Waits for its time.
    Waiting,
    /// A node has claimed it and is about to fire it.
    Acquired,
    /// Its job runs and must not run twice.
    Blocked,
    /// Paused.
    Paused,
    /// Paused, and its job runs.
    PausedBlocked,
    /// Will never fire again.
    Complete,
    /// Could not be fired.
    Error,
    /// Deleted.
    Deleted,
}

impl TriggerState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Acquired,
        Self::Blocked,
        Self::Paused,
        Self::PausedBlocked,
        Self::Complete,
        Self::Error,
        Self::Deleted,
    ];

    /// As Quartz stores it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Acquired => "ACQUIRED",
            Self::Blocked => "BLOCKED",
            Self::Paused => "PAUSED",
            Self::PausedBlocked => "PAUSED_BLOCKED",
            Self::Complete => "COMPLETE",
            Self::Error => "ERROR",
            Self::Deleted => "DELETED",
        }
    }

    /// Reads a stored text; `None` for a state that Quartz 2.3 does not have.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Is it one of the two paused states?
    #[must_use]
    pub fn is_paused(self) -> bool {
        match self {
            Self::Paused | Self::PausedBlocked => true,
            Self::Waiting | Self::Acquired | Self::Blocked | Self::Complete | Self::Error | Self::Deleted => {
                false
            }
        }
    }
}

impl fmt::Display for TriggerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `QRTZ_FIRED_TRIGGERS.STATE`. The row of a finished run is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FiredState {
    /// Claimed, not running yet.
    Acquired,
    /// Running.
    Executing,
}

impl FiredState {
    /// As Quartz stores it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "ACQUIRED",
            Self::Executing => "EXECUTING",
        }
    }

    /// Reads a stored text; `None` for a state that Quartz 2.3 does not have.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Acquired, Self::Executing]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// Key of a trigger within the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TriggerKey {
    /// `TRIGGER_GROUP`.
    pub group: String,
    /// `TRIGGER_NAME`.
    pub name: String,
}

/// Key of a job within the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey {
    /// `JOB_GROUP`.
    pub group: String,
    /// `JOB_NAME`.
    pub name: String,
}

/// Whether runs of a job may overlap: `IS_NONCONCURRENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// They may.
    Concurrent,
    /// They may not; its triggers are blocked while it runs.
    NonConcurrent,
}

/// A row of `QRTZ_TRIGGERS`, joined with its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRow {
    /// Key.
    pub key: TriggerKey,
    /// Its job.
    pub job: JobKey,
    /// The job's `IS_NONCONCURRENT` in `QRTZ_JOB_DETAILS`.
    pub concurrency: Concurrency,
    /// State.
    pub state: TriggerState,
    /// `NEXT_FIRE_TIME`, in milliseconds since 1970.
    pub next_fire_ms: Option<i64>,
}

/// A row of `QRTZ_FIRED_TRIGGERS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredRow {
    /// `INSTANCE_NAME` of the node.
    pub instance: String,
    /// State.
    pub state: FiredState,
    /// The trigger.
    pub trigger: TriggerKey,
    /// `SCHED_TIME`: the time that it is claimed or run for, in milliseconds since 1970. Metabase's schema lets it be NULL.
    pub scheduled_ms: Option<i64>,
    /// The job; Quartz leaves it NULL while the trigger is only claimed.
    pub job: Option<JobKey>,
}

#[cfg(test)]
mod tests;
