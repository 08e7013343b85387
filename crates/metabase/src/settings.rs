//! Settings in Metabase's table `setting`, written beside its back: names, texts, and the protocol by which other
//! nodes learn of a change. Reading and writing the rows is the adapter's work; [`time_text`] reads the stored times.
//!
//! The setting and the bump of [`LAST_UPDATED`] belong in one transaction, with the row of the latter locked
//! while its new value is decided. Other nodes look at most once in [`CACHE_CHECK_MS`].

pub mod time_text;

use crate::encryption::sentinel::SentinelState;
use crate::encryption::{DerivedKey, IV_BYTES, setting_aad};
use crate::error::{BumpRefused, SettingRefused};
use crate::read_only::ReadOnlyMode;
use metaferry_domain::schema::Dialect;
use time_text::{MICROS_PER_SECOND, TimeText};

/// The read-only flag.
pub const READ_ONLY_MODE: &str = "read-only-mode";
/// When any setting last changed, by the database's clock, as text.
pub const LAST_UPDATED: &str = "settings-last-updated";
/// The instance's own address.
pub const SITE_URL: &str = "site-url";
/// The licence.
pub const PREMIUM_TOKEN: &str = "premium-embedding-token";
/// When the instance was set up.
pub const INSTANCE_CREATION: &str = "instance-creation";

/// A node looks for changes at most this often, in milliseconds, and only when some code reads a setting.
pub const CACHE_CHECK_MS: u64 = 60_000;

/// Waiting longer than this for the clock to pass a stored time is refused instead: the time is in the future.
const WAIT_MICROS_MAX: i64 = 10 * MICROS_PER_SECOND;

impl ReadOnlyMode {
    /// As Metabase stores it.
    #[must_use]
    pub fn setting_text(self) -> &'static str {
        match self {
            Self::On => "true",
            Self::Off => "false",
        }
    }

    /// Reads a stored text; no row means [`ReadOnlyMode::Off`]. Metabase compares without regard to case.
    ///
    /// `None`: neither true nor false. Metabase itself would fail to read it.
    #[must_use]
    pub fn from_setting_text(stored: Option<&str>) -> Option<Self> {
        match stored {
            None | Some("") => Some(Self::Off),
            Some(text) if text.eq_ignore_ascii_case("true") => Some(Self::On),
            Some(text) if text.eq_ignore_ascii_case("false") => Some(Self::Off),
            Some(_) => None,
        }
    }
}

/// The database's clock at the moment of the bump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseNow {
    /// Unix microseconds.
    pub unix_micros: i64,
    /// Offset from UTC, in seconds, of the server's own zone (`@@global.time_zone` on MySQL; not that of our
    /// session, which we may have set). It matters only on MySQL and for the very first value.
    pub server_offset_seconds: i32,
}

/// What to do with [`LAST_UPDATED`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bump {
    /// Update the row to this text.
    Write(String),
    /// There is no row: insert this text. Nodes that run already have never seen a value and will not notice the
    /// change before something else is set through Metabase.
    FirstWrite(String),
    /// Roll back, wait so many microseconds, and ask again: only then a value exists that is after the old one and
    /// not in the future.
    Wait {
        /// Microseconds, at most ten million.
        micros: u64,
    },
}

/// Decides the new text of [`LAST_UPDATED`]: the first whole second after the old one.
///
/// Nodes compare texts, not times, so the smallest step is the safest one. It keeps the old value's offset; it sorts
/// after the old value by code units as well as by a collation that ignores punctuation; and whatever Metabase writes
/// later sorts after it just as it would have sorted after the old value, whatever that node's time zone. The present
/// time, converted to the old offset, does not give that: after a change to winter time it hides later writes for an hour.
///
/// # Errors
///
/// [`BumpRefused`]: no text is safe. Set the setting through Metabase's own API.
pub fn bump(old: Option<&str>, now: DatabaseNow, dialect: Dialect) -> Result<Bump, BumpRefused> {
    let Some(text) = old else {
        return Ok(Bump::FirstWrite(TimeText::first(now, dialect).to_string()));
    };
    let unreadable = || BumpRefused::Unreadable {
        text: text.to_owned(),
        dialect,
    };
    let old = TimeText::parse(text).ok_or_else(unreadable)?;
    let offset_seconds = match (dialect, old.offset_seconds()) {
        (Dialect::MySql, None) => now.server_offset_seconds,
        (Dialect::Postgres | Dialect::H2, Some(seconds)) => seconds,
        (Dialect::MySql, Some(_)) | (Dialect::Postgres | Dialect::H2, None) => return Err(unreadable()),
    };
    let next = old.next_second();
    let wait = next.wall_micros() - i64::from(offset_seconds) * MICROS_PER_SECOND - now.unix_micros;
    match u64::try_from(wait) {
        Ok(0) | Err(_) => Ok(Bump::Write(next.to_string())),
        Ok(micros) if wait <= WAIT_MICROS_MAX => Ok(Bump::Wait { micros }),
        Ok(micros) => Err(too_far_ahead(text, micros, dialect)),
    }
}

