//! Values with transaction state: who may see which of two values.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bytes::Cursor;
use crate::error::Malformed;

/// Log ids take the low 40 bits of an operation id.
const LOG_ID_BITS: u32 = 40;
/// Log id of a commit marker.
const LOG_ID_COMMITTED: i64 = (1 << LOG_ID_BITS) - 1;

/// Transactions that were running when the version was written. What they did does not count.
#[derive(Debug, Default)]
pub(crate) struct OpenTransactions {
    ids: BTreeSet<i64>,
    /// Was an entry met that is marked by a transaction whose undo log no longer says so? It committed while H2 took
    /// the maps of the version one after the other, so that other maps may lack what it did.
    commit_seen: AtomicBool,
}

impl OpenTransactions {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Takes note of the undo log `name`, whose last key is `last_key`.
    pub(crate) fn add_undo_log(&mut self, name: &str, last_key: Option<i64>) {
        // `undoLog-7` has committed; so has one whose log is empty or ends with the commit marker.
        let Some(id) = name.strip_prefix("undoLog.").and_then(|id| id.parse().ok()) else {
            return;
        };
        if last_key.is_some_and(|key| key & LOG_ID_COMMITTED != LOG_ID_COMMITTED) {
            self.ids.insert(id);
        }
    }

    /// May the version show half of a transaction?
    pub(crate) fn commit_seen(&self) -> bool {
        self.commit_seen.load(Ordering::Relaxed)
    }

    pub(crate) fn is_transaction_open(&self, transaction: i64) -> bool {
        self.ids.contains(&transaction)
    }

    fn is_open(&self, operation: i64) -> bool {
        self.ids.contains(&transaction_of(operation))
    }
}

/// The transaction of an operation id.
pub(crate) fn transaction_of(operation: i64) -> i64 {
    operation.wrapping_shr(LOG_ID_BITS)
}

/// Whether the values of a leaf carry transaction state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueList {
    Plain,
    Versioned,
}

impl ValueList {
    /// Reads the byte between the keys and the values of a leaf.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        match cursor.u8()? {
            0 => Ok(Self::Plain),
            1 => Ok(Self::Versioned),
            _ => Err(cursor.malformed("list of values is neither plain nor versioned")),
        }
    }

    /// Brings the cursor to the value of the next entry that a reader sees, or behind the entry if it sees none.
    /// `skip` steps over one stored value.
    pub(crate) fn entry<'a>(
        self,
        cursor: &mut Cursor<'a>,
        open: &OpenTransactions,
        skip: impl FnOnce(&mut Cursor<'a>) -> Result<(), Malformed>,
    ) -> Result<Entry, Malformed> {
        const CURRENT: u8 = 1;
        const COMMITTED: u8 = 2;
        if self == Self::Plain {
            return Ok(Entry::Visible);
        }
        let operation = cursor.varlong()?;
        if operation == 0 {
            return Ok(Entry::Visible);
        }
        let flags = cursor.u8()?;
        if flags > CURRENT | COMMITTED {
            return Err(cursor.malformed("unknown flags of a versioned value"));
        }
        let wanted = if open.is_open(operation) {
            COMMITTED
        } else {
            open.commit_seen.store(true, Ordering::Relaxed);
            CURRENT
        };
        match (flags & wanted != 0, flags & !wanted != 0) {
            (true, false) => Ok(Entry::Visible),
            (true, true) if wanted == CURRENT => Ok(Entry::VisibleBeforeOther),
            (true, true) => {
                skip(cursor)?;
                Ok(Entry::Visible)
            }
            (false, true) => {
                skip(cursor)?;
                Ok(Entry::Absent)
            }
            (false, false) => Ok(Entry::Absent),
        }
    }
}

/// Where [`ValueList::entry`] left the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// At the visible value, which ends the entry.
    Visible,
    /// At the visible value; the value before the transaction follows.
    VisibleBeforeOther,
    /// Behind an entry that a reader does not see.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::{Entry, OpenTransactions, ValueList};
    use crate::bytes::Cursor;

    /// Operation 5 << 40 | 1 as a varlong, then flags, then one-byte values.
    fn entry(flags: u8, values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x81, 0x80, 0x80, 0x80, 0x80, 0xA0, 0x01, flags];
        bytes.extend_from_slice(values);
        bytes
    }

    fn see(bytes: &[u8], open: &OpenTransactions) -> Option<u8> {
        let mut cursor = Cursor::new(bytes);
        match ValueList::Versioned
            .entry(&mut cursor, open, |cursor| cursor.u8().map(|_| ()))
            .unwrap()
        {
            Entry::Visible | Entry::VisibleBeforeOther => Some(cursor.u8().unwrap()),
            Entry::Absent => {
                assert!(cursor.is_empty());
                None
            }
        }
    }

    #[test]
    fn shows_the_committed_value_of_an_open_transaction() {
        let mut open = OpenTransactions::default();
        open.add_undo_log("undoLog.5", Some((5 << 40) | 9));
        assert_eq!(see(&entry(3, &[1, 2]), &open), Some(2), "update");
        assert_eq!(see(&entry(1, &[1]), &open), None, "insert");
        assert_eq!(see(&entry(2, &[2]), &open), Some(2), "delete");
    }

    #[test]
    fn shows_the_current_value_of_a_committed_transaction() {
        let marker = (5 << 40) | ((1 << 40) - 1);
        for (name, last_key) in [
            ("undoLog.5", None),
            ("undoLog.5", Some(marker)),
            ("undoLog-5", Some(1)),
            ("undoLog.4", Some(1)),
        ] {
            let mut open = OpenTransactions::default();
            open.add_undo_log(name, last_key);
            assert_eq!(see(&entry(3, &[1, 2]), &open), Some(1), "update");
            assert_eq!(see(&entry(1, &[1]), &open), Some(1), "insert");
            assert_eq!(see(&entry(2, &[2]), &open), None, "delete");
        }
    }
}
