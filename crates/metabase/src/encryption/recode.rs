//! Whole databases between encrypted and plain, value by value, on their way through a copy. [`Decryption`] opens whatever
//! a key proves to be encrypted, in any column; [`Encryption`] closes what Metabase keeps encrypted when it has a key;
//! [`Rotation`] puts what one key proves under another.
//! Where keys come from, and whether the sentinel agrees, is decided before.

mod decryption;
mod encryption;
mod rotation;
mod tally;

pub use decryption::{Decryption, Unreadable};
pub use encryption::{Encryption, RandomBytes, Sentinel};
pub use rotation::Rotation;

use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};

/// Table and column of the values that every version up to [`ENCRYPTABLE_MAJOR_MAX`] encrypts as a whole when it has a key.
/// Later ones encrypt more, some of it compared in SQL by versions that do not: only these are safe in all.
pub const ENCRYPTED_COLUMNS: [(&str, &str); 6] = [
    ("channel", "details"),
    ("core_user", "settings"),
    ("metabase_database", "details"),
    ("metabase_database", "settings"),
    ("secret", "value"),
    ("setting", "value"),
];

/// Up to this major version a value that is left plain is read as well, so that the list above is enough. Later versions
/// read strictly, and which settings they encrypt cannot be told from outside: Metabase itself must encrypt.
pub const ENCRYPTABLE_MAJOR_MAX: u32 = 62;

/// Where `setting.key` is among the cells of a row: it is the AAD of other cells.
fn setting_key(table: &Table, columns: &[&Column]) -> Option<usize> {
    if table.name.key() != "setting" {
        return None;
    }
    columns.iter().position(|column| column.name.key() == "key")
}

fn text_at(batch: &RowBatch, row: usize, column: Option<usize>) -> Option<&str> {
    match batch.cell(row, column?) {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// Is the column part of the primary key or of a reference? Such a value is compared with others, as it is.
fn is_key(table: &Table, column: &Column) -> bool {
    let primary = table.primary_key.iter().flat_map(|key| &key.columns);
    let references = table.foreign_keys.iter().flat_map(|key| &key.columns);
    primary.chain(references).any(|name| *name == column.name)
}

#[cfg(test)]
mod tests;
