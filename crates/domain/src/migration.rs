//! Ids and facts of one migration, as every port names them.

use std::fmt;

use uuid::Uuid;

/// Our own id of a migration, the same over all attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct MigrationId(pub Uuid);

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a migration was begun, from 1; a retry counts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Attempt(pub u32);

/// The key of our row in `cloud_migration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RowId(pub i64);

/// Where a migration stands, in the words of `cloud_migration.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Begun: preflight, lease, store, row.
    Init,
    /// Read-only and quiesce.
    Setup,
    /// The snapshot is being copied and checked.
    Dump,
    /// The dump is on its way.
    Upload,
    /// Arrived and verified.
    Done,
    /// Failed, and undone.
    Error,
    /// Ended by a person.
    Cancelled,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 7] = [
        Self::Init,
        Self::Setup,
        Self::Dump,
        Self::Upload,
        Self::Done,
        Self::Error,
        Self::Cancelled,
    ];

    /// Nothing follows but a retry.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Done | Self::Error | Self::Cancelled => true,
            Self::Init | Self::Setup | Self::Dump | Self::Upload => false,
        }
    }

    /// The text stored in `cloud_migration.state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Setup => "setup",
            Self::Dump => "dump",
            Self::Upload => "upload",
            Self::Done => "done",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// The phase of that stored text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How strongly writes are held off during the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnlyStrength {
    /// Metabase's own setting.
    Flag,
    /// The setting and triggers on the tables.
    Enforced,
    /// Nothing: the snapshot alone.
    None,
}