fn too_far_ahead(text: &str, micros: u64, dialect: Dialect) -> BumpRefused {
    // No zone is more than 26 hours ahead of another.
    const ZONES_SPAN_SECONDS: u64 = 26 * 3600;
    let ahead_seconds = micros / MICROS_PER_SECOND.unsigned_abs();
    match dialect {
        Dialect::MySql if ahead_seconds <= ZONES_SPAN_SECONDS => BumpRefused::ForeignOffset {
            text: text.to_owned(),
        },
        Dialect::MySql | Dialect::Postgres | Dialect::H2 => BumpRefused::Future {
            text: text.to_owned(),
            ahead_seconds,
        },
    }
}

/// Which columns the table `setting` has; decide it from the live catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingColumns {
    /// `key` and `value`.
    Value,
    /// Also `value_with_aad` (v64/v65 and later).
    ValueAndAad,
}

impl SettingColumns {
    /// From the table's column names, in any case.
    ///
    /// # Errors
    ///
    /// [`SettingRefused::UnknownColumn`]: a later Metabase than we know; what must stand in it is not known.
    pub fn discover<'a>(
        setting: &str,
        columns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, SettingRefused> {
        let mut found = Self::Value;
        for column in columns {
            match column.to_lowercase().as_str() {
                "key" | "value" => {}
                "value_with_aad" => found = Self::ValueAndAad,
                _ => {
                    return Err(SettingRefused::UnknownColumn {
                        column: column.to_owned(),
                        setting: setting.to_owned(),
                    });
                }
            }
        }
        Ok(found)
    }
}

/// A row of `setting` as it must be written. Its `key` is the setting's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    /// For `value`.
    pub value: String,
    /// For `value_with_aad`; `None` where that column does not exist.
    pub value_with_aad: Option<String>,
}

/// What the database says about encryption, and the key at hand.
#[derive(Debug, Clone, Copy)]
pub struct EncryptionFacts<'a> {
    /// The sentinel, judged with that key.
    pub sentinel: SentinelState,
    /// The key at hand.
    pub key: Option<&'a DerivedKey>,
    /// What `value_with_aad` of [`LAST_UPDATED`] holds now, if anything: a second opinion on the sentinel's.
    pub last_updated_with_aad: Option<&'a str>,
}

/// What the columns must hold so that a node reads `plain` for a boolean setting or for [`LAST_UPDATED`]. Their
/// `value` is never encrypted; `value_with_aad` is whenever the database is, and a plain text there would stop every node
/// from reading its settings at all. `iv` must be random and is used only where something is encrypted.
///
/// # Errors
///
/// [`SettingRefused`]: the right content is not certain.
pub fn setting_row(
    setting: &str,
    plain: &str,
    columns: SettingColumns,
    facts: EncryptionFacts<'_>,
    iv: [u8; IV_BYTES],
) -> Result<SettingRow, SettingRefused> {
    let value = plain.to_owned();
    if columns == SettingColumns::Value {
        return Ok(SettingRow {
            value,
            value_with_aad: None,
        });
    }
    let key = match (facts.sentinel, facts.key) {
        (SentinelState::Verified, Some(key)) => Some(key),
        (SentinelState::Absent | SentinelState::Unencrypted, None) => None,
        (SentinelState::Absent | SentinelState::Unencrypted, Some(_)) => {
            return Err(SettingRefused::KeyUnexpected);
        }
        (SentinelState::Verified, None) | (SentinelState::KeyMissing | SentinelState::WrongKey, _) => {
            return Err(SettingRefused::KeyNeeded {
                setting: setting.to_owned(),
            });
        }
    };
    if let Some(stored) = facts.last_updated_with_aad {
        let agrees = match key {
            Some(key) => key.decrypt_text(stored, Some(&setting_aad(LAST_UPDATED))).is_ok(),
            None => TimeText::parse(stored).is_some(),
        };
        if !agrees {
            return Err(SettingRefused::Contradiction {
                setting: setting.to_owned(),
            });
        }
    }
    let with_aad = key.map_or_else(
        || value.clone(),
        |key| key.encrypt_text(plain, Some(&setting_aad(setting)), iv),
    );
    Ok(SettingRow {
        value,
        value_with_aad: Some(with_aad),
    })
}

#[cfg(test)]
mod tests;
