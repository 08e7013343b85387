//! What the store asks of others about a dump: does it open and what is in it, and put it somewhere.
//!
//! The store decides from the answers whether a dump is taken; opening H2 files and databases is left to whoever
//! implements these.

use std::path::Path;

use async_trait::async_trait;
use metaferry_domain::PortError;
use serde::{Deserialize, Serialize};

/// What was found in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Name, in lower case.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// `mf1:` and 32 hex digits.
    pub digest: String,
}

/// What was found in a dump that opens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DumpFacts {
    /// Its tables.
    pub tables: Vec<TableFacts>,
    /// Rows of `core_user`.
    pub users: u64,
    /// Foreign keys that do not hold, each named with how many rows dangle. Empty: all hold.
    pub dangling: Vec<String>,
}

impl DumpFacts {
    /// Why a dump with these facts is not taken; `None` if it is.
    #[must_use]
    pub fn reason_against(&self) -> Option<String> {
        if self.users == 0 {
            return Some("the dump has no users: nobody could sign in after a restore".to_owned());
        }
        if !self.dangling.is_empty() {
            return Some(format!("foreign keys do not hold: {}", self.dangling.join(", ")));
        }
        None
    }
}

/// Opens what was received. Reads only, and may be asked again about the same file.
#[async_trait]
pub trait DumpInspector: Send + Sync {
    /// What is in the file, which has no particular name or ending.
    ///
    /// Kinds `Corrupt`, `Unsupported` and `Precondition` say that the dump is at fault: it is rejected with the
    /// error's words. Any other kind says that the look failed, and it is taken again at the store's next start.
    async fn inspect(&self, file: &Path) -> Result<DumpFacts, PortError>;
}

/// Puts a verified dump where it shall live.
#[async_trait]
pub trait Restorer: Send + Sync {
    /// Restores the file of the migration with that id, and answers where it is now, in words without secrets.
    ///
    /// A store that was stopped in the middle asks again at its next start: the second call replaces what the
    /// first one left.
    async fn restore(&self, migration: &str, file: &Path, facts: &DumpFacts) -> Result<String, PortError>;
}
