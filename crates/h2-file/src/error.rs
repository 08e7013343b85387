//! What can go wrong while reading a file. Every error says where (file offset, chunk, page, map, table, row)
//! and what; the writer has its own errors.

use std::fmt;
use std::path::PathBuf;

/// Bytes that do not follow the format: what was expected, and where in the piece that was being decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset inside the decoded piece (page contents, text, value).
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Malformed {
    pub(crate) fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.what, self.at)
    }
}

impl std::error::Error for Malformed {}

/// Something that this reader knows by sight but does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// A file written with CIPHER=AES, and no password was given.
    PasswordMissing,
    /// A page-store database of H2 before 1.4 (`.h2.db`).
    PageStore,
    /// A store format other than those read.
    Format(u32),
    /// A file of H2 before 1.4.198 that was not closed while transactions were open.
    OpenTransactionsOfOldH2,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PasswordMissing => f.write_str("an encrypted file (CIPHER=AES) without its file password"),
            Self::PageStore => f.write_str(
                "a page-store database (.h2.db, written by H2 1.3 or by 1.4 with MV_STORE=FALSE); start the Metabase, or the H2, that wrote it, \
                 export with SCRIPT, and run the script in H2 2.1.214 (RUNSCRIPT … FROM_1X)",
            ),
            Self::Format(format) => write!(f, "store format {format}; formats 1, 2 and 3 (H2 1.4 and 2.x) are read"),
            Self::OpenTransactionsOfOldH2 => f.write_str(
                "a file of H2 before 1.4.198 that was left with open transactions; open and close it once with the H2 that wrote it",
            ),
        }
    }
}

