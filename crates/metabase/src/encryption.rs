//! Metabase's encryption at rest: deriving the key once, and the formats that values are stored in. Which values
//! of a database are encrypted is found by [`classify`], whether the key is the right one by [`sentinel`].
//!
//! Everything is pure: initialisation vectors come from the caller, and must be random and used once.

pub mod classify;
pub mod envelope;
pub mod recode;
pub mod rekey;
pub mod sentinel;

use crate::error::{DecryptError, KeyTooShort};
use crate::secret::Secret;
use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Fewest characters of `MB_ENCRYPTION_SECRET_KEY`; Metabase refuses to start with a shorter one.
pub const SECRET_CHARS_MIN: usize = 16;

/// Rounds of PBKDF2-HMAC-SHA512 (salt: empty).
const DERIVATION_ROUNDS: u32 = 100_000;

/// Bytes of an initialisation vector.
pub const IV_BYTES: usize = 16;

/// Bytes of the tag that ends a legacy value.
const TAG_BYTES: usize = 32;

/// Fewest bytes of a legacy value: IV, one cipher block, tag.
const LEGACY_BYTES_MIN: usize = IV_BYTES + 16 + TAG_BYTES;

/// First 32 bytes of the stream format, padded with blanks.
const STREAM_HEADER: &[u8; 32] = b"AES/CBC/PKCS5Padding            ";

/// The 64-byte key behind a secret: 32 bytes for the MAC, then 32 for the cipher. Deriving costs 100 000 rounds:
/// do it once and keep the value. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct DerivedKey(Zeroizing<[u8; 64]>);

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(***)")
    }
}

impl DerivedKey {
    /// Derives the key of `MB_ENCRYPTION_SECRET_KEY` or of a session secret.
    ///
    /// # Errors
    ///
    /// [`KeyTooShort`]: Metabase would not start with that secret either.
    pub fn derive(secret: &Secret) -> Result<Self, KeyTooShort> {
        let chars = secret.expose().chars().count();
        if chars < SECRET_CHARS_MIN {
            return Err(KeyTooShort { chars });
        }
        let mut key = Self(Zeroizing::new([0; 64]));
        pbkdf2::pbkdf2_hmac::<Sha512>(secret.expose().as_bytes(), b"", DERIVATION_ROUNDS, key.0.as_mut());
        Ok(key)
    }

    /// Is it the same key?
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (mac, cipher) = self.0.split_at(32);
        (
            mac.try_into().expect("half of 64 bytes is 32 bytes"),
            cipher.try_into().expect("half of 64 bytes is 32 bytes"),
        )
    }

    /// The whole key, for the session module's HMAC.
    pub(crate) fn bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Encrypts into the legacy format, as raw bytes.
    #[must_use]
    pub fn encrypt_bytes(&self, plain: &[u8], aad: Option<&[u8]>, iv: [u8; IV_BYTES]) -> Vec<u8> {
        let (mac_key, cipher_key) = self.halves();
        let mut out = iv.to_vec();
        out.extend(
            cbc::Encryptor::<Aes256>::new(cipher_key.into(), &iv.into()).encrypt_padded_vec::<Pkcs7>(plain),
        );
        let tag = legacy_mac(mac_key, aad, &out).finalize().into_bytes();
        out.extend_from_slice(&tag[..TAG_BYTES]);
        out
    }

    /// Encrypts into the legacy format, as Base64 text.
    #[must_use]
    pub fn encrypt_text(&self, plain: &str, aad: Option<&[u8]>, iv: [u8; IV_BYTES]) -> String {
        STANDARD.encode(self.encrypt_bytes(plain.as_bytes(), aad, iv))
    }

    /// Decrypts the legacy format from raw bytes.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Shape`] when the bytes cannot be of that format, [`DecryptError::Mac`] when this key (or this
    /// AAD) did not make them.
    pub fn decrypt_bytes(&self, raw: &[u8], aad: Option<&[u8]>) -> Result<Vec<u8>, DecryptError> {
        if !has_legacy_length(raw.len()) {
            return Err(DecryptError::Shape);
        }
        let (mac_key, cipher_key) = self.halves();
        let (signed, tag) = raw.split_at(raw.len() - TAG_BYTES);
        legacy_mac(mac_key, aad, signed)
            .verify_truncated_left(tag)
            .map_err(|_| DecryptError::Mac)?;
        decrypt_cbc(cipher_key, signed)
    }

    /// Decrypts the legacy format from Base64 text.
    ///
    /// # Errors
    ///
    /// As [`Self::decrypt_bytes`]; [`DecryptError::NotText`] when what was encrypted is not UTF-8.
    pub fn decrypt_text(&self, text: &str, aad: Option<&[u8]>) -> Result<String, DecryptError> {
        let raw = STANDARD.decode(text).map_err(|_| DecryptError::Shape)?;
        into_text(self.decrypt_bytes(&raw, aad)?)
    }

    /// Decrypts the stream format, in which query results are cached since v53. It has no MAC: that the padding
    /// fits says little about the key.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Shape`] without the header or with a broken padding.
    pub fn decrypt_stream(&self, raw: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let body = raw
            .strip_prefix(STREAM_HEADER.as_slice())
            .ok_or(DecryptError::Shape)?;
        decrypt_cbc(self.halves().1, body)
    }

    /// Encrypts into the stream format.
    #[must_use]
    pub fn encrypt_stream(&self, plain: &[u8], iv: [u8; IV_BYTES]) -> Vec<u8> {
        let mut out = STREAM_HEADER.to_vec();
        out.extend_from_slice(&iv);
        let cipher = cbc::Encryptor::<Aes256>::new(self.halves().1.into(), &iv.into());
        out.extend(cipher.encrypt_padded_vec::<Pkcs7>(plain));
        out
    }
}

/// The AAD of `setting.value_with_aad`.
#[must_use]
pub fn setting_aad(setting: &str) -> Vec<u8> {
    format!("setting.{setting}").into_bytes()
}

/// Could a raw value of that many bytes be in the legacy format?
fn has_legacy_length(bytes: usize) -> bool {
    bytes >= LEGACY_BYTES_MIN && (bytes - TAG_BYTES).is_multiple_of(16)
}

fn legacy_mac(key: &[u8; 32], aad: Option<&[u8]>, signed: &[u8]) -> Hmac<Sha512> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    if let Some(aad) = aad {
        mac.update(aad);
    }
    mac.update(signed);
    if let Some(aad) = aad {
        let bits = (aad.len() as u64).saturating_mul(8);
        mac.update(&bits.to_be_bytes());
    }
    mac
}

/// `iv_and_body`: an IV, then at least one block.
fn decrypt_cbc(key: &[u8; 32], iv_and_body: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let (iv, body) = iv_and_body
        .split_first_chunk::<IV_BYTES>()
        .ok_or(DecryptError::Shape)?;
    cbc::Decryptor::<Aes256>::new(key.into(), iv.into())
        .decrypt_padded_vec::<Pkcs7>(body)
        .map_err(|_| DecryptError::Shape)
}

fn into_text(plain: Vec<u8>) -> Result<String, DecryptError> {
    String::from_utf8(plain).map_err(|error| {
        let mut bytes = error.into_bytes();
        bytes.zeroize();
        DecryptError::NotText
    })
}

#[cfg(test)]
mod tests;
