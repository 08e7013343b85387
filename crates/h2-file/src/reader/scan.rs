//! Finding chunks without being told where they are: from the end of the file backwards.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::chunk::{Chunk, Footer};
use crate::error::{Malformed, ReadError};
use crate::file_header::{BLOCK_BYTES, Format, HEADER_BLOCKS};
use crate::source::Source;
use crate::store::Store;

/// A chunk header without the footer that should close it: a chunk whose end was cut off or overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TornChunk {
    pub(crate) chunk: Chunk,
    pub(crate) problem: Malformed,
}

/// What a walk over the whole file finds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Whole chunks, newest version first.
    pub(crate) whole: Vec<Chunk>,
    /// Chunk headers outside of whole chunks.
    pub(crate) torn: Vec<TornChunk>,
    /// Bytes behind the last whole chunk.
    pub(crate) trailing_bytes: u64,
}

impl Scan {
    /// Walks backwards, chunk by chunk where chunks lie close together, else block by block.
    pub(crate) fn run(source: &Source, format: Format) -> Result<Self, ReadError> {
        let mut scan = Self::default();
        let mut end_block = source.len().checked_div(BLOCK_BYTES).unwrap_or(0);
        let mut last_end = None;
        while end_block > HEADER_BLOCKS {
            if let Some(chunk) = closed_at(source, format, end_block)? {
                last_end.get_or_insert(chunk.end());
                end_block = chunk.block;
                scan.whole.push(chunk);
                continue;
            }
            end_block = end_block.saturating_sub(1);
            if let Ok(chunk) = Chunk::read_header(source, end_block)?
                && let Err(problem) = chunk.check_footer(source, format)?
            {
                scan.torn.push(TornChunk { chunk, problem });
            }
        }
        scan.trailing_bytes = source
            .len()
            .saturating_sub(last_end.unwrap_or(HEADER_BLOCKS.saturating_mul(BLOCK_BYTES)));
        scan.whole.sort_by_key(|chunk| std::cmp::Reverse(chunk.version));
        Ok(scan)
    }
}

/// The whole chunk that ends before `end_block`.
fn closed_at(source: &Source, format: Format, end_block: u64) -> Result<Option<Chunk>, ReadError> {
    let Ok(footer) = Footer::read(source, end_block.saturating_mul(BLOCK_BYTES))? else {
        return Ok(None);
    };
    let Some(start) = footer.start_block(end_block) else {
        return Ok(None);
    };
    let Ok(chunk) = Chunk::read_header(source, start)? else {
        return Ok(None);
    };
    let closes = chunk.block.checked_add(chunk.blocks) == Some(end_block);
    Ok(if closes && chunk.check_footer(source, format)?.is_ok() {
        Some(chunk)
    } else {
        None
    })
}

/// Finds chunks by what the layout map says of them, and by a scan of the file where that does not fit any more:
/// a compaction that was interrupted leaves a chunk at another block.
#[derive(Debug, Default)]
pub(crate) struct ChunkIndex {
    scan: Option<Scan>,
}

impl ChunkIndex {
    pub(crate) fn scan(&mut self, source: &Source, format: Format) -> Result<&Scan, ReadError> {
        if self.scan.is_none() {
            self.scan = Some(Scan::run(source, format)?);
        }
        Ok(self.scan.get_or_insert_default())
    }

    /// `listed`, confirmed by its header and footer, at its block or elsewhere.
    pub(crate) fn locate(&mut self, store: &Store, listed: Chunk) -> Result<Chunk, ReadError> {
        let problem = match listed.found_in_place(&store.source, store.format)? {
            Ok(chunk) => return Ok(chunk),
            Err(problem) => problem,
        };
        let scan = self.scan(&store.source, store.format)?;
        let same = |chunk: &&Chunk| {
            chunk.id == listed.id && chunk.version == listed.version && chunk.blocks == listed.blocks
        };
        match scan.whole.iter().find(same) {
            Some(elsewhere) => Ok(Chunk {
                block: elsewhere.block,
                mark: elsewhere.mark,
                ..listed
            }),
            None => Err(ReadError::Chunk {
                chunk: listed.id,
                version: listed.version,
                block: listed.block,
                problem,
            }),
        }
    }
}
