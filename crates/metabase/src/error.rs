//! What can be wrong with what we know of a Metabase: one enum per thing that fails. Nothing here holds or shows a
//! secret.

use thiserror::Error;

/// A secret that Metabase would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the secret has {chars} characters and needs at least 16")]
pub struct KeyTooShort {
    /// How many it has.
    pub chars: usize,
}

/// A value could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Length, encoding or padding do not fit: the value is probably not encrypted.
    #[error("the value does not have the shape of an encrypted one")]
    Shape,
    /// Another key made it, or it was damaged.
    #[error("the value was not encrypted with this key, or is damaged")]
    Mac,
    /// A text column held encrypted bytes that are no text.
    #[error("the decrypted value is not UTF-8 text")]
    NotText,
    /// The envelope names a data key that was not given.
    #[error("no data key of generation {generation} in data_encryption_key")]
    UnknownGeneration {
        /// The generation that the value names.
        generation: u32,
    },
}

/// A version tag could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Not of the form `v<0|1>.<major>…` or `vLOCAL_DEV`.
    #[error("{tag:?} is not a Metabase version (expected a tag such as v0.55.3)")]
    Malformed {
        /// What was given.
        tag: String,
    },
}

/// Why `settings-last-updated` cannot be bumped safely. The way out is always the same: set the setting through
/// Metabase's own API.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BumpRefused {
    /// The stored text has another shape than this database's Metabase writes.
    #[error("settings-last-updated holds {text:?}, which is no time as Metabase writes it on {dialect}")]
    Unreadable {
        /// What is stored.
        text: String,
        /// The database.
        dialect: metaferry_domain::schema::Dialect,
    },
    /// The stored time is ahead of the database's clock: a value after it would hide later changes from nodes.
    #[error(
        "settings-last-updated holds {text:?}, which is {ahead_seconds} s in the future by the database's clock"
    )]
    Future {
        /// What is stored.
        text: String,
        /// By how much.
        ahead_seconds: u64,
    },
    /// MySQL texts carry no offset, and this one cannot be a time of the server's own zone.
    #[error(
        "settings-last-updated holds {text:?}, a time that the server's own zone has not reached: some node writes in another time zone"
    )]
    ForeignOffset {
        /// What is stored.
        text: String,
    },
}

/// Why a setting cannot be written beside Metabase's back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingRefused {
    /// The table has a column whose meaning is not known.
    #[error("table setting has the unknown column {column:?}; set {setting} through Metabase's own API")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The setting.
        setting: String,
    },
    /// `value_with_aad` must be ciphertext, and the right key is not at hand.
    #[error("{setting} must be written encrypted; give the right MB_ENCRYPTION_SECRET_KEY")]
    KeyNeeded {
        /// The setting.
        setting: String,
    },
    /// A key is at hand and the database says that it is not encrypted.
    #[error("MB_ENCRYPTION_SECRET_KEY is set, and the database says that it is not encrypted")]
    KeyUnexpected,
    /// What `value_with_aad` holds now contradicts what the sentinel says.
    #[error(
        "value_with_aad of {setting} does not agree with encryption-check; set it through Metabase's own API"
    )]
    Contradiction {
        /// The setting.
        setting: String,
    },
}

/// Why the encryption key of a database is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RekeyRefused {
    /// Neither an old nor a new key.
    #[error("neither an old nor a new key is given: there is nothing to change")]
    NoKeys,
    /// Old and new key are one.
    #[error("the new key is the same as MB_ENCRYPTION_SECRET_KEY: there is nothing to change")]
    SameKey,
    /// The sentinel says encrypted, and no key is at hand.
    #[error("the app DB is encrypted (setting encryption-check): give its MB_ENCRYPTION_SECRET_KEY")]
    KeyMissing,
    /// The key at hand does not open the sentinel.
    #[error(
        "MB_ENCRYPTION_SECRET_KEY is not the key of this app DB: it does not open the setting encryption-check"
    )]
    WrongKey,
    /// A key is at hand, and nothing is encrypted with it.
    #[error(
        "the app DB is not encrypted with MB_ENCRYPTION_SECRET_KEY; to encrypt a plain app DB leave that variable unset"
    )]
    NotEncrypted,
    /// What that version keeps encrypted is not known.
    #[error(
        "what a Metabase after v62 (or of an unknown version) keeps encrypted cannot be told from outside; that Metabase \
         encrypts its app DB itself when it starts with the key"
    )]
    NotEncryptable,
}

/// Why no copy policy fits a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A table was named that the database does not have.
    #[error("there is no table {name:?} to include or exclude")]
    NoSuchTable {
        /// As it was named.
        name: String,
    },
    /// A table was named twice.
    #[error("table {table} is both included and excluded")]
    IncludedAndExcluded {
        /// The table.
        table: String,
    },
    /// The rows would be wrong, or do harm, at the target.
    #[error("table {table} cannot be included: {why}")]
    IncludeRefused {
        /// The table.
        table: String,
        /// Why.
        why: &'static str,
    },
    /// A table of Metabase's would refer to rows that stay behind.
    #[error(
        "{table}.{column} must refer to a row of {parent}, which is left out; include {parent} or exclude {table}"
    )]
    Dangling {
        /// The referring table.
        table: String,
        /// Its columns.
        column: String,
        /// The table that is left out.
        parent: String,
    },
}

/// Everything that speaks against a copy policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl std::fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
