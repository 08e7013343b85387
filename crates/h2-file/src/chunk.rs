//! A chunk: its text header at the first block, its footer in the last 128 bytes. Header and footer must fit each
//! other; this is the only check that the format has for a chunk header.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{Malformed, ReadError};
use crate::file_header::{BLOCK_BYTES, Format, HEADER_BLOCKS};
use crate::page::Position;
use crate::source::Source;
use crate::text_map::TextMap;

/// Every chunk header begins so: `chunk` is the first key in all formats.
const HEADER_BEGINNING: &[u8; 6] = b"chunk:";
/// The header lies within so many bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// Length of the footer.
const FOOTER_BYTES: usize = 128;
/// So much of the beginning of a chunk tells it from every other: id, block and length come first in its header.
pub(crate) const MARK_BYTES: usize = 64;
/// Chunk ids have 26 bits in a page position.
const CHUNK_ID_MAX: u64 = (1 << 26) - 1;

/// What the header of a chunk, or its entry in the layout map, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) id: u32,
    pub(crate) version: u64,
    pub(crate) block: u64,
    pub(crate) blocks: u64,
    pub(crate) pages_live: u64,
    /// Root page of the layout map as of this version.
    pub(crate) root: Position,
    /// The first bytes in the file, once the chunk was found there.
    pub(crate) mark: [u8; MARK_BYTES],
}

