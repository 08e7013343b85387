//! How Metabase knows a caller: names of cookies and headers, where a session is looked up, when it is valid, how
//! an API key is found. The look-ups themselves and the bcrypt check are the adapter's work.

use crate::encryption::DerivedKey;
use crate::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha512};

/// Cookie of a session.
pub const SESSION_COOKIE: &str = "metabase.SESSION";
/// Header that stands in for [`SESSION_COOKIE`].
pub const SESSION_HEADER: &str = "X-Metabase-Session";
/// Cookie of a session in an embedding page. It needs [`ANTI_CSRF_HEADER`] and never belongs to an admin screen:
/// refuse it.
pub const EMBEDDED_SESSION_COOKIE: &str = "metabase.EMBEDDED_SESSION";
/// Header that goes with [`EMBEDDED_SESSION_COOKIE`].
pub const ANTI_CSRF_HEADER: &str = "X-Metabase-Anti-CSRF-Token";
/// Header of an API key.
pub const API_KEY_HEADER: &str = "X-API-KEY";
/// `MAX_SESSION_AGE` when it is not set, in minutes: 14 days.
pub const MAX_SESSION_AGE_MINUTES: u64 = 20_160;

/// Characters of an API key that `api_key.key_prefix` holds.
const API_KEY_PREFIX_CHARS: usize = 7;

/// How `core_session` names its sessions; told by whether it has a column `key_hashed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionSchema {
    /// Up to v53: `id` is the cookie's value.
    PlainId,
    /// From v54: `key_hashed` is a hash of it; `id` only in rows from before.
    KeyHashed,
}

/// One way to find the session's row: try them in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionLookup {
    /// `key_hashed` equals this, lower-case hex.
    KeyHashed(String),
    /// `id` equals this. In the schema [`SessionSchema::KeyHashed`] such rows are from before v54; their `key_hashed`
    /// is not NULL either, so no further condition tells them apart.
    Id(Secret),
}

/// Where to look for the session of a cookie's (or header's) value, best first. `session_key` is the derived key
/// of `MB_SESSION_SECRET_KEY`, if that is set.
#[must_use]
pub fn session_lookups(
    value: &str,
    schema: SessionSchema,
    session_key: Option<&DerivedKey>,
) -> Vec<SessionLookup> {
    match schema {
        SessionSchema::PlainId => vec![SessionLookup::Id(Secret::new(value))],
        SessionSchema::KeyHashed => {
            let hash = session_key.map_or_else(|| session_hash(value), |key| signed_session_hash(value, key));
            let mut lookups = vec![SessionLookup::KeyHashed(hash)];
            // Ids are random words now. Taking any value for an id would let in whoever can read the table.
            if is_well_formed_uuid(value) {
                lookups.push(SessionLookup::Id(Secret::new(value)));
            }
            lookups
        }
    }
}

/// SHA-512 of a session's value, lower-case hex (v54 and later).
#[must_use]
pub fn session_hash(value: &str) -> String {
    hex::encode(Sha512::digest(value.as_bytes()))
}

/// HMAC-SHA512 of a session's value under the whole derived key, lower-case hex (with a session secret, 2026).
#[must_use]
pub fn signed_session_hash(value: &str, key: &DerivedKey) -> String {
    let mut mac = Hmac::<Sha512>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(value.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// 8-4-4-4-12 hexadecimal digits, and nothing else.
#[must_use]
pub fn is_well_formed_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What a session's row and its user's say. Times in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// `core_session.created_at`.
    pub created_at_ms: i64,
    /// `core_session.expires_at`, where the column exists and is not NULL.
    pub expires_at_ms: Option<i64>,
    /// When the session was ended, where such a column exists and is not NULL.
    pub ended_at_ms: Option<i64>,
    /// What the session was made for.
    pub purpose: SessionPurpose,
    /// `core_user.is_active`, and the tenant's where there is one.
    pub user: UserStanding,
    /// `core_user.is_superuser`. Membership of group 2 mirrors it but is not what counts.
    pub rights: UserRights,
}

/// Told by `core_session.anti_csrf_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPurpose {
    /// NULL: a person at Metabase's own pages.
    Normal,
    /// Not NULL: a page that embeds Metabase.
    Embedded,
}

/// Whether a user may sign in at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserStanding {
    /// Yes.
    Active,
    /// The user, or the user's tenant, was deactivated.
    Inactive,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserRights {
    /// `is_superuser` is false.
    Ordinary,
    /// `is_superuser` is true.
    Superuser,
}

/// Why a session's row does not let its holder in. All of them are answered with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRefused {
    /// Older than the longest age, or past its own end.
    Expired,
    /// Signed out.
    Ended,
    /// An embedded session.
    Embedded,
    /// The user is not active.
    Inactive,
}

/// Judges a session that was found, by the database's clock.
///
/// # Errors
///
/// [`SessionRefused`]: the caller is nobody.
pub fn judge_session(
    facts: &SessionFacts,
    now_ms: i64,
    max_age_minutes: u64,
) -> Result<UserRights, SessionRefused> {
    let max_age_ms = i64::try_from(max_age_minutes.saturating_mul(60_000)).unwrap_or(i64::MAX);
    if facts.user == UserStanding::Inactive {
        return Err(SessionRefused::Inactive);
    }
    if facts.purpose == SessionPurpose::Embedded {
        return Err(SessionRefused::Embedded);
    }
    if facts.ended_at_ms.is_some() {
        return Err(SessionRefused::Ended);
    }
    if facts.created_at_ms <= now_ms.saturating_sub(max_age_ms)
        || facts.expires_at_ms.is_some_and(|end| end <= now_ms)
    {
        return Err(SessionRefused::Expired);
    }
    Ok(facts.rights)
}

/// The prefix by which an API key is found in `api_key.key_prefix`; `None` when the text cannot be a key, so that
/// no query is needed.
#[must_use]
pub fn api_key_prefix(key: &str) -> Option<&str> {
    let prefix = key.get(..API_KEY_PREFIX_CHARS)?;
    (prefix.starts_with("mb_") && key.is_ascii() && key.len() > API_KEY_PREFIX_CHARS).then_some(prefix)
}

#[cfg(test)]
mod tests;
