//! The rows of a table, in row key order, and single rows by key.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::sync::Arc;

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::map::{LongKeys, child_of_long, descend};
use crate::page::Page;
use crate::reader::database::Database;
use crate::reader::entries::{Entries, KeyKind, ValueKind, begin_row, skip_columns};
use crate::reader::lob::LobReader;
use crate::reader::table::Table;
use crate::value::{Text, Value};
use crate::value_decode::{Decoded, LobLength, LobReference, decode};
use crate::versioned::{Entry, ValueList};

/// Iterates over the rows of a table. A row borrows from the page it lies on, so it must be done with before the
/// next one is read.
#[derive(Debug)]
pub struct Rows<'d> {
    database: &'d Database,
    table: &'d Table,
    entries: Option<Entries>,
    /// Only rows with greater keys; looked up before the first row is read.
    after: Option<i64>,
    position: RowsPosition,
    /// Where the values of the last row ended.
    row_end: Option<usize>,
    after_error: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowsPosition {
    BeforeFirst,
    Started,
}

/// One row: its key and the values of all columns, INVISIBLE and generated ones included, in stored order.
#[derive(Debug)]
pub struct Row<'r> {
    /// The row key: the value of a single-column integer primary key, else a counter.
    pub key: i64,
    /// One value per column of the table's definition.
    pub values: Vec<Value<'r>>,
}

impl<'d> Rows<'d> {
    pub(crate) fn new(database: &'d Database, table: &'d Table, after: Option<i64>) -> Self {
        let map = database.maps.get(&table.map_name());
        let values = ValueKind::Row(table.shapes.len());
        let entries = map.map(|map| Entries::new(&database.store, map, KeyKind::RowKey, values));
        Self {
            database,
            table,
            entries,
            after,
            position: RowsPosition::BeforeFirst,
            row_end: None,
            after_error: false,
        }
    }

    /// The next row, or `None` at the end. After an error there are no more rows.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, ReadError> {
        let database = self.database;
        self.next_in_version().map_err(|error| database.explained(error))
    }

    fn next_in_version(&mut self) -> Result<Option<Row<'_>>, ReadError> {
        if self.after_error {
            return Ok(None);
        }
        // Cleared at the end of a step that went well.
        self.after_error = true;
        let table = self.table;
        let Some(key) = self.advance().map_err(|error| table.locate(error))? else {
            return Ok(None);
        };
        let Some(entries) = &self.entries else {
            return Ok(None);
        };
        let mut cursor = entries.value();
        let values = decode_row(&mut cursor, key, table, &self.database.lob_reader())?;
        self.row_end = Some(cursor.at());
        self.after_error = false;
        Ok(Some(Row { key, values }))
    }

    /// Goes to the next row that is wanted and gives its key.
    fn advance(&mut self) -> Result<Option<i64>, ReadError> {
        let (store, open) = (&self.database.store, &self.database.open_transactions);
        let Some(entries) = &mut self.entries else {
            return Ok(None);
        };
        if let (RowsPosition::BeforeFirst, Some(after)) = (self.position, self.after) {
            entries.seek(store, after)?;
        }
        self.position = RowsPosition::Started;
        if let Some(end) = self.row_end.take() {
            entries.value_ended(end)?;
        }
        while entries.advance(store, open)? {
            let leaf = entries.leaf();
            let malformed = |problem| leaf.position.malformed(leaf.map, problem);
            let key = entries.row_key().map_err(malformed)?;
            if self.after.is_none_or(|after| key > after) {
                return Ok(Some(key));
            }
            let mut cursor = entries.value();
            skip_row(&mut cursor, self.table.shapes.len(), store.format).map_err(malformed)?;
            let end = cursor.at();
            entries.value_ended(end)?;
        }
        Ok(None)
    }
}