/// Why reading an H2 database file failed.
///
/// [`ReadError::Io`] may be worth a retry; everything else is a property of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The path as given.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The operating system refused a read, or the file became shorter while open.
    #[error("cannot read {bytes} bytes at file offset {offset}")]
    Io {
        /// File offset.
        offset: u64,
        /// Bytes wanted.
        bytes: usize,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Neither header block is one of an H2 database file.
    #[error("not an H2 database file: {why}")]
    NotH2 {
        /// What the two header blocks lack.
        why: String,
    },
    /// The password does not open an encrypted file.
    #[error("the file password is wrong (or both header blocks of the encrypted file are damaged)")]
    WrongPassword,
    /// A kind of H2 database that this reader does not read.
    #[error("cannot read {0}")]
    Unsupported(Unsupported),
    /// The file header says that the newest version is in a chunk that is not there: the file was cut or damaged.
    #[error(
        "the file is incomplete: its header names version {version} (chunk {chunk}) as the newest, but {why}"
    )]
    NewestVersionLost {
        /// Chunk id that the header names.
        chunk: u32,
        /// Version that the header names.
        version: u64,
        /// What was found instead.
        why: String,
    },
    /// A newer version is there as a whole chunk, but cannot be used. Opening the version before it would hide
    /// the loss; [`OlderVersion::Accept`](crate::OlderVersion) does so on purpose.
    #[error("version {version} (chunk {chunk} at block {block}) cannot be used: {why}")]
    NewestVersionDamaged {
        /// Chunk id.
        chunk: u32,
        /// Version.
        version: u64,
        /// First block of the chunk.
        block: u64,
        /// What is wrong with it or with a chunk that it needs.
        why: String,
    },
    /// No chunk of the file holds a usable version.
    #[error("no usable version in the file: {why}")]
    NoVersion {
        /// What was tried.
        why: String,
    },
    /// The version found holds no table, and nothing proves that it is the newest that was written: an empty result
    /// could be a lie. [`OlderVersion::Accept`](crate::OlderVersion) opens it.
    #[error("only an empty database (version {version}) was found, and {lost}")]
    OnlyEmptyVersionLeft {
        /// The version that could be read.
        version: u64,
        /// What follows it.
        lost: String,
    },
    /// A chunk that the newest version needs is not where it should be.
    #[error("chunk {chunk} (version {version}) is not at block {block}: {problem}")]
    Chunk {
        /// Chunk id.
        chunk: u32,
        /// Version.
        version: u64,
        /// Block where it should begin.
        block: u64,
        /// What was found.
        problem: Malformed,
    },
    /// A page lies in a chunk that the newest version does not list.
    #[error("page at chunk {chunk} offset {offset} (map {map}): the newest version has no chunk {chunk}")]
    UnknownChunk {
        /// Chunk id.
        chunk: u32,
        /// Offset in the chunk.
        offset: u32,
        /// Map that refers to it.
        map: u32,
    },
    /// A page that does not follow the format.
    #[error("page at chunk {chunk} offset {offset} (map {map}): {problem}")]
    Page {
        /// Chunk id.
        chunk: u32,
        /// Offset in the chunk.
        offset: u32,
        /// Map that the page should belong to.
        map: u32,
        /// What is wrong.
        problem: Malformed,
    },
    /// The pages of a map do not form a tree.
    #[error("map {map}: {what}")]
    Map {
        /// Map id.
        map: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry of the layout or meta map that cannot be understood.
    #[error("entry {key:?} of the {map} map: {what}")]
    Metadata {
        /// `layout` or `meta`.
        map: &'static str,
        /// The key.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A catalogue row that cannot be understood.
    #[error("catalogue row {id}: {what} at {near:?}")]
    Catalogue {
        /// ID of the row.
        id: i64,
        /// What was expected.
        what: &'static str,
        /// The SQL text from there on, shortened.
        near: String,
    },
    /// A row whose bytes are not what its table's definition says.
    #[error("table {table}, row {key}, column {column}: {problem}")]
    Row {
        /// Schema and name.
        table: String,
        /// Row key.
        key: i64,
        /// Column name.
        column: String,
        /// What is wrong.
        problem: Malformed,
    },
    /// A leaf of a table whose list of keys or values is malformed.
    #[error("table {table}, page at chunk {chunk} offset {offset}: {problem}")]
    Leaf {
        /// Schema and name.
        table: String,
        /// Chunk id.
        chunk: u32,
        /// Offset in the chunk.
        offset: u32,
        /// What is wrong.
        problem: Malformed,
    },
    /// A large object that cannot be read.
    #[error("large object {lob}: {problem}")]
    Lob {
        /// Lob id.
        lob: i64,
        /// What is wrong.
        problem: Malformed,
    },
    /// A large object above [`Database::LOB_BYTES_MAX`](crate::Database::LOB_BYTES_MAX).
    #[error("large object {lob} has {bytes} bytes; up to {bytes_max} are read")]
    LobTooLarge {
        /// Lob id.
        lob: i64,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A column's large object cannot be read.
    #[error("table {table}, row {key}, column {column}")]
    RowLob {
        /// Schema and name.
        table: String,
        /// Row key.
        key: i64,
        /// Column name.
        column: String,
        /// What is wrong with the large object, or the page on which it lies.
        #[source]
        source: Box<ReadError>,
    },
    /// The file is in use, and a chunk of the opened version was overwritten: whatever was read of it is void.
    /// Opening the file again gives its newest version.
    #[error(
        "version {version} is gone: chunk {chunk} was overwritten while it was being read, since the file is in use"
    )]
    Overwritten {
        /// Chunk id.
        chunk: u32,
        /// The version that was opened, or the chunk's own while opening.
        version: u64,
    },
    /// The file is in use, and the version that was opened is not whole in itself: H2 takes the maps of a version one
    /// after the other while transactions go on, so that a row may refer to a large object that its version lacks. A
    /// newer version is there by now; opening the file again gives it.
    #[error("version {version} of a file in use is not whole in itself, and newer ones are there: {why}")]
    Torn {
        /// The version that was opened.
        version: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file is in use and changed under every attempt to open it.
    #[error("the file is in use and changed during each of {attempts} attempts to open it; the last: {last}")]
    KeepsChanging {
        /// Attempts.
        attempts: u32,
        /// What the last one met.
        last: String,
    },
    /// The database has no table or index with this id.
    #[error("the database has no {what} with id {id}")]
    NoSuchObject {
        /// `table` or `index`.
        what: &'static str,
        /// The id asked for.
        id: u32,
    },
}

impl ReadError {
    /// Did a read go behind the end of the file?
    pub(crate) fn is_end_of_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof)
    }
}
