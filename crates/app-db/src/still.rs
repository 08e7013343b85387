//! Tables that should have been still: which of their columns count, and how it is said that they were not.

use metaferry_metabase::read_only::{Exemption, exemption};

/// Keys that are named, of a table, of each kind.
pub(crate) const KEYS_SHOWN: usize = 5;

/// Does a change of this column count? Those of a key always do, whatever this says: by them rows are told apart.
pub(crate) fn counts(table: &str, column: &str) -> bool {
    match exemption(table) {
        Exemption::Columns(exempt) => !exempt.contains(&column.to_lowercase().as_str()),
        Exemption::None | Exemption::WholeTable => true,
    }
}

/// What was written to a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Rows that were inserted or updated.
    pub(crate) rows: u64,
    /// Keys of some of them.
    pub(crate) keys: Vec<String>,
    /// Rows that are no longer as they were.
    pub(crate) gone: u64,
    /// Keys of some of those that are not there at all any more, where they are known.
    pub(crate) gone_keys: Vec<String>,
}

impl Written {
    /// The report's words.
    pub(crate) fn in_words(&self, table: &str) -> String {
        format!(
            "{table} ({} rows inserted or updated{}; {} rows as they were are gone{})",
            self.rows,
            such_as(&self.keys),
            self.gone,
            such_as(&self.gone_keys)
        )
    }
}

fn such_as(keys: &[String]) -> String {
    if keys.is_empty() {
        String::new()
    } else {
        format!(", such as {}", keys.join(", "))
    }
}
