//! The binary format of COPY, taken apart into rows as it arrives. Values are the types module's; who asked for
//! the rows, and what a bad one is called, the reader's.

use metaferry_domain::row_batch::{Cell, RowBatch};

use super::types::{Wire, push};
use crate::row_names::Refusal;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const HEADER_LEN: usize = 19;

/// Why a stream cannot be taken apart any further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no such stream.
    Format(&'static str),
    /// One value cannot be carried.
    Value {
        /// Position among the columns read.
        column: usize,
        /// Why.
        refusal: Refusal,
        /// The whole row, so that it can be named.
        row: Vec<u8>,
    },
}

/// Takes a stream apart. The server sends a row a message, but nobody promises that.
#[derive(Debug)]
pub(super) struct CopyDecoder {
    columns: Vec<Wire>,
    stage: Stage,
    /// The beginning of something whose end is in a later message.
    pending: Vec<u8>,
    digits: String,
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Ended,
}

impl CopyDecoder {
    pub(super) fn new(columns: Vec<Wire>) -> Self {
        Self {
            columns,
            stage: Stage::Header,
            pending: Vec::new(),
            digits: String::new(),
            rows: 0,
        }
    }

    /// Rows taken apart so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds all rows that `message` completes to `batch`.
    pub(super) fn feed(&mut self, message: &[u8], batch: &mut RowBatch) -> Result<(), Unreadable> {
        if self.pending.is_empty() {
            let used = self.consume(message, batch)?;
            self.pending.extend_from_slice(&message[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.pending);
            joined.extend_from_slice(message);
            let used = self.consume(&joined, batch)?;
            joined.drain(..used);
            self.pending = joined;
        }
        Ok(())
    }

    /// Was the stream whole?
    pub(super) fn finish(&self) -> Result<(), Unreadable> {
        if self.stage == Stage::Ended && self.pending.is_empty() {
            Ok(())
        } else {
            Err(Unreadable::Format("the rows end in the middle"))
        }
    }

    fn consume(&mut self, bytes: &[u8], batch: &mut RowBatch) -> Result<usize, Unreadable> {
        let mut used = 0;
        if self.stage == Stage::Header {
            let Some(header) = header(bytes)? else {
                return Ok(0);
            };
            used = header;
            self.stage = Stage::Rows;
        }
        while self.stage == Stage::Rows {
            let rest = &bytes[used..];
            let Some(count) = rest.first_chunk().map(|count| i16::from_be_bytes(*count)) else {
                break;
            };
            if count == -1 {
                self.stage = Stage::Ended;
                used += 2;
                break;
            }
            if usize::try_from(count) != Ok(self.columns.len()) {
                return Err(Unreadable::Format(
                    "a row has another number of columns than was asked for",
                ));
            }
            let Some(length) = row_length(rest, self.columns.len())? else {
                break;
            };
            self.row(&rest[..length], batch)?;
            used += length;
        }
        Ok(used)
    }

    fn row(&mut self, row: &[u8], batch: &mut RowBatch) -> Result<(), Unreadable> {
        let mut rest = &row[2..];
        for (column, &wire) in self.columns.iter().enumerate() {
            let Some(value) = next_value(&mut rest) else {
                batch.push(Cell::Null);
                continue;
            };
            push(wire, value, batch, &mut self.digits).map_err(|refusal| Unreadable::Value {
                column,
                refusal,
                row: row.to_vec(),
            })?;
        }
        batch.end_row();
        self.rows += 1;
        Ok(())
    }
}

/// The value of one column of a row that [`Unreadable::Value`] holds, in its binary form.
pub(super) fn value_of(row: &[u8], column: usize) -> Option<&[u8]> {
    let mut rest = row.get(2..)?;
    for _ in 0..column {
        next_value(&mut rest);
    }
    next_value(&mut rest)
}

/// Takes a length and as many bytes; NULL has the length -1. The row's length was checked before.
fn next_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *rest = after;
        return None;
    };
    let (value, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

/// Bytes of the row that `bytes` begins with; `None` if it ends later.
fn row_length(bytes: &[u8], columns: usize) -> Result<Option<usize>, Unreadable> {
    let mut at = 2;
    for _ in 0..columns {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            length => match usize::try_from(length) {
                Ok(length) => at += length,
                Err(_) => return Err(Unreadable::Format("a value has a negative length")),
            },
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// Bytes of the header; `None` if it ends later.
fn header(bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if !header.starts_with(SIGNATURE) {
        return Err(Unreadable::Format("the stream is not COPY's binary format"));
    }
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // The upper half of the flags must be understood; bit 16 (row numbers) went with version 12.
    if word(11) >> 16 != 0 {
        return Err(Unreadable::Format("the stream has a flag that is not known"));
    }
    let length = usize::try_from(word(15))
        .unwrap_or(usize::MAX)
        .saturating_add(HEADER_LEN);
    Ok((length <= bytes.len()).then_some(length))
}

#[cfg(test)]
mod tests;
