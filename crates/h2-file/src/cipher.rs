//! Files written with CIPHER=AES: block 0 of the file holds a salt, then the whole plain file follows in sectors of
//! 4096 bytes, each encrypted by AES-128 in XTS mode with one key for both uses.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::sync::Arc;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that are encrypted as one.
pub(crate) const SECTOR_BYTES: usize = 4096;
/// What an encrypted file begins with; the salt follows.
pub(crate) const MAGIC: &[u8] = b"H2encrypt\n";
/// Length of the salt.
pub(crate) const SALT_BYTES: usize = 8;

const KEY_BYTES: usize = 16;
const UNIT_BYTES: usize = 16;
/// So few that only the password's own strength protects the file; the format fixes it.
const DERIVATION_ROUNDS: u32 = 10;

/// The file password of a database written with CIPHER=AES. It is never shown, and its memory is cleared when the
/// last copy goes.
#[derive(Clone)]
pub struct FilePassword(Arc<Zeroizing<Vec<u8>>>);

impl FilePassword {
    /// The password as H2 takes it: in a JDBC URL's password it is what stands before the first space.
    #[must_use]
    pub fn new(password: &str) -> Self {
        // H2 keeps the low byte of each UTF-16 unit only.
        let mut bytes = Zeroizing::new(Vec::with_capacity(password.len().saturating_mul(2)));
        for unit in password.encode_utf16() {
            let [_, low] = unit.to_be_bytes();
            bytes.extend_from_slice(&[0, low]);
        }
        Self(Arc::new(bytes))
    }
}

/// Clears the text that the password was in.
impl From<String> for FilePassword {
    fn from(mut password: String) -> Self {
        let taken = Self::new(&password);
        password.zeroize();
        taken
    }
}

impl fmt::Debug for FilePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilePassword(…)")
    }
}

/// The key of one file.
pub(crate) struct FileCipher(Aes128);

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCipher(…)")
    }
}

impl FileCipher {
    pub(crate) fn new(password: &FilePassword, salt: &[u8; SALT_BYTES]) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        pbkdf2::pbkdf2_hmac::<Sha256>(&password.0, salt, DERIVATION_ROUNDS, key.as_mut());
        Self(Aes128::new(&(*key).into()))
    }

    /// Decrypts sector number `number`, counted from the first one behind the salt.
    pub(crate) fn decrypt(&self, number: u64, sector: &mut [u8; SECTOR_BYTES]) {
        let mut first: aes::Block = u128::from(number).to_le_bytes().into();
        self.0.encrypt_block(&mut first);
        let mut tweak = u128::from_le_bytes(first.into());
        for unit in sector.as_chunks_mut::<UNIT_BYTES>().0 {
            let mut block = (u128::from_le_bytes(*unit) ^ tweak).to_le_bytes().into();
            self.0.decrypt_block(&mut block);
            *unit = (u128::from_le_bytes(block.into()) ^ tweak).to_le_bytes();
            tweak = doubled(tweak);
        }
    }
}

/// Multiplication by x in the field of 2^128 elements.
fn doubled(tweak: u128) -> u128 {
    let carry = if tweak >> 127 == 1 { 0x87 } else { 0 };
    tweak.wrapping_shl(1) ^ carry
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619, test vector 1 of XTS-AES-128: both keys zero, as one key for both uses is.
    #[test]
    fn decrypts_the_standard_vector_whose_two_keys_are_equal() {
        let cipher = FileCipher(Aes128::new(&[0; KEY_BYTES].into()));
        let mut sector = [0; SECTOR_BYTES];
        let expected = [
            0x91, 0x7c, 0xf6, 0x9e, 0xbd, 0x68, 0xb2, 0xec, 0x9b, 0x9f, 0xe9, 0xa3, 0xea, 0xdd, 0xa6, 0x92,
            0xcd, 0x43, 0xd2, 0xf5, 0x95, 0x98, 0xed, 0x85, 0x8c, 0x02, 0xc2, 0x65, 0x2f, 0xbf, 0x92, 0x2e,
        ];
        sector[..32].copy_from_slice(&expected);
        cipher.decrypt(0, &mut sector);
        assert_eq!(sector[..32], [0; 32]);
    }

    #[test]
    fn shows_no_password() {
        let password = FilePassword::new("filepw");
        assert_eq!(format!("{password:?}"), "FilePassword(…)");
        assert_eq!(
            password.0.as_slice(),
            [0, b'f', 0, b'i', 0, b'l', 0, b'e', 0, b'p', 0, b'w']
        );
        assert_eq!(FilePassword::new("€").0.as_slice(), [0, 0xAC]);
    }
}
