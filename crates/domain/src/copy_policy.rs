//! What a copy leaves out or changes. The engine obeys it without knowing why; who builds it knows the application.

use std::collections::{BTreeMap, BTreeSet};

use crate::recoding::Recoding;

/// A policy for every table of one catalogue. Tables that it does not name are carried as they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CopyPolicy {
    /// By [`Name::key`](crate::schema::Name::key) of the table.
    pub tables: BTreeMap<String, TablePolicy>,
    /// How values are changed that stay where they are; `None`: not at all.
    pub recoding: Option<Recoding>,
    /// Tables, by the same key, that are not even made at the target. Their rows must be left out by `tables`.
    pub absent: BTreeSet<String>,
}

impl CopyPolicy {
    /// The policy of a table; tables that are not named are carried as they are.
    #[must_use]
    pub fn table(&self, key: &str) -> TablePolicy {
        self.tables.get(key).cloned().unwrap_or_default()
    }
}

/// What happens to one table.
#[derive(Debug, Clone, PartialEq)]
pub enum TablePolicy {
    /// The table goes along with its rows.
    Carry {
        /// Rows that a filter matches are left out.
        drop_rows: Vec<RowFilter>,
        /// Cells that are changed on the way.
        rewrites: Vec<CellRewrite>,
        /// Does the application's own schema have this table?
        origin: Origin,
    },
    /// The table exists at the target, empty, unless it is [`absent`](CopyPolicy::absent).
    LeaveOut {
        /// Why, for the report.
        why: String,
    },
}

impl Default for TablePolicy {
    fn default() -> Self {
        Self::Carry {
            drop_rows: Vec::new(),
            rewrites: Vec::new(),
            origin: Origin::Unknown,
        }
    }
}

/// Whether a table belongs to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The application's own.
    Known,
    /// Somebody's addition; carried and reported.
    Unknown,
}

/// Matches rows by one column. Column names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowFilter {
    /// The text column equals this.
    TextEquals {
        /// Column.
        column: String,
        /// Value.
        value: String,
    },
    /// The column refers to no row of that table's column.
    Dangling {
        /// Column.
        column: String,
        /// The table it should refer to.
        parent_table: String,
        /// The referred column.
        parent_column: String,
    },
}

/// Changes one cell of every row that its condition matches. Column names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRewrite {
    /// The column that is changed.
    pub column: String,
    /// When.
    pub when: RewriteWhen,
    /// To what.
    pub to: NewValue,
}

/// When a [`CellRewrite`] applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteWhen {
    /// In every row.
    Always,
    /// When the text column equals this.
    TextEquals {
        /// Column.
        column: String,
        /// Value.
        value: String,
    },
    /// When the boolean column is true.
    IsTrue {
        /// Column.
        column: String,
    },
}

/// What a [`CellRewrite`] puts in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue {
    /// NULL.
    Null,
    /// A text.
    Text(String),
    /// A truth value.
    Boolean(bool),
}
