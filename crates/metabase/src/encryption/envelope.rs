//! The envelope format ("v2"): values under data keys, data keys under the derived key. Proposed upstream and
//! numbered v65 when we looked; reading it costs little. Writing values in it is left out: a dump is written plain or in the
//! legacy format, which every version reads. Under a new key the data keys are wrapped anew, and their values stay.

use super::{DerivedKey, into_text};
use crate::error::DecryptError;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// First bytes of a value in this format: "MB", version 2. In Base64 it begins with `TUIC`.
pub const MAGIC: [u8; 3] = [0x4d, 0x42, 0x02];

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
const GCM_TAG_BYTES: usize = 16;

/// The key that values of one generation are encrypted under. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(***)")
    }
}

/// The derived key and every data key that it unwraps.
#[derive(Debug, Clone)]
pub struct Keyring {
    root: DerivedKey,
    data_keys: BTreeMap<u32, DataKey>,
}

impl Keyring {
    /// A keyring without data keys: all that versions before the envelope format need.
    #[must_use]
    pub fn new(root: DerivedKey) -> Self {
        Self {
            root,
            data_keys: BTreeMap::new(),
        }
    }

    /// Takes in a row of `data_encryption_key`: its id is the generation, `key_material` the wrapped key.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Mac`]: wrapped by another key; [`DecryptError::Shape`]: not 32 bytes, wrapped.
    pub fn unwrap_data_key(&mut self, generation: u32, key_material: &[u8]) -> Result<(), DecryptError> {
        let mut plain = open(self.root.halves().0, key_material, None)?;
        let key = <[u8; 32]>::try_from(plain.as_slice()).map(Zeroizing::new);
        plain.zeroize();
        self.data_keys
            .insert(generation, DataKey(key.map_err(|_| DecryptError::Shape)?));
        Ok(())
    }

    /// A row of `data_encryption_key`, wrapped by this keyring's derived key, wrapped by `new` instead: the values under it
    /// stay as they are. `nonce` must be random and used once.
    ///
    /// # Errors
    ///
    /// As [`Self::unwrap_data_key`].
    pub fn rewrap_data_key(
        &self,
        key_material: &[u8],
        new: &DerivedKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, DecryptError> {
        let plain = Zeroizing::new(open(self.root.halves().0, key_material, None)?);
        if plain.len() != 32 {
            return Err(DecryptError::Shape);
        }
        let sealed = Aes256Gcm::new(new.halves().0.into())
            .encrypt(&nonce.into(), plain.as_slice())
            .expect("a data key is far below what the cipher takes");
        let mut wrapped = nonce.to_vec();
        wrapped.extend(sealed);
        Ok(wrapped)
    }

    /// Does one of the data keys open these raw bytes? Then they stay what they are when the derived key changes.
    #[must_use]
    pub fn opens_envelope(&self, raw: &[u8], aad: Option<&[u8]>) -> bool {
        self.decrypt_envelope(raw, aad).is_ok()
    }

    /// The derived key.
    #[must_use]
    pub fn root(&self) -> &DerivedKey {
        &self.root
    }

    /// Decrypts raw bytes in the envelope or the legacy format, whichever they are.
    ///
    /// # Errors
    ///
    /// As [`DerivedKey::decrypt_bytes`]; [`DecryptError::UnknownGeneration`] when the envelope names a data key that
    /// this keyring does not hold.
    pub fn decrypt_bytes(&self, raw: &[u8], aad: Option<&[u8]>) -> Result<Vec<u8>, DecryptError> {
        if !raw.starts_with(&MAGIC) {
            return self.root.decrypt_bytes(raw, aad);
        }
        // A legacy value begins with a random IV, so one in 16 million also begins like an envelope.
        self.decrypt_envelope(raw, aad)
            .or_else(|error| self.root.decrypt_bytes(raw, aad).map_err(|_| error))
    }

    /// Decrypts Base64 text in the envelope or the legacy format.
    ///
    /// # Errors
    ///
    /// As [`Self::decrypt_bytes`]; [`DecryptError::NotText`] when what was encrypted is not UTF-8.
    pub fn decrypt_text(&self, text: &str, aad: Option<&[u8]>) -> Result<String, DecryptError> {
        let raw = STANDARD.decode(text).map_err(|_| DecryptError::Shape)?;
        into_text(self.decrypt_bytes(&raw, aad)?)
    }

    fn decrypt_envelope(&self, raw: &[u8], aad: Option<&[u8]>) -> Result<Vec<u8>, DecryptError> {
        let body = raw.strip_prefix(&MAGIC).ok_or(DecryptError::Shape)?;
        let (generation, sealed) = body.split_first_chunk::<4>().ok_or(DecryptError::Shape)?;
        let generation = u32::from_be_bytes(*generation);
        let key = self
            .data_keys
            .get(&generation)
            .ok_or(DecryptError::UnknownGeneration { generation })?;
        open(&key.0, sealed, aad)
    }
}

/// Could raw bytes be an envelope, by their first bytes and length?
pub(super) fn has_envelope_shape(raw: &[u8]) -> bool {
    raw.starts_with(&MAGIC) && raw.len() >= MAGIC.len() + 4 + NONCE_BYTES + GCM_TAG_BYTES
}

/// Opens `nonce ‖ ciphertext ‖ tag`.
fn open(key: &[u8; 32], sealed: &[u8], aad: Option<&[u8]>) -> Result<Vec<u8>, DecryptError> {
    let (nonce, body) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(DecryptError::Shape)?;
    if body.len() < GCM_TAG_BYTES {
        return Err(DecryptError::Shape);
    }
    Aes256Gcm::new(key.into())
        .decrypt(
            nonce.into(),
            Payload {
                msg: body,
                aad: aad.unwrap_or_default(),
            },
        )
        .map_err(|_| DecryptError::Mac)
}