impl Chunk {
    /// File offset of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.block.saturating_mul(BLOCK_BYTES)
    }

    /// File offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.block.saturating_add(self.blocks).saturating_mul(BLOCK_BYTES)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(BLOCK_BYTES)
    }

    /// `block_found`: where the header was found; a header of format 3 does not say it.
    pub(crate) fn parse(text: &[u8], block_found: Option<u64>) -> Result<Self, Malformed> {
        let map = TextMap::parse(text)?;
        let id = map.hex("chunk")?.ok_or(Malformed::new(0, "no chunk id"))?;
        if id > CHUNK_ID_MAX {
            return Err(Malformed::new(0, "chunk id has more than 26 bits"));
        }
        let block = map
            .hex("block")?
            .or(block_found)
            .ok_or(Malformed::new(0, "no start block"))?;
        let blocks = map.hex("len")?.ok_or(Malformed::new(0, "no length"))?;
        if blocks == 0 || block < HEADER_BLOCKS {
            return Err(Malformed::new(0, "impossible place or length"));
        }
        let pages = map.hex_or("pages", 0)?;
        Ok(Self {
            id: u32::try_from(id).map_err(|_| Malformed::new(0, "chunk id has more than 26 bits"))?,
            version: map.hex_or("version", id)?,
            block,
            blocks,
            pages_live: map.hex_or("livePages", pages)?,
            root: Position(map.hex_or("root", 0)?),
            mark: [0; MARK_BYTES],
        })
    }

    /// Reads the header at `block`. The outer error is one of the file, the inner one says that there is none.
    pub(crate) fn read_header(source: &Source, block: u64) -> Result<Result<Self, Malformed>, ReadError> {
        let start = block.saturating_mul(BLOCK_BYTES);
        let left = usize::try_from(source.len().saturating_sub(start)).unwrap_or(usize::MAX);
        let mut text = [0; HEADER_BYTES_MAX];
        let text = text.get_mut(..left.min(HEADER_BYTES_MAX)).unwrap_or_default();
        source.read_exact_at(text, start)?;
        let Some(end) = text.iter().position(|&byte| byte == b'\n') else {
            return Ok(Err(Malformed::new(0, "no chunk header here")));
        };
        let header = text.get(..end).unwrap_or_default().trim_ascii_end();
        if !header.is_ascii() || !header.contains(&b':') {
            return Ok(Err(Malformed::new(0, "no chunk header here")));
        }
        Ok(Self::parse(header, Some(block)).and_then(|mut chunk| {
            if chunk.block == block {
                if let Some(mark) = text.first_chunk() {
                    chunk.mark = *mark;
                }
                Ok(chunk)
            } else {
                Err(Malformed::new(0, "chunk header is one of another block"))
            }
        }))
    }

    /// Does a footer close this chunk exactly at its end?
    pub(crate) fn check_footer(
        &self,
        source: &Source,
        format: Format,
    ) -> Result<Result<(), Malformed>, ReadError> {
        if self.end() > source.len() {
            return Ok(Err(Malformed::new(0, "chunk is longer than the file")));
        }
        let footer = match Footer::read(source, self.end())? {
            Ok(footer) => footer,
            Err(problem) => return Ok(Err(problem)),
        };
        let place = match format {
            Format::V1 | Format::V2 => footer.block == Some(self.block),
            Format::V3 => footer.blocks == Some(self.blocks),
        };
        Ok(
            if place && footer.chunk == u64::from(self.id) && footer.version == self.version {
                Ok(())
            } else {
                Err(Malformed::new(0, "footer belongs to another chunk"))
            },
        )
    }

    /// The chunk that `self` describes, if it is whole at its block.
    pub(crate) fn found_in_place(
        &self,
        source: &Source,
        format: Format,
    ) -> Result<Result<Self, Malformed>, ReadError> {
        let found = match Self::read_header(source, self.block)? {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        if found.id != self.id || found.version != self.version || found.blocks != self.blocks {
            return Ok(Err(Malformed::new(0, "another chunk is here")));
        }
        let whole = self.check_footer(source, format)?;
        Ok(whole.map(|()| Self {
            mark: found.mark,
            ..self.clone()
        }))
    }

    /// Do the first bytes still say that this chunk is here? A file that ends before them does not.
    pub(crate) fn is_marked(&self, source: &Source) -> Result<bool, ReadError> {
        let mut mark = [0; MARK_BYTES];
        match source.read_exact_at(&mut mark, self.start()) {
            Ok(()) => Ok(mark == self.mark),
            Err(error) if error.is_end_of_file() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Is this chunk still whole at its place, with no byte of another one in it?
    ///
    /// Whatever overwrites a part of it begins before it, and takes its header, or within it, where its own header
    /// then stands at the beginning of a block.
    pub(crate) fn is_untouched(&self, source: &Source, format: Format) -> Result<bool, ReadError> {
        if !self.is_marked(source)?
            || self.end() > source.len_now()?
            || self.check_footer(source, format)?.is_err()
        {
            return Ok(false);
        }
        let inner = self.block.saturating_add(1)..self.block.saturating_add(self.blocks);
        for block in inner {
            let mut beginning = [0; HEADER_BEGINNING.len()];
            source.read_exact_at(&mut beginning, block.saturating_mul(BLOCK_BYTES))?;
            if beginning == *HEADER_BEGINNING
                && let Ok(other) = Self::read_header(source, block)?
                && other.id != self.id
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The last 128 bytes of a chunk.
#[derive(Debug)]
pub(crate) struct Footer {
    chunk: u64,
    version: u64,
    block: Option<u64>,
    blocks: Option<u64>,
}

impl Footer {
    /// Reads the footer that ends at file offset `end`.
    pub(crate) fn read(source: &Source, end: u64) -> Result<Result<Self, Malformed>, ReadError> {
        let mut text = [0; FOOTER_BYTES];
        source.read_exact_at(&mut text, end.saturating_sub(FOOTER_BYTES as u64))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let map = TextMap::parse_checked(text)
            .map_err(|_| Malformed::new(0, "no chunk footer where the chunk ends"))?;
        let chunk = map
            .hex("chunk")?
            .ok_or(Malformed::new(0, "no chunk id in the footer"))?;
        Ok(Self {
            chunk,
            version: map.hex_or("version", chunk)?,
            block: map.hex("block")?,
            blocks: map.hex("len")?,
        })
    }

    /// First block of the chunk that this footer, ending at block `end_block`, closes.
    pub(crate) fn start_block(&self, end_block: u64) -> Option<u64> {
        self.block
            .or_else(|| end_block.checked_sub(self.blocks?))
            .filter(|&block| block < end_block)
    }
}
