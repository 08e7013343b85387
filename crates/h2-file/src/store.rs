//! The store below the maps: the file and the chunks that one version of it consists of.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::HashMap;

use crate::chunk::Chunk;
use crate::error::ReadError;
use crate::file_header::Format;
use crate::source::Source;

/// The file and the chunks in which pages may lie.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) source: Source,
    pub(crate) format: Format,
    chunks: HashMap<u32, Chunk>,
}

impl Store {
    pub(crate) fn new(source: Source, format: Format) -> Self {
        Self {
            source,
            format,
            chunks: HashMap::new(),
        }
    }

    pub(crate) fn chunk(&self, id: u32) -> Option<&Chunk> {
        self.chunks.get(&id)
    }

    /// Adds a chunk that was found whole at its place.
    pub(crate) fn add_chunk(&mut self, chunk: Chunk) {
        self.chunks.insert(chunk.id, chunk);
    }

    pub(crate) fn forget_chunks(&mut self) {
        self.chunks.clear();
    }

    /// A chunk of the opened version that is no longer what it was. Looks at every block of the version.
    pub(crate) fn overwritten_chunk(&self) -> Result<Option<&Chunk>, ReadError> {
        for chunk in self.chunks.values() {
            if !chunk.is_untouched(&self.source, self.format)? {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}
