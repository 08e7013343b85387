//! Opens every value that the key proves to be encrypted.

use std::sync::Arc;

use metaferry_domain::recoding::{Recoded, RowRecoder, ValueRecoder};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};
use metaferry_domain::{ErrorKind, PortError};

use super::tally::Tally;
use super::{is_key, setting_key, text_at};
use crate::encryption::classify::{Classified, classify_bytes, classify_text};
use crate::encryption::envelope::Keyring;
use crate::encryption::{STREAM_HEADER, setting_aad};

/// What happens to a value that looks encrypted and that no key at hand opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The copy ends.
    Refuse,
    /// It goes along as it is, counted.
    Carry,
}

/// Decrypts on the way. Without keys it proves that nothing is encrypted.
#[derive(Debug, Clone)]
pub struct Decryption {
    keys: Option<Arc<Keyring>>,
    unreadable: Unreadable,
}

impl Decryption {
    /// With the keys at hand.
    #[must_use]
    pub fn new(keys: Option<Keyring>, unreadable: Unreadable) -> Self {
        Self {
            keys: keys.map(Arc::new),
            unreadable,
        }
    }
}

impl ValueRecoder for Decryption {
    fn table(&self, table: &Table, columns: &[&Column]) -> Option<Box<dyn RowRecoder>> {
        let names = || columns.iter().map(|column| column.name.key());
        Some(Box::new(DecryptingRows {
            decryption: self.clone(),
            table: table.name.key(),
            keys: columns.iter().map(|column| is_key(table, column)).collect(),
            setting_key: setting_key(table, columns),
            names: names().collect(),
            opened: Tally::new(table.name.key(), names()),
            carried: Tally::new(table.name.key(), names()),
        }))
    }
}

/// One table's.
#[derive(Debug)]
struct DecryptingRows {
    decryption: Decryption,
    table: String,
    /// Per column: is it a key?
    keys: Vec<bool>,
    setting_key: Option<usize>,
    names: Vec<String>,
    opened: Tally,
    carried: Tally,
}

impl RowRecoder for DecryptingRows {
    fn recode(
        &mut self,
        batch: &RowBatch,
        row: usize,
        column: usize,
        cell: Cell<'_>,
    ) -> Result<Option<Recoded>, PortError> {
        let keys = self.decryption.keys.as_deref();
        let aad = || text_at(batch, row, self.setting_key).map(setting_aad);
        let classified = match cell {
            Cell::Text(text) => match classify_text(text, keys, &[]) {
                // Only what is encrypted and not opened is worth a second trial.
                Classified::LooksEncrypted => match aad() {
                    Some(aad) => classify_text(text, keys, &[&aad]).map(Recoded::Text),
                    None => Classified::LooksEncrypted,
                },
                other => other.map(Recoded::Text),
            },
            // It has no MAC; that the key is this database's is proved by the sentinel and by every other value.
            Cell::Bytes(bytes) if bytes.starts_with(STREAM_HEADER) => {
                match keys.and_then(|keys| keys.root().decrypt_stream(bytes).ok()) {
                    Some(plain) => Classified::Verified(Recoded::Bytes(plain)),
                    None => Classified::LooksEncrypted,
                }
            }
            Cell::Bytes(bytes) => classify_bytes(bytes, keys, &[]).map(Recoded::Bytes),
            _ => return Ok(None),
        };
        match classified {
            Classified::Plaintext => Ok(None),
            Classified::Verified(_) if self.keys[column] => Err(self.refusal(
                column,
                "holds encrypted values, and is a key that other rows may name",
            )),
            Classified::Verified(plain) => {
                self.opened.add(column);
                Ok(Some(plain))
            }
            Classified::LooksEncrypted => match self.decryption.unreadable {
                Unreadable::Carry => {
                    self.carried.add(column);
                    Ok(None)
                }
                Unreadable::Refuse => Err(self.refusal(
                    column,
                    if self.decryption.keys.is_some() {
                        "holds a value that looks encrypted, and MB_ENCRYPTION_SECRET_KEY does not open it"
                    } else {
                        "holds a value that looks encrypted, and no MB_ENCRYPTION_SECRET_KEY is given"
                    },
                )),
            },
        }
    }

    fn append(&mut self, _: &mut RowBatch) {}

    fn notes(&self) -> Vec<String> {
        let opened = self.opened.notes("decrypted");
        let carried = self
            .carried
            .notes("look encrypted and no key opens them; carried as they are");
        opened.chain(carried).collect()
    }
}

impl DecryptingRows {
    fn refusal(&self, column: usize, why: &str) -> PortError {
        PortError::new(
            ErrorKind::Precondition,
            format!("table {}, column {} {why}", self.table, self.names[column]),
        )
    }
}
