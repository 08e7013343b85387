//! Changing values on their way by a rule that only the application knows: decrypting them, encrypting them. The engine
//! asks for every cell and knows no reason; what the rule is, who builds it says.

use std::fmt;
use std::sync::Arc;

use crate::PortError;
use crate::row_batch::{Cell, RowBatch};
use crate::schema::{Column, Table};

/// The rule of one copy. Two are equal if they are the same one.
#[derive(Debug, Clone)]
pub struct Recoding(pub Arc<dyn ValueRecoder>);

impl PartialEq for Recoding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Recodes the values of a database.
pub trait ValueRecoder: fmt::Debug + Send + Sync {
    /// The recoder of a table's rows, whose cells are `columns` in that order; `None` if none of them is touched.
    fn table(&self, table: &Table, columns: &[&Column]) -> Option<Box<dyn RowRecoder>>;
}

/// Recodes the rows of one table.
pub trait RowRecoder: fmt::Debug + Send {
    /// What becomes of `cell`, which stands at `row`, `column` of `batch` or in place of what stands there; `None`: it
    /// stays. An error names table and column, never the value, and ends the copy.
    fn recode(
        &mut self,
        batch: &RowBatch,
        row: usize,
        column: usize,
        cell: Cell<'_>,
    ) -> Result<Option<Recoded>, PortError>;

    /// Rows that the table gets beside its own, after the last of them, in the same columns.
    fn append(&mut self, batch: &mut RowBatch);

    /// What a person should know of what was done so far, in words.
    fn notes(&self) -> Vec<String>;
}

/// A value in place of another. Not shown: it was encrypted for a reason.
#[derive(Clone, PartialEq, Eq)]
pub enum Recoded {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Recoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(***)",
            Self::Bytes(_) => "Bytes(***)",
        })
    }
}

impl Recoded {
    /// The value as a cell.
    #[must_use]
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }
}
