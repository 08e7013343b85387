//! A table of a database, and errors that name it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::SqlType;
use crate::definition::TableDefinition;
use crate::error::{Malformed, ReadError};
use crate::value_decode::Shape;

/// A table and how its rows are stored.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) id: u32,
    pub(super) definition: TableDefinition,
    pub(crate) shapes: Vec<Shape>,
}

impl Table {
    /// Object id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Names, columns, keys.
    pub fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// Declared types of the columns, in stored order.
    pub fn column_types(&self) -> impl ExactSizeIterator<Item = &SqlType> {
        self.definition.columns.iter().map(|column| &column.sql_type)
    }

    pub(crate) fn map_name(&self) -> String {
        format!("table.{}", self.id)
    }

    fn full_name(&self) -> String {
        format!("{}.{}", self.definition.schema, self.definition.name)
    }

    fn column_name(&self, column: usize) -> String {
        self.definition
            .columns
            .get(column)
            .map_or_else(String::new, |column| column.name.clone())
    }

    pub(crate) fn row_error(&self, key: i64, column: usize, problem: Malformed) -> ReadError {
        ReadError::Row {
            table: self.full_name(),
            key,
            column: self.column_name(column),
            problem,
        }
    }

    pub(crate) fn lob_error(&self, key: i64, column: usize, error: ReadError) -> ReadError {
        let source = Box::new(error);
        ReadError::RowLob {
            table: self.full_name(),
            key,
            column: self.column_name(column),
            source,
        }
    }

    /// Adds the table to an error of a page.
    pub(crate) fn locate(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Page {
                chunk,
                offset,
                problem,
                ..
            } => ReadError::Leaf {
                table: self.full_name(),
                chunk,
                offset,
                problem,
            },
            other => other,
        }
    }
}
