//! Closes the values that Metabase keeps encrypted when it has a key, in the legacy format, which every version reads.

use std::fmt;
use std::sync::Arc;

use metaferry_domain::recoding::{Recoded, RowRecoder, ValueRecoder};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};
use metaferry_domain::{ErrorKind, PortError};

use super::tally::Tally;
use super::{ENCRYPTED_COLUMNS, is_key, setting_key, text_at};
use crate::encryption::classify::{Classified, classify_bytes, classify_text};
use crate::encryption::envelope::Keyring;
use crate::encryption::sentinel::{SENTINEL_SETTING, UNENCRYPTED};
use crate::encryption::{DerivedKey, IV_BYTES};
use crate::settings::LAST_UPDATED;

/// Fresh random bytes, an initialisation vector at each call.
pub type RandomBytes = Arc<dyn Fn() -> [u8; IV_BYTES] + Send + Sync>;

/// Whether the version knows the setting `encryption-check`, by which it tells that its database is encrypted (since v53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentinel {
    /// It is written.
    Written,
    /// The version has none.
    Unknown,
}

/// Encrypts on the way.
#[derive(Clone)]
pub struct Encryption {
    keys: Arc<Keyring>,
    random: RandomBytes,
    sentinel: Sentinel,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption(***)")
    }
}

impl Encryption {
    /// Under `keys`' derived key.
    #[must_use]
    pub fn new(keys: Keyring, random: RandomBytes, sentinel: Sentinel) -> Self {
        Self {
            keys: Arc::new(keys),
            random,
            sentinel,
        }
    }

    fn sentinel_value(&self) -> String {
        sentinel_value(self.keys.root(), &self.random)
    }
}

/// A random UUID, encrypted: what the sentinel of an encrypted database holds.
pub(super) fn sentinel_value(key: &DerivedKey, random: &RandomBytes) -> String {
    let mut id = random();
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = hex::encode(id);
    let uuid = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    key.encrypt_text(&uuid, None, random())
}

impl ValueRecoder for Encryption {
    fn table(&self, table: &Table, columns: &[&Column]) -> Option<Box<dyn RowRecoder>> {
        let name = table.name.key();
        let wanted: Vec<bool> = columns
            .iter()
            .map(|column| {
                let key = column.name.key();
                ENCRYPTED_COLUMNS.contains(&(&name, &key)) && !is_key(table, column)
            })
            .collect();
        if !wanted.contains(&true) {
            return None;
        }
        let setting_key = setting_key(table, columns);
        Some(Box::new(EncryptingRows {
            encryption: self.clone(),
            table: name.clone(),
            sentinel_due: self.sentinel == Sentinel::Written && setting_key.is_some(),
            setting_key,
            names: columns.iter().map(|column| column.name.key()).collect(),
            closed: Tally::new(name, columns.iter().map(|column| column.name.key())),
            wanted,
        }))
    }
}

/// One table's.
#[derive(Debug)]
struct EncryptingRows {
    encryption: Encryption,
    table: String,
    setting_key: Option<usize>,
    /// Is there still no sentinel among the rows?
    sentinel_due: bool,
    names: Vec<String>,
    wanted: Vec<bool>,
    closed: Tally,
}

impl EncryptingRows {
    fn foreign(&self, column: usize) -> PortError {
        PortError::new(
            ErrorKind::Precondition,
            format!(
                "table {}, column {} holds a value that looks encrypted already, under another key",
                self.table, self.names[column]
            ),
        )
    }
}

impl RowRecoder for EncryptingRows {
    fn recode(
        &mut self,
        batch: &RowBatch,
        row: usize,
        column: usize,
        cell: Cell<'_>,
    ) -> Result<Option<Recoded>, PortError> {
        if !self.wanted[column] {
            return Ok(None);
        }
        let keys = &self.encryption.keys;
        let random = || (self.encryption.random)();
        let setting = text_at(batch, row, self.setting_key);
        let closed = match cell {
            // Metabase leaves these as they are.
            Cell::Text("") => return Ok(None),
            Cell::Text(UNENCRYPTED) if setting == Some(SENTINEL_SETTING) => {
                self.sentinel_due = false;
                return Ok(Some(Recoded::Text(self.encryption.sentinel_value())));
            }
            Cell::Text(text) => match classify_text(text, Some(keys), &[]) {
                Classified::Verified(_) => {
                    self.sentinel_due &= setting != Some(SENTINEL_SETTING);
                    return Ok(None);
                }
                Classified::LooksEncrypted => return Err(self.foreign(column)),
                Classified::Plaintext if setting.is_some_and(|setting| stays_plain(setting, text)) => {
                    return Ok(None);
                }
                Classified::Plaintext => Recoded::Text(keys.root().encrypt_text(text, None, random())),
            },
            Cell::Bytes(bytes) => match classify_bytes(bytes, Some(keys), &[]) {
                Classified::Verified(_) => return Ok(None),
                Classified::LooksEncrypted => return Err(self.foreign(column)),
                Classified::Plaintext => Recoded::Bytes(keys.root().encrypt_bytes(bytes, None, random())),
            },
            _ => return Ok(None),
        };
        self.closed.add(column);
        Ok(Some(closed))
    }

    fn append(&mut self, batch: &mut RowBatch) {
        if !self.sentinel_due {
            return;
        }
        self.sentinel_due = false;
        let value = self.encryption.sentinel_value();
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
        self.closed.notes("encrypted").collect()
    }
}

/// Settings that Metabase reads raw, and truth values, which it never encrypts.
fn stays_plain(setting: &str, value: &str) -> bool {
    setting == LAST_UPDATED || matches!(value, "true" | "false")
}
