//! What a caller may choose about a file.

use std::path::PathBuf;

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
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            inline_lob_bytes_max: 16 * 1024,
            sort_memory_bytes: 16 << 20,
            temp_dir: None,
            user: WriteUser::default(),
            chunk_bytes: 4 << 20,
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
