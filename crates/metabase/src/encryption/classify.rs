//! Is a stored value plain, or encrypted, and can it be read? Only a MAC proves encryption; the shape of a value
//! only suggests it, and the suggestion is made strict enough that hashes, tokens and key files are not taken for
//! ciphertext. What to do with a value that looks encrypted and does not verify is the caller's choice.

use super::envelope::{Keyring, MAGIC, has_envelope_shape};
use super::{STREAM_HEADER, has_legacy_length};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A shorter text cannot be ciphertext: Base64 of [`RAW_BYTES_MIN`].
pub const TEXT_BYTES_MIN: usize = 48;
/// Fewer bytes cannot be ciphertext: an envelope around nothing.
pub const RAW_BYTES_MIN: usize = 35;

/// What a stored value is.
#[derive(Clone, PartialEq, Eq)]
pub enum Classified<T> {
    /// Not encrypted in any format of Metabase's.
    Plaintext,
    /// Has the shape of ciphertext, and no key at hand verifies it. Carrying it as it is would carry garbage.
    LooksEncrypted,
    /// Encrypted under a key at hand; the plaintext is inside.
    Verified(T),
}

impl<T> Classified<T> {
    /// The same of the plaintext made into something else.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Classified<U> {
        match self {
            Self::Plaintext => Classified::Plaintext,
            Self::LooksEncrypted => Classified::LooksEncrypted,
            Self::Verified(plain) => Classified::Verified(make(plain)),
        }
    }
}

impl<T> fmt::Debug for Classified<T> {
    /// Without the plaintext: it was encrypted for a reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "Plaintext",
            Self::LooksEncrypted => "LooksEncrypted",
            Self::Verified(_) => "Verified(***)",
        })
    }
}

/// Classifies a text value. It is tried without AAD first, then with each of `aads` (see
/// [`setting_aad`](super::setting_aad)).
#[must_use]
pub fn classify_text(text: &str, keys: Option<&Keyring>, aads: &[&[u8]]) -> Classified<String> {
    // Cheap refusals first: this runs on every text of a database.
    if text.len() < TEXT_BYTES_MIN || !text.len().is_multiple_of(4) || !mixes_base64_letters(text) {
        return Classified::Plaintext;
    }
    let Ok(raw) = STANDARD.decode(text) else {
        return Classified::Plaintext;
    };
    if !(has_legacy_length(raw.len()) || has_envelope_shape(&raw)) {
        return Classified::Plaintext;
    }
    let verified = keys.and_then(|keys| attempts(aads).find_map(|aad| keys.decrypt_bytes(&raw, aad).ok()));
    match verified.map(String::from_utf8) {
        Some(Ok(plain)) => Classified::Verified(plain),
        Some(Err(_)) => Classified::LooksEncrypted,
        // Base64 of a text or of a known file is somebody's data, not ciphertext.
        None if is_recognisably_plain(&raw) => Classified::Plaintext,
        None => Classified::LooksEncrypted,
    }
}

/// Classifies a binary value; otherwise as [`classify_text`].
#[must_use]
pub fn classify_bytes(raw: &[u8], keys: Option<&Keyring>, aads: &[&[u8]]) -> Classified<Vec<u8>> {
    if raw.starts_with(STREAM_HEADER) {
        // No MAC: it cannot be verified, only recognised.
        return Classified::LooksEncrypted;
    }
    if !(has_legacy_length(raw.len()) || has_envelope_shape(raw)) {
        return Classified::Plaintext;
    }
    match keys.and_then(|keys| attempts(aads).find_map(|aad| keys.decrypt_bytes(raw, aad).ok())) {
        Some(plain) => Classified::Verified(plain),
        None if is_recognisably_plain(raw) => Classified::Plaintext,
        None => Classified::LooksEncrypted,
    }
}

fn attempts<'a>(aads: &'a [&'a [u8]]) -> impl Iterator<Item = Option<&'a [u8]>> {
    std::iter::once(None).chain(aads.iter().map(|aad| Some(*aad)))
}

/// Base64 of 64 random bytes has small and capital letters and digits (the odds against are below 1 in 10^8, for
/// the digits, and fall with the length); hexadecimal hashes and words do not have all three.
fn mixes_base64_letters(text: &str) -> bool {
    let (mut small, mut capital, mut other) = (false, false, false);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' => small = true,
            b'A'..=b'Z' => capital = true,
            b'0'..=b'9' | b'+' | b'/' => other = true,
            b'=' => {}
            _ => return false,
        }
    }
    small && capital && other
}

/// Random bytes are never 64 bytes of UTF-8, and hardly ever begin like a key store or an archive.
fn is_recognisably_plain(raw: &[u8]) -> bool {
    if raw.starts_with(&MAGIC) {
        return false;
    }
    std::str::from_utf8(raw).is_ok() || is_known_file(raw)
}

fn is_known_file(raw: &[u8]) -> bool {
    const JAVA_KEY_STORE: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
    const JCEKS_KEY_STORE: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
    // What Quartz keeps of its jobs.
    const JAVA_SERIALIZED: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
    const ZIP: &[u8] = b"PK\x03\x04";
    const GZIP: [u8; 4] = [0x1f, 0x8b, 0x08, 0x00];
    let is_der_sequence = match raw {
        // DER: SEQUENCE, two length bytes; certificates, keys and PKCS#12 stores fill the file exactly.
        [0x30, 0x82, high, low, body @ ..] => usize::from(u16::from_be_bytes([*high, *low])) == body.len(),
        _ => false,
    };
    is_der_sequence
        || [
            &JAVA_KEY_STORE[..],
            &JCEKS_KEY_STORE,
            &JAVA_SERIALIZED,
            ZIP,
            &GZIP,
        ]
        .iter()
        .any(|magic| raw.starts_with(magic))
}
