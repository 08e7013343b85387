//! The entries of an index map, in index order.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::map::MapRoot;
use crate::reader::database::Database;
use crate::reader::entries::{Entries, KeyKind, ValueKind};
use crate::value::Value;
use crate::value_decode::{Shape, begin_array, big_int, decode_inline, skip};

/// Iterates over an index. An entry borrows from the page it lies on.
#[derive(Debug)]
pub struct IndexEntries<'d> {
    database: &'d Database,
    entries: Entries,
    shapes: Vec<Shape>,
    after_error: bool,
    started: bool,
}

/// One entry: the key of the row, and the values of the indexed columns in index order.
#[derive(Debug)]
pub struct IndexEntry<'r> {
    /// Row key.
    pub row_key: i64,
    /// Values of the indexed columns.
    pub values: Vec<Value<'r>>,
}

impl<'d> IndexEntries<'d> {
    pub(crate) fn new(database: &'d Database, map: MapRoot, shapes: Vec<Shape>) -> Self {
        let entries = Entries::new(
            &database.store,
            map,
            KeyKind::IndexKey(shapes.len()),
            ValueKind::Nothing,
        );
        Self {
            database,
            entries,
            shapes,
            after_error: false,
            started: false,
        }
    }

    /// The next entry, or `None` at the end. After an error there are no more entries.
    pub fn next_entry(&mut self) -> Result<Option<IndexEntry<'_>>, ReadError> {
        let database = self.database;
        self.next_in_version().map_err(|error| database.explained(error))
    }

    fn next_in_version(&mut self) -> Result<Option<IndexEntry<'_>>, ReadError> {
        if self.after_error {
            return Ok(None);
        }
        self.after_error = true;
        let format = self.database.store.format;
        if self.started {
            let mut value = self.entries.value();
            // The values of an index take no bytes but in format 1.
            if format == Format::V1 {
                let leaf = self.entries.leaf();
                skip(&mut value, format).map_err(|problem| leaf.position.malformed(leaf.map, problem))?;
            }
            let end = value.at();
            self.entries.value_ended(end)?;
        }
        self.started = self
            .entries
            .advance(&self.database.store, &self.database.open_transactions)?;
        if !self.started {
            return Ok(None);
        }
        let leaf = self.entries.leaf();
        let malformed = |problem: Malformed| leaf.position.malformed(leaf.map, problem);
        let mut cursor = self.entries.key();
        let row_key_first = match format {
            Format::V1 => {
                begin_array(&mut cursor, self.shapes.len().saturating_add(1)).map_err(malformed)?;
                None
            }
            Format::V2 | Format::V3 => Some(cursor.varlong().map_err(malformed)?),
        };
        let mut values = Vec::with_capacity(self.shapes.len());
        for shape in &self.shapes {
            values.push(decode_inline(&mut cursor, shape, format).map_err(malformed)?);
        }
        let row_key = match row_key_first {
            Some(row_key) => row_key,
            None => big_int(&mut cursor).map_err(malformed)?,
        };
        self.after_error = false;
        Ok(Some(IndexEntry { row_key, values }))
    }
}
