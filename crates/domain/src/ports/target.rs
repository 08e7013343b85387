//! Rows into a database or file.

use async_trait::async_trait;

use crate::copy_policy::CopyPolicy;
use crate::ports::{RowOrder, Snapshot};
use crate::row_batch::RowBatch;
use crate::schema::Catalogue;
use crate::{ErrorKind, PortError};

/// What a finished target says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinishedTarget {
    /// Bytes written, where it is a file.
    pub bytes: u64,
    /// Things a person should know.
    pub notes: Vec<String>,
}

/// Who supplies the values of generated columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneratedColumns {
    /// The target computes them: they are not written.
    Computed,
    /// The target stores what it is given, as a file does.
    Supplied,
}

/// Somewhere that rows go to. Nothing is visible until [`Target::finish`]; dropping it leaves nothing behind.
#[async_trait]
pub trait Target: Send + Sync {
    /// The order that spares this target work.
    fn row_order(&self) -> RowOrder {
        RowOrder::Any
    }

    /// Are generated columns to be read and written?
    fn generated_columns(&self) -> GeneratedColumns {
        GeneratedColumns::Computed
    }

    /// Prepares tables and views of the catalogue (translated to the target's dialect) before any row comes.
    /// Answers notes: what could not be translated exactly. Refuses, before writing anything, what cannot be
    /// carried at all, naming table and column.
    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError>;

    /// A writer for one table; cells come in the order of `columns`, positions in the prepared table's columns.
    /// Several may be open at the same time.
    async fn table(&self, table: &str, columns: &[usize]) -> Result<Box<dyn TableWriter>, PortError>;

    /// Makes everything visible at once, durably.
    async fn finish(self: Box<Self>) -> Result<FinishedTarget, PortError>;
}

/// Takes the rows of one table.
#[async_trait]
pub trait TableWriter: Send {
    /// Takes a batch. Errors name table, row and column where they can.
    async fn write(&mut self, batch: &RowBatch) -> Result<(), PortError>;

    /// No more rows; answers how many there were.
    async fn finish(self: Box<Self>) -> Result<u64, PortError>;
}

/// A table whose own rows stay at the target: none are written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTable {
    /// Table, in lower case.
    pub name: String,
    /// Why, for the report.
    pub why: String,
}

/// What the source has and the target has no place for. Only where leaving it behind was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Table, in lower case.
    pub table: String,
    /// Columns in lower case; empty if the whole table has no place.
    pub columns: Vec<String>,
}

/// How the target compares the values of a column of a [`UniqueRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseRule {
    /// Letter by letter.
    Exact,
    /// Without regard to case.
    Folded,
    /// By a collation that only the target knows: [`LoadTarget::collation_keys`].
    Collated,
}

/// A key or index of the target that refuses duplicates and that nothing at the source enforces already.
/// Rows with NULL in a column of it are never duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueRule {
    /// Table, in lower case.
    pub table: String,
    /// Name of the key or index.
    pub name: String,
    /// Columns in lower case.
    pub columns: Vec<(String, CaseRule)>,
    /// Applies only to rows in which these columns, in lower case, are NULL.
    pub only_where_null: Vec<String>,
}

/// What a target found before anything was touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Tables that keep their own rows.
    pub kept: Vec<KeptTable>,
    /// What stays behind for want of a place.
    pub unplaced: Vec<Unplaced>,
    /// What rows must be looked at for before they are written.
    pub unique: Vec<UniqueRule>,
    /// Things a person should know.
    pub notes: Vec<String>,
}

/// A database as a target, in this order: [`LoadTarget::survey`], [`Target::prepare`], rows, [`LoadTarget::reread`],
/// and [`Target::finish`] or [`LoadTarget::abandon`]. Until `finish` nobody else sees a change; a process that dies
/// before leaves what was there, and what it left beside that goes at the next `survey`.
#[async_trait]
pub trait LoadTarget: Target {
    /// Looks at what is there and removes what dead loads left. Refuses by name, touching nothing: a target with
    /// users in it, and what the policy carries and the target has no place for, each unless it was allowed.
    /// [`Conflict`](ErrorKind::Conflict) while another load is under way.
    async fn survey(&mut self, catalogue: &Catalogue, policy: &CopyPolicy) -> Result<Survey, PortError>;

    /// For each text the key that the target compares it by in that column (both in lower case): texts that are equal
    /// there have equal keys. Asked after `survey` only, for columns that a rule of it calls [`CaseRule::Collated`].
    async fn collation_keys(
        &mut self,
        table: &str,
        column: &str,
        texts: &[&str],
    ) -> Result<Vec<Vec<u8>>, PortError> {
        let _ = texts;
        Err(PortError::new(
            ErrorKind::Precondition,
            format!("the target has no collation for column {column} of table {table}"),
        ))
    }

    /// Called when every writer has finished: builds what rests on the rows (keys, indexes, sequences), checks the
    /// foreign keys ([`Corrupt`](ErrorKind::Corrupt), naming them), and gives the rows as the database holds
    /// them. Generated columns and columns that nothing was written to are among those of its catalogue.
    async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError>;

    /// Takes everything back. Dropping the target comes to the same, later.
    async fn abandon(self: Box<Self>) -> Result<(), PortError>;
}
