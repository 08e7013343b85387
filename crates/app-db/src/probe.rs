//! What a migration would stumble over later, looked for beforehand: values that no H2 file can hold, and rights that
//! are missing. Looks only; changes nothing.

use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::schema::Catalogue;

/// How long one table's values are looked through before the answer is that nobody knows.
pub(crate) const TABLE_MAX: Duration = Duration::from_secs(20);

/// Metabase's tables that switching to read-only and pausing the scheduler write to or look at, with what they are asked for.
pub(crate) const WRITTEN: [(&str, &[&str]); 7] = [
    ("setting", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("cloud_migration", &["SELECT", "INSERT", "UPDATE"]),
    ("qrtz_triggers", &["SELECT", "UPDATE"]),
    ("qrtz_paused_trigger_grps", &["SELECT", "INSERT", "DELETE"]),
    ("qrtz_locks", &["SELECT", "INSERT", "UPDATE"]),
    ("qrtz_fired_triggers", &["SELECT"]),
    ("qrtz_scheduler_state", &["SELECT"]),
];

/// A column with values that H2 cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unholdable {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// What it holds, in words.
    pub what: &'static str,
}

/// What looking through values gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    /// Found.
    pub unholdable: Vec<Unholdable>,
    /// Tables that could not be looked through in time, or not at all.
    pub unknown: Vec<String>,
}

/// A right that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// Table.
    pub table: String,
    /// As GRANT spells them.
    pub rights: Vec<String>,
}

/// Views that would not travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenViews {
    /// Names.
    pub names: Vec<String>,
    /// What an administrator must do, in words.
    pub remedy: String,
}

/// Looks at an app DB before a migration. Every method fails only if the server cannot be reached.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Looks through the columns of `tables` whose type has values that H2 cannot hold: one statement per table.
    async fn values(&self, catalogue: &Catalogue, tables: &[String]) -> Result<Values, PortError>;

    /// Rights that are missing on the tables that a migration writes to, as far as these are there.
    async fn missing_rights(&self) -> Result<Vec<MissingRight>, PortError>;

    /// Views whose queries this user is not shown, so that they would be left out, and what to do about it; `None` if all
    /// are shown.
    async fn hidden_views(&self) -> Result<Option<HiddenViews>, PortError> {
        Ok(None)
    }

    /// May our own tables be made, or are they there?
    async fn may_keep_own_tables(&self) -> Result<bool, PortError>;
}
