//! What a change of a database's encryption key consists of, and when it is refused. Walking the rows, writing them and
//! the transaction around are the adapter's work.

use std::fmt;
use std::sync::Arc;

use metaferry_domain::recoding::ValueRecoder;

use super::envelope::Keyring;
use super::recode::{
    Decryption, ENCRYPTABLE_MAJOR_MAX, ENCRYPTED_COLUMNS, Encryption, RandomBytes, Rotation, Sentinel,
    Unreadable,
};
use super::sentinel::{SENTINEL_SETTING, SentinelState, check_sentinel};
use super::{DerivedKey, setting_aad};
use crate::error::RekeyRefused;
use crate::settings::LAST_UPDATED;

/// Since this major version a database says by a setting that it is encrypted.
pub const SENTINEL_SINCE_MAJOR: u32 = 53;

/// Emptied whenever the key changes: cached query results, which are made again.
const QUERY_CACHE: &str = "query_cache";

/// What is known of the database before the rows are looked at.
#[derive(Debug)]
pub struct RekeyFacts<'a> {
    /// The setting `encryption-check`, as it is stored.
    pub sentinel: Option<&'a str>,
    /// Metabase's major version, where it is known.
    pub major: Option<u32>,
}

/// A change of the key that nothing speaks against so far.
#[derive(Clone)]
pub struct Rekey {
    change: Change,
    recoding: Arc<dyn ValueRecoder>,
    proofs: Vec<Arc<dyn ValueRecoder>>,
    new: Option<DerivedKey>,
    random: RandomBytes,
}

/// From what to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// From one key to another.
    Rotate,
    /// From a plain database to one under a key.
    Encrypt,
    /// From a key to a plain database.
    Decrypt,
}

impl fmt::Debug for Rekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rekey")
            .field("change", &self.change)
            .finish_non_exhaustive()
    }
}

impl Rekey {
    /// From `old` (with the data keys that it opens; none: the database is plain) to `new` (none: it is plain afterwards).
    ///
    /// # Errors
    ///
    /// [`RekeyRefused`]: the keys are the same or none, or the sentinel says that `old` is not this database's.
    pub fn plan(
        facts: &RekeyFacts<'_>,
        old: Option<Keyring>,
        new: Option<DerivedKey>,
        random: RandomBytes,
        unreadable: Unreadable,
    ) -> Result<Self, RekeyRefused> {
        let sentinel = check_sentinel(facts.sentinel, old.as_ref());
        match (sentinel, &old) {
            (SentinelState::KeyMissing, _) => return Err(RekeyRefused::KeyMissing),
            (SentinelState::WrongKey, _) => return Err(RekeyRefused::WrongKey),
            // Metabase would encrypt everything once more.
            (SentinelState::Unencrypted, Some(_)) => return Err(RekeyRefused::NotEncrypted),
            (SentinelState::Absent | SentinelState::Verified, _) | (SentinelState::Unencrypted, None) => {}
        }
        let written = if facts.major.is_some_and(|major| major >= SENTINEL_SINCE_MAJOR) {
            Sentinel::Written
        } else {
            Sentinel::Unknown
        };
        let (change, recoding, mut proofs): (_, Arc<dyn ValueRecoder>, Vec<Arc<dyn ValueRecoder>>) =
            match (old, &new) {
                (None, None) => return Err(RekeyRefused::NoKeys),
                (Some(old), Some(new)) if old.root().is_same_as(new) => return Err(RekeyRefused::SameKey),
                (Some(old), new) => {
                    let change = if new.is_some() {
                        Change::Rotate
                    } else {
                        Change::Decrypt
                    };
                    let rotation = Rotation::new(old, new.clone(), Arc::clone(&random), unreadable, written);
                    (change, Arc::new(rotation), Vec::new())
                }
                (None, Some(new)) => {
                    if facts.major.is_none_or(|major| major > ENCRYPTABLE_MAJOR_MAX) {
                        return Err(RekeyRefused::NotEncryptable);
                    }
                    let encryption = Encryption::new(Keyring::new(new.clone()), Arc::clone(&random), written);
                    // Nothing may be encrypted already, under whatever key and in whatever column.
                    let proof: Arc<dyn ValueRecoder> = Arc::new(Decryption::new(None, unreadable));
                    (Change::Encrypt, Arc::new(encryption), vec![proof])
                }
            };
        proofs.push(Arc::clone(&recoding));
        Ok(Self {
            change,
            recoding,
            proofs,
            new,
            random,
        })
    }

    /// From what to what.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }

    /// Asked for every value before anything is written; what one of them refuses stops everything.
    #[must_use]
    pub fn proofs(&self) -> &[Arc<dyn ValueRecoder>] {
        &self.proofs
    }

    /// Changes the values, and appends a sentinel where one is missing.
    #[must_use]
    pub fn recoding(&self) -> &dyn ValueRecoder {
        &*self.recoding
    }

    /// Tables that are emptied, where they are there; in lower case.
    #[must_use]
    pub fn emptied(&self) -> &'static [&'static str] {
        match self.change {
            Change::Rotate | Change::Encrypt => &[QUERY_CACHE],
            Change::Decrypt => &[QUERY_CACHE, "data_encryption_key"],
        }
    }

    /// A setting that is removed: without one every version since the sentinel came takes its database for plain.
    #[must_use]
    pub fn removed_setting(&self) -> Option<&'static str> {
        (self.change == Change::Decrypt).then_some(SENTINEL_SETTING)
    }

    /// Must every value of that column be seen, however short? Names in lower case.
    #[must_use]
    pub fn sees_all_of(&self, table: &str, column: &str) -> bool {
        (table, column) == ("setting", "key")
            || (self.change == Change::Encrypt && ENCRYPTED_COLUMNS.contains(&(table, column)))
    }

    /// Refuses a database in which the old key has opened nothing, though a key was given.
    ///
    /// # Errors
    ///
    /// [`RekeyRefused::NotEncrypted`].
    pub fn refuse_if_nothing(&self, values: u64) -> Result<(), RekeyRefused> {
        match self.change {
            Change::Rotate | Change::Decrypt if values == 0 => Err(RekeyRefused::NotEncrypted),
            Change::Rotate | Change::Decrypt | Change::Encrypt => Ok(()),
        }
    }

    /// What `value_with_aad` of [`LAST_UPDATED`] must hold afterwards beside `plain` in `value`.
    #[must_use]
    pub fn last_updated_with_aad(&self, plain: &str) -> String {
        self.new.as_ref().map_or_else(
            || plain.to_owned(),
            |key| key.encrypt_text(plain, Some(&setting_aad(LAST_UPDATED)), (self.random)()),
        )
    }
}

#[cfg(test)]
mod tests;
