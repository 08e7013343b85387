//! The sentinel: the setting `encryption-check`, by which Metabase (since v53) tells whether its database is
//! encrypted and whether the key at hand is the right one. Check it before anything else is decrypted.

use super::envelope::Keyring;

/// Name of the setting.
pub const SENTINEL_SETTING: &str = "encryption-check";

/// What the sentinel holds in a database that is not encrypted.
pub const UNENCRYPTED: &str = "unencrypted";

/// What the sentinel and the key at hand say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentinelState {
    /// No row. Since v53: not encrypted. Before v53 there was no sentinel, so it says nothing.
    Absent,
    /// Not encrypted.
    Unencrypted,
    /// Encrypted, and the key at hand is the right one.
    Verified,
    /// Encrypted, and no key is at hand: set `MB_ENCRYPTION_SECRET_KEY`.
    KeyMissing,
    /// The key at hand does not open it: `MB_ENCRYPTION_SECRET_KEY` is not this database's.
    WrongKey,
}

/// Judges the sentinel's stored value.
#[must_use]
pub fn check_sentinel(stored: Option<&str>, keys: Option<&Keyring>) -> SentinelState {
    match (stored, keys) {
        (None, _) => SentinelState::Absent,
        (Some(UNENCRYPTED), _) => SentinelState::Unencrypted,
        (Some(_), None) => SentinelState::KeyMissing,
        (Some(value), Some(keys)) => match keys.decrypt_text(value, None) {
            Ok(_) => SentinelState::Verified,
            Err(_) => SentinelState::WrongKey,
        },
    }
}
