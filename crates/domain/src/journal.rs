//! Append-only record of events; replaying it gives the state.

/// One entry.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JournalEntry {}
