//! Steps through the visible entries of a versioned map, leaf by leaf: tables, indexes and the catalogue.
//! It finds where keys and values begin; decoding them is the caller's.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::map::{Leaves, LongKeys, MapRoot, end_of_leaf};
use crate::page::Page;
use crate::store::Store;
use crate::value_decode;
use crate::versioned::{Entry, OpenTransactions, ValueList};

/// What the keys of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// A row key; strictly ascending, which is checked.
    RowKey,
    /// A row key and so many columns.
    IndexKey(usize),
}

/// What the values of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// A row of so many columns.
    Row(usize),
    /// Nothing: the values of an index.
    Nothing,
}

impl ValueKind {
    fn skip(self, cursor: &mut Cursor<'_>, format: Format) -> Result<(), Malformed> {
        match (self, format) {
            (Self::Row(columns), _) => {
                begin_row(cursor, columns, format)?;
                skip_columns(cursor, columns, format)
            }
            // A NULL value.
            (Self::Nothing, Format::V1) => value_decode::skip(cursor, format),
            (Self::Nothing, Format::V2 | Format::V3) => Ok(()),
        }
    }
}

/// Iteration state over one map.
#[derive(Debug)]
pub(crate) struct Entries {
    leaves: Leaves,
    format: Format,
    long_keys: LongKeys,
    key_kind: KeyKind,
    value_kind: ValueKind,
    list: ValueList,
    /// Entries of the current leaf that are not visited yet.
    left: usize,
    /// Offsets in the leaf: the current key, the next key, the current or next value.
    key_at: usize,
    next_key_at: usize,
    value_at: usize,
    other_value_follows: bool,
    last_row_key: Option<i64>,
    /// After an error nothing more is read.
    ended: bool,
}

impl Entries {
    pub(crate) fn new(store: &Store, map: MapRoot, key_kind: KeyKind, value_kind: ValueKind) -> Self {
        Self {
            leaves: Leaves::new(store, map),
            format: store.format,
            long_keys: map.long_keys,
            key_kind,
            value_kind,
            list: ValueList::Plain,
            left: 0,
            key_at: 0,
            next_key_at: 0,
            value_at: 0,
            other_value_follows: false,
            last_row_key: None,
            ended: false,
        }
    }

    /// Starts in the leaf where the row key `key` belongs; earlier entries of that leaf still come.
    pub(crate) fn seek(&mut self, store: &Store, key: i64) -> Result<(), ReadError> {
        self.leaves.seek(store, key).inspect_err(|_| self.ended = true)
    }

    /// The leaf of the current entry.
    pub(crate) fn leaf(&self) -> &Page {
        self.leaves.leaf()
    }

