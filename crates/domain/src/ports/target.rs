//! Rows into a database or file.

use async_trait::async_trait;

use crate::PortError;
use crate::ports::RowOrder;
use crate::row_batch::RowBatch;
use crate::schema::Catalogue;

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
