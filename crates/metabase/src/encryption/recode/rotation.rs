//! Puts every value that the old key proves to be encrypted under a new key, in the format that it has; or opens it, where
//! there is no new key.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metaferry_domain::recoding::{Recoded, RowRecoder, ValueRecoder};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};
use metaferry_domain::{ErrorKind, PortError};

use super::encryption::sentinel_value;
use super::tally::Tally;
use super::{RandomBytes, Sentinel, Unreadable, is_key, setting_key, text_at};
use crate::encryption::classify::{Classified, classify_bytes, classify_text};
use crate::encryption::envelope::{Keyring, NONCE_BYTES};
use crate::encryption::sentinel::SENTINEL_SETTING;
use crate::encryption::{DerivedKey, STREAM_HEADER, setting_aad};

/// The table of data keys: each is wrapped by the derived key.
const DATA_KEYS: &str = "data_encryption_key";

/// From one key to another, or to none.
#[derive(Clone)]
pub struct Rotation {
    old: Arc<Keyring>,
    new: Option<DerivedKey>,
    random: RandomBytes,
    unreadable: Unreadable,
    sentinel: Sentinel,
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rotation(***)")
    }
}

impl Rotation {
    /// Whatever `old` opens goes under `new`, or is opened without one. `sentinel`: whether a database of that version
    /// that has no sentinel gets one.
    #[must_use]
    pub fn new(
        old: Keyring,
        new: Option<DerivedKey>,
        random: RandomBytes,
        unreadable: Unreadable,
        sentinel: Sentinel,
    ) -> Self {
        Self {
            old: Arc::new(old),
            new,
            random,
            unreadable,
            sentinel,
        }
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let random = (self.random)();
        std::array::from_fn(|at| random[at])
    }

    /// What a value under the old key becomes.
    fn of_text(&self, text: &str, aad: Option<&[u8]>) -> Found {
        let aads: Vec<&[u8]> = aad.into_iter().collect();
        match classify_text(text, Some(&self.old), &aads) {
            Classified::Plaintext => Found::Plain,
            Classified::LooksEncrypted => Found::Unreadable,
            Classified::Verified(plain) => {
                let Some(new) = &self.new else {
                    return Found::Changed(Recoded::Text(plain));
                };
                let raw = STANDARD.decode(text).unwrap_or_default();
                if self.old.opens_envelope(&raw, aad) {
                    return Found::UnderDataKey;
                }
                Found::Changed(Recoded::Text(new.encrypt_text(&plain, aad, (self.random)())))
            }
        }
    }

    fn of_bytes(&self, raw: &[u8]) -> Found {
        // It has no MAC; that the key is this database's is proved by the sentinel and by every other value.
        if raw.starts_with(STREAM_HEADER) {
            return match (self.old.root().decrypt_stream(raw), &self.new) {
                (Err(_), _) => Found::Unreadable,
                (Ok(plain), None) => Found::Changed(Recoded::Bytes(plain)),
                (Ok(plain), Some(new)) => {
                    Found::Changed(Recoded::Bytes(new.encrypt_stream(&plain, (self.random)())))
                }
            };
        }
        match classify_bytes(raw, Some(&self.old), &[]) {
            Classified::Plaintext => Found::Plain,
            Classified::LooksEncrypted => Found::Unreadable,
            Classified::Verified(plain) => match &self.new {
                None => Found::Changed(Recoded::Bytes(plain)),
                Some(_) if self.old.opens_envelope(raw, None) => Found::UnderDataKey,
                Some(new) => Found::Changed(Recoded::Bytes(new.encrypt_bytes(&plain, None, (self.random)()))),
            },
        }
    }
}

/// What a value is, and what becomes of it.
enum Found {
    Plain,
    Unreadable,
    /// The data key is wrapped anew; the value stays.
    UnderDataKey,
    Changed(Recoded),
}

impl ValueRecoder for Rotation {
    fn table(&self, table: &Table, columns: &[&Column]) -> Option<Box<dyn RowRecoder>> {
        let name = table.name.key();
        let names: Vec<String> = columns.iter().map(|column| column.name.key()).collect();
        let tally = || Tally::new(name.clone(), names.iter().cloned());
        let setting_key = setting_key(table, columns);
        Some(Box::new(RotatingRows {
            keys: columns.iter().map(|column| is_key(table, column)).collect(),
            sentinel_due: self.sentinel == Sentinel::Written && self.new.is_some() && setting_key.is_some(),
            setting_key,
            changed: tally(),
            kept: tally(),
            carried: tally(),
            rotation: self.clone(),
            table: name,
            names,
        }))
    }
}

