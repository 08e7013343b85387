//! What a caller may choose about a file.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::compression::Compression;

/// How a database is written. The defaults keep a writer under 60 MiB of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// CLOBs and BLOBs up to this many bytes stay inside their rows, which is fastest; longer ones are stored
    /// beside them. H2 reads any inline length. Default 16 KiB.
    pub inline_lob_bytes_max: usize,
    /// Memory for sorting the indexes of all tables that are open at once, in bytes. Default 16 MiB.
    pub sort_memory_bytes: usize,
    /// Folder for temporary files; by default that of the database.
    pub temp_dir: Option<PathBuf>,
    /// Who may open the database.
    pub user: WriteUser,
    /// A chunk goes to the file when it has this many bytes. Default 4 MiB; H2 later moves whole chunks in
    /// memory.
    pub chunk_bytes: usize,
    /// Whether pages are compressed. Default: not.
    pub compression: Compression,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            inline_lob_bytes_max: 16 * 1024,
            sort_memory_bytes: 16 << 20,
            temp_dir: None,
            user: WriteUser::default(),
            chunk_bytes: 4 << 20,
            compression: Compression::None,
        }
    }
}

/// The administrator that the catalogue names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteUser {
    /// Name as H2 stores it; names from a JDBC URL are upper-cased.
    pub name: String,
    /// Salt in hexadecimal, 16 digits, or nothing.
    pub salt: String,
    /// `SHA-256(SHA-256(UTF-16BE(name + "@" + password)) + salt)` in hexadecimal, or nothing: then only the
    /// empty name with the empty password gets in.
    pub hash: String,
}

impl WriteUser {
    /// A user with a password. `salt` is eight random bytes; the name is taken as it is, while a JDBC URL
    /// upper-cases it.
    #[must_use]
    pub fn with_password(name: &str, password: &str, salt: [u8; 8]) -> Self {
        let secret: Vec<u8> = format!("{name}@{password}")
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let inner = Sha256::digest(&secret);
        let hash = Sha256::new().chain_update(inner).chain_update(salt).finalize();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            name: name.to_owned(),
            salt: hex(&salt),
            hash: hex(&hash),
        }
    }
}

impl Default for WriteUser {
    /// The user with no name and no password.
    fn default() -> Self {
        Self {
            name: String::new(),
            salt: String::new(),
            hash: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_h2_does() {
        let user = WriteUser::with_password("SA", "", [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(user.salt, "0001020304050607");
        assert_eq!(
            user.hash,
            "6204caa29c7f1a59d172817496dbf207fcb546a2e9aa003fa9f797b54aa060d5"
        );
    }
}