    /// At the key of the current entry.
    pub(crate) fn key(&self) -> Cursor<'_> {
        cursor_at(self.leaf(), self.key_at)
    }

    /// The row key that is the key of the current entry.
    pub(crate) fn row_key(&self) -> Result<i64, Malformed> {
        self.long_keys.read(&mut self.key())
    }

    /// At the value of the current entry.
    pub(crate) fn value(&self) -> Cursor<'_> {
        cursor_at(self.leaf(), self.value_at)
    }

    /// Goes to the next visible entry. Call [`Entries::value_ended`] in between, with where the value ended.
    pub(crate) fn advance(&mut self, store: &Store, open: &OpenTransactions) -> Result<bool, ReadError> {
        while !self.ended {
            if self.left == 0 && !self.next_leaf(store)? {
                break;
            }
            match self.next_in_leaf(open) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(problem) => return Err(self.fail(problem)),
            }
        }
        Ok(false)
    }

    /// Tells where the value of the current entry ended.
    pub(crate) fn value_ended(&mut self, at: usize) -> Result<(), ReadError> {
        self.value_at = at;
        let ended = self.skip_other_value();
        ended.map_err(|problem| self.fail(problem))
    }

    /// Counts the visible entries of the map without decoding more than that takes.
    pub(crate) fn count(mut self, store: &Store, open: &OpenTransactions) -> Result<u64, ReadError> {
        let mut count = 0_u64;
        while self.next_leaf(store)? {
            if self.list == ValueList::Plain {
                count = count.saturating_add(u64::try_from(self.left).unwrap_or(u64::MAX));
                self.left = 0;
                continue;
            }
            while self.left > 0 {
                let counted = self.next_in_leaf(open).and_then(|visible| {
                    if visible {
                        let mut cursor = self.value();
                        self.value_kind.skip(&mut cursor, self.format)?;
                        self.value_at = cursor.at();
                        self.skip_other_value()?;
                    }
                    Ok(u64::from(visible))
                });
                count = count.saturating_add(counted.map_err(|problem| self.fail(problem))?);
            }
        }
        Ok(count)
    }

    fn fail(&mut self, problem: Malformed) -> ReadError {
        self.ended = true;
        let leaf = self.leaf();
        leaf.position.malformed(leaf.map, problem)
    }

    fn next_leaf(&mut self, store: &Store) -> Result<bool, ReadError> {
        let found = self.leaves.next_leaf(store).inspect_err(|_| self.ended = true)?;
        if found.is_none() {
            self.ended = true;
            return Ok(false);
        }
        self.begin_leaf().map_err(|problem| self.fail(problem))?;
        Ok(true)
    }

    /// Steps over the keys to find the values.
    fn begin_leaf(&mut self) -> Result<(), Malformed> {
        let leaf = self.leaves.leaf();
        let mut cursor = Cursor::new(leaf.contents());
        for _ in 0..leaf.keys {
            match self.key_kind {
                KeyKind::RowKey => {
                    let row_key = self.long_keys.read(&mut cursor)?;
                    if self.last_row_key.is_some_and(|last| last >= row_key) {
                        return Err(cursor.malformed("row keys are not ascending"));
                    }
                    self.last_row_key = Some(row_key);
                }
                KeyKind::IndexKey(columns) => skip_index_key(&mut cursor, columns, self.format)?,
            }
        }
        self.list = ValueList::read(&mut cursor)?;
        (self.left, self.key_at, self.next_key_at, self.value_at) = (leaf.keys, 0, 0, cursor.at());
        Ok(())
    }

    fn next_in_leaf(&mut self, open: &OpenTransactions) -> Result<bool, Malformed> {
        self.left = self.left.saturating_sub(1);
        self.key_at = self.next_key_at;
        let mut key = self.key();
        match self.key_kind {
            KeyKind::RowKey => {
                self.long_keys.read(&mut key)?;
            }
            KeyKind::IndexKey(columns) => skip_index_key(&mut key, columns, self.format)?,
        }
        let mut value = self.value();
        let (kind, format) = (self.value_kind, self.format);
        let entry = self
            .list
            .entry(&mut value, open, |cursor| kind.skip(cursor, format))?;
        (self.next_key_at, self.value_at) = (key.at(), value.at());
        self.other_value_follows = entry == Entry::VisibleBeforeOther;
        let visible = entry != Entry::Absent;
        if !visible {
            self.check_end()?;
        }
        Ok(visible)
    }

    fn skip_other_value(&mut self) -> Result<(), Malformed> {
        if self.other_value_follows {
            let mut cursor = self.value();
            self.value_kind.skip(&mut cursor, self.format)?;
            self.value_at = cursor.at();
            self.other_value_follows = false;
        }
        self.check_end()
    }

    fn check_end(&self) -> Result<(), Malformed> {
        if self.left == 0 {
            end_of_leaf(&self.value())
        } else {
            Ok(())
        }
    }
}

/// A cursor that counts from the beginning of the contents, standing at `at`.
fn cursor_at(leaf: &Page, at: usize) -> Cursor<'_> {
    Cursor::at_offset(leaf.contents(), at)
}

/// Steps to the columns of a row, which is an ARRAY value in format 1.
pub(crate) fn begin_row(cursor: &mut Cursor<'_>, columns: usize, format: Format) -> Result<(), Malformed> {
    match format {
        Format::V1 => value_decode::begin_array(cursor, columns),
        Format::V2 | Format::V3 => Ok(()),
    }
}

pub(crate) fn skip_columns(cursor: &mut Cursor<'_>, columns: usize, format: Format) -> Result<(), Malformed> {
    for _ in 0..columns {
        value_decode::skip(cursor, format)?;
    }
    Ok(())
}

/// The row key comes before the columns; in format 1 it is the last value of an ARRAY.
fn skip_index_key(cursor: &mut Cursor<'_>, columns: usize, format: Format) -> Result<(), Malformed> {
    let values = match format {
        Format::V1 => {
            let values = columns.saturating_add(1);
            value_decode::begin_array(cursor, values)?;
            values
        }
        Format::V2 | Format::V3 => {
            cursor.varlong()?;
            columns
        }
    };
    skip_columns(cursor, values, format)
}