/// One table's.
#[derive(Debug)]
struct RotatingRows {
    rotation: Rotation,
    table: String,
    names: Vec<String>,
    /// Per column: is it a key?
    keys: Vec<bool>,
    setting_key: Option<usize>,
    /// Is there still no sentinel among the rows?
    sentinel_due: bool,
    changed: Tally,
    kept: Tally,
    carried: Tally,
}

impl RotatingRows {
    fn refusal(&self, column: usize, why: &str) -> PortError {
        PortError::new(
            ErrorKind::Precondition,
            format!("table {}, column {} {why}", self.table, self.names[column]),
        )
    }

    fn data_key(&mut self, column: usize, material: &[u8]) -> Result<Option<Recoded>, PortError> {
        // Without a new key the table is emptied.
        let Some(new) = &self.rotation.new else {
            return Ok(None);
        };
        let rewrapped = self
            .rotation
            .old
            .rewrap_data_key(material, new, self.rotation.nonce())
            .map_err(|_| {
                self.refusal(
                    column,
                    "holds a data key that MB_ENCRYPTION_SECRET_KEY does not open",
                )
            })?;
        self.changed.add(column);
        Ok(Some(Recoded::Bytes(rewrapped)))
    }
}

impl RowRecoder for RotatingRows {
    fn recode(
        &mut self,
        batch: &RowBatch,
        row: usize,
        column: usize,
        cell: Cell<'_>,
    ) -> Result<Option<Recoded>, PortError> {
        let setting = text_at(batch, row, self.setting_key);
        self.sentinel_due &= setting != Some(SENTINEL_SETTING);
        let found = match cell {
            Cell::Bytes(material) if self.table == DATA_KEYS && self.names[column] == "key_material" => {
                return self.data_key(column, material);
            }
            Cell::Text(text) => match (self.rotation.of_text(text, None), setting) {
                // Only what is encrypted and not opened is worth a second trial.
                (Found::Unreadable, Some(setting)) => {
                    self.rotation.of_text(text, Some(&setting_aad(setting)))
                }
                (found, _) => found,
            },
            Cell::Bytes(bytes) => self.rotation.of_bytes(bytes),
            _ => return Ok(None),
        };
        match found {
            Found::Plain => Ok(None),
            Found::UnderDataKey => {
                self.kept.add(column);
                Ok(None)
            }
            Found::Changed(_) if self.keys[column] => Err(self.refusal(
                column,
                "holds encrypted values, and is a key that other rows may name",
            )),
            Found::Changed(value) => {
                self.changed.add(column);
                Ok(Some(value))
            }
            Found::Unreadable => match self.rotation.unreadable {
                Unreadable::Carry => {
                    self.carried.add(column);
                    Ok(None)
                }
                Unreadable::Refuse => Err(self.refusal(
                    column,
                    "holds a value that looks encrypted, and MB_ENCRYPTION_SECRET_KEY does not open it",
                )),
            },
        }
    }

    fn append(&mut self, batch: &mut RowBatch) {
        let Some(new) = self.rotation.new.as_ref().filter(|_| self.sentinel_due) else {
            return;
        };
        self.sentinel_due = false;
        let value = sentinel_value(new, &self.rotation.random);
        for name in &self.names {
            batch.push(match name.as_str() {
                "key" => Cell::Text(SENTINEL_SETTING),
                "value" => Cell::Text(&value),
                _ => Cell::Null,
            });
        }
        batch.end_row();
    }

    fn notes(&self) -> Vec<String> {
        let done = match self.rotation.new {
            Some(_) => "put under the new key",
            None => "decrypted",
        };
        let changed = self.changed.notes(done);
        let kept = self
            .kept
            .notes("left as they are, under data keys that are wrapped anew");
        let carried = self
            .carried
            .notes("look encrypted and no key opens them; left as they are");
        changed.chain(kept).chain(carried).collect()
    }
}
