//! The file header: blocks 0 and 1 of the file, each with the same text map. One good block is enough.
//! Which chunk is the newest is decided in `reader/newest.rs`; the header may be stale.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::chunk::Chunk;
use crate::error::{Malformed, ReadError, Unsupported};
use crate::source::{Encryption, Source};
use crate::text_map::TextMap;

/// Size of a block, the unit in which chunks are placed.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Blocks taken by the two copies of the header.
pub(crate) const HEADER_BLOCKS: u64 = 2;

/// Store formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// H2 1.4.
    V1,
    /// H2 2.0 and 2.1.
    V2,
    /// H2 2.2 and later.
    V3,
}

/// How the store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closure {
    /// Closed in order; the header names the newest version.
    Clean,
    /// Still open, or the process ended without closing.
    Unclean,
}

/// The chunk that a header names as the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedChunk {
    pub(crate) chunk: u32,
    pub(crate) version: u64,
    pub(crate) block: u64,
}

impl NamedChunk {
    /// Is it this one?
    pub(crate) fn is(self, chunk: &Chunk) -> bool {
        chunk.id == self.chunk && chunk.version == self.version && chunk.block == self.block
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) format: Format,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    pub(crate) closure: Closure,
    pub(crate) newest: Option<NamedChunk>,
}

/// Whether the two copies of the header confirm each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// They do.
    Both,
    /// One is damaged, or they differ: after a crash between the two writes.
    One,
}

/// Reads both copies and gives the valid one with the higher version.
pub(crate) fn read(source: &Source) -> Result<(FileHeader, Agreement), ReadError> {
    let first = read_block(source, 0);
    let second = read_block(source, BLOCK_BYTES);
    match (first, second) {
        (Ok(Ok(a)), Ok(Ok(b))) if a == b => Ok((a, Agreement::Both)),
        (Ok(Ok(a)), Ok(Ok(b))) => {
            let version = |header: &FileHeader| header.newest.map_or(0, |newest| newest.version);
            Ok((if version(&a) >= version(&b) { a } else { b }, Agreement::One))
        }
        (Ok(Ok(header)), _) | (_, Ok(Ok(header))) => Ok((header, Agreement::One)),
        (Err(error @ (ReadError::Unsupported(_) | ReadError::Io { .. })), _) => Err(error),
        (_, Err(error @ (ReadError::Unsupported(_) | ReadError::Io { .. }))) => Err(error),
        (Ok(Err(_)), _) | (_, Ok(Err(_))) if source.encryption() == Encryption::Aes => {
            Err(ReadError::WrongPassword)
        }
        (Ok(Err(a)), Ok(Err(b))) => Err(ReadError::NotH2 {
            why: format!("first header block: {a}; second: {b}"),
        }),
        (Ok(Err(a)), Err(_)) => Err(ReadError::NotH2 {
            why: format!("header block: {a}; there is no second one"),
        }),
        (Err(error), _) => Err(error),
    }
}

fn read_block(source: &Source, offset: u64) -> Result<Result<FileHeader, Malformed>, ReadError> {
    let left = source.len().saturating_sub(offset);
    if left == 0 {
        let why = if offset == 0 {
            "the file is empty"
        } else {
            "the file ends inside its header"
        };
        return Err(ReadError::NotH2 { why: why.to_owned() });
    }
    let mut block = vec![0; usize::try_from(left.min(BLOCK_BYTES)).unwrap_or(0)];
    source.read_exact_at(&mut block, offset)?;
    if block.starts_with(b"-- H2 0.5/B --") {
        return Err(ReadError::Unsupported(Unsupported::PageStore));
    }
    if left < BLOCK_BYTES {
        return Ok(Err(Malformed::new(block.len(), "block is cut off")));
    }
    match parse(&block) {
        Ok(Ok(header)) => Ok(Ok(header)),
        Ok(Err(unsupported)) => Err(ReadError::Unsupported(unsupported)),
        Err(malformed) => Ok(Err(malformed)),
    }
}

fn parse(block: &[u8]) -> Result<Result<FileHeader, Unsupported>, Malformed> {
    if !block.starts_with(b"H:2,") {
        return Err(Malformed::new(0, "does not begin with H:2"));
    }
    let end = block
        .iter()
        .position(|&byte| byte == b'\n')
        .ok_or(Malformed::new(block.len(), "has no end of line"))?;
    let map = TextMap::parse_checked(block.get(..end).unwrap_or_default())?;
    if map.hex_or("blockSize", BLOCK_BYTES)? != BLOCK_BYTES {
        return Err(Malformed::new(0, "has another block size than 4096"));
    }
    let written = map.hex_or("format", 1)?;
    let format = match map.hex_or("formatRead", written)? {
        1 => Format::V1,
        2 => Format::V2,
        3 => Format::V3,
        other => return Ok(Err(Unsupported::Format(u32::try_from(other).unwrap_or(u32::MAX)))),
    };
    let newest = match (map.hex("chunk")?, map.hex("block")?) {
        (Some(chunk), Some(block)) => Some(NamedChunk {
            chunk: u32::try_from(chunk).map_err(|_| Malformed::new(0, "names an impossible chunk id"))?,
            version: map.hex_or("version", chunk)?,
            block,
        }),
        (None, _) | (_, None) => None,
    };
    Ok(Ok(FileHeader {
        format,
        created_ms: map.hex_or("created", 0)?,
        closure: if map.get("clean") == Some("1") {
            Closure::Clean
        } else {
            Closure::Unclean
        },
        newest,
    }))
}