fn decode_row<'r>(
    cursor: &mut Cursor<'r>,
    key: i64,
    table: &Table,
    lobs: &LobReader<'_>,
) -> Result<Vec<Value<'r>>, ReadError> {
    let mut values = Vec::with_capacity(table.shapes.len());
    let format = lobs.store.format;
    begin_row(cursor, table.shapes.len(), format).map_err(|problem| table.row_error(key, 0, problem))?;
    for (column, shape) in table.shapes.iter().enumerate() {
        let located = |problem| table.row_error(key, column, problem);
        values.push(match decode(cursor, shape, format).map_err(located)? {
            Decoded::Value(value) => value,
            Decoded::StoredBlob(reference) => {
                let bytes = lobs
                    .read(reference)
                    .map_err(|error| table.lob_error(key, column, error))?;
                Value::Blob(Cow::Owned(bytes))
            }
            Decoded::StoredClob(reference) => {
                let text =
                    stored_text(lobs, reference).map_err(|error| table.lob_error(key, column, error))?;
                Value::Clob(Text::Utf8(Cow::Owned(text)))
            }
        });
    }
    Ok(values)
}

fn skip_row(cursor: &mut Cursor<'_>, columns: usize, format: Format) -> Result<(), Malformed> {
    begin_row(cursor, columns, format)?;
    skip_columns(cursor, columns, format)
}

fn stored_text(lobs: &LobReader<'_>, reference: LobReference) -> Result<String, ReadError> {
    let lob = reference.lob;
    let text = String::from_utf8(lobs.read(reference)?).map_err(|error| ReadError::Lob {
        lob,
        problem: Malformed::new(error.utf8_error().valid_up_to(), "CLOB is not UTF-8"),
    })?;
    match reference.length {
        LobLength::Units(units) if u64::try_from(text.encode_utf16().count()) != Ok(units) => {
            Err(ReadError::Lob {
                lob,
                problem: Malformed::new(0, "CLOB has another length than its row says"),
            })
        }
        LobLength::Units(_) | LobLength::Octets(_) => Ok(text),
    }
}

/// A row found by its key; holds the page on which it lies.
#[derive(Debug)]
pub struct FoundRow<'d> {
    database: &'d Database,
    table: &'d Table,
    page: Arc<Page>,
    key: i64,
    at: usize,
}

impl FoundRow<'_> {
    /// The row, borrowed from the page.
    pub fn row(&self) -> Result<Row<'_>, ReadError> {
        let mut cursor = Cursor::at_offset(self.page.contents(), self.at);
        let values = decode_row(&mut cursor, self.key, self.table, &self.database.lob_reader())
            .map_err(|error| self.database.explained(error))?;
        Ok(Row {
            key: self.key,
            values,
        })
    }
}

pub(crate) fn find_row<'d>(
    database: &'d Database,
    table: &'d Table,
    key: i64,
) -> Result<Option<FoundRow<'d>>, ReadError> {
    let Some(map) = database.maps.get(&table.map_name()) else {
        return Ok(None);
    };
    let page = |position| database.cache.page(&database.store, position, map);
    let Some(page) = descend(map, page, |node| child_of_long(node, key, map.long_keys))
        .map_err(|error| table.locate(error))?
    else {
        return Ok(None);
    };
    let at = row_in_leaf(database, table, &page, map.long_keys, key)
        .map_err(|problem| table.locate(page.position.malformed(map.id, problem)))?;
    Ok(at.map(|at| FoundRow {
        database,
        table,
        page,
        key,
        at,
    }))
}

/// Where the visible values of row `key` begin in `leaf`.
fn row_in_leaf(
    database: &Database,
    table: &Table,
    leaf: &Page,
    keys: LongKeys,
    key: i64,
) -> Result<Option<usize>, Malformed> {
    let mut cursor = Cursor::new(leaf.contents());
    let mut place = None;
    for index in 0..leaf.keys {
        if keys.read(&mut cursor)? == key {
            place = Some(index);
        }
    }
    let Some(place) = place else { return Ok(None) };
    let list = ValueList::read(&mut cursor)?;
    let columns = table.shapes.len();
    let format = database.store.format;
    let skip_row = |cursor: &mut Cursor<'_>| skip_row(cursor, columns, format);
    for _ in 0..place {
        let entry = list.entry(&mut cursor, &database.open_transactions, skip_row)?;
        let rows_left = match entry {
            Entry::Absent => 0,
            Entry::Visible => 1,
            Entry::VisibleBeforeOther => 2,
        };
        for _ in 0..rows_left {
            skip_row(&mut cursor)?;
        }
    }
    let entry = list.entry(&mut cursor, &database.open_transactions, skip_row)?;
    Ok(if entry == Entry::Absent {
        None
    } else {
        Some(cursor.at())
    })
}
