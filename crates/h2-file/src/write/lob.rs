//! Large objects outside of their rows: their blocks, the map of objects and the map of references, shared by
//! all tables. Whether a value is stored here is decided by its length.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::chunk::ChunkSink;
use super::encode::{length, varint, varlong};
use super::page::PagePosition;
use super::plan::{LOB_DATA_MAP, LOB_MAP, LOB_REF_MAP};
use super::sorter::Sorter;
use super::tree::{TreeBuilder, Versioning};
use super::value_encode::{LobStore, StoredLob};
use crate::WriteError;

/// H2's block of a large object.
const BLOCK_BYTES: usize = 256 * 1024;
/// A last block shorter than this is kept in the stream id.
const IN_PLACE_BYTES: usize = 256;
/// A stream id longer than this becomes a block of its own.
const STREAM_ID_BYTES: usize = 512;
/// Memory for sorting references.
const SORT_BYTES: usize = 2 << 20;

/// The three LOB maps being built.
#[derive(Debug)]
pub(crate) struct Lobs {
    inline_bytes_max: usize,
    maps: Mutex<LobMaps>,
}

#[derive(Debug)]
struct LobMaps {
    objects: TreeBuilder,
    blocks: TreeBuilder,
    references: Sorter,
    next_lob: i64,
    next_block: i64,
    scratch: Vec<u8>,
}

/// Roots of the maps that are not empty.
#[derive(Debug)]
pub(crate) struct LobRoots {
    pub(crate) objects: Option<PagePosition>,
    pub(crate) references: Option<PagePosition>,
    pub(crate) blocks: Option<PagePosition>,
}

impl Lobs {
    pub(crate) fn new(inline_bytes_max: usize, temp_dir: &Path) -> Self {
        let maps = LobMaps {
            objects: TreeBuilder::new(LOB_MAP, Versioning::Plain),
            blocks: TreeBuilder::new(LOB_DATA_MAP, Versioning::Plain),
            references: Sorter::new(temp_dir),
            next_lob: 1,
            next_block: 1,
            scratch: Vec::new(),
        };
        Self {
            inline_bytes_max,
            maps: Mutex::new(maps),
        }
    }

    /// Completes the maps.
    pub(crate) fn finish(self, mut sink: &ChunkSink) -> Result<LobRoots, WriteError> {
        let maps = self.maps.into_inner().map_err(|_| WriteError::Broken)?;
        let mut references = TreeBuilder::new(LOB_REF_MAP, Versioning::Plain);
        maps.references.finish(|_, key| {
            references.keys.extend_from_slice(key);
            references.end_entry(&mut sink)
        })?;
        Ok(LobRoots {
            objects: maps.objects.finish(&mut sink)?,
            references: references.finish(&mut sink)?,
            blocks: maps.blocks.finish(&mut sink)?,
        })
    }
}

/// The store as one table sees it.
#[derive(Debug)]
pub(crate) struct TableLobs<'a> {
    pub(crate) lobs: &'a Lobs,
    pub(crate) sink: &'a ChunkSink,
    pub(crate) table_id: u32,
}

impl LobStore for TableLobs<'_> {
    #[inline]
    fn store(&mut self, octets: &[u8], length: usize) -> Result<Option<StoredLob>, WriteError> {
        if octets.len() <= self.lobs.inline_bytes_max {
            return Ok(None);
        }
        let mut maps = self.lobs.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let lob_id = maps.store(octets, length, self.table_id, self.sink)?;
        Ok(Some(StoredLob {
            table_id: self.table_id,
            lob_id,
        }))
    }
}

impl LobMaps {
    fn store(
        &mut self,
        octets: &[u8],
        units: usize,
        table_id: u32,
        sink: &ChunkSink,
    ) -> Result<i64, WriteError> {
        let mut stream_id = std::mem::take(&mut self.scratch);
        stream_id.clear();
        for block in octets.chunks(BLOCK_BYTES) {
            if block.len() < IN_PLACE_BYTES {
                stream_id.push(0);
                length(&mut stream_id, block.len());
                stream_id.extend_from_slice(block);
            } else {
                stream_id.push(1);
                length(&mut stream_id, block.len());
                let key = self.add_block(block, sink)?;
                varlong(&mut stream_id, key);
            }
        }
        if stream_id.len() > STREAM_ID_BYTES {
            let key = self.add_block(&stream_id, sink)?;
            stream_id.clear();
            stream_id.push(2);
            varlong(&mut stream_id, i64::try_from(octets.len()).unwrap_or(i64::MAX));
            varlong(&mut stream_id, key);
        }
        let lob_id = self.next_lob;
        self.next_lob += 1;
        self.add_object(lob_id, &stream_id, units, table_id, sink)?;
        self.add_reference(lob_id, &stream_id)?;
        self.scratch = stream_id;
        Ok(lob_id)
    }

    fn add_block(&mut self, block: &[u8], mut sink: &ChunkSink) -> Result<i64, WriteError> {
        let key = self.next_block;
        self.next_block += 1;
        varlong(&mut self.blocks.keys, key);
        length(&mut self.blocks.values, block.len());
        self.blocks.values.extend_from_slice(block);
        self.blocks.end_entry(&mut sink)?;
        Ok(key)
    }

    fn add_object(
        &mut self,
        lob_id: i64,
        stream_id: &[u8],
        units: usize,
        table_id: u32,
        mut sink: &ChunkSink,
    ) -> Result<(), WriteError> {
        varlong(&mut self.objects.keys, lob_id);
        let value = &mut self.objects.values;
        length(value, stream_id.len());
        value.extend_from_slice(stream_id);
        varint(value, table_id);
        varlong(value, i64::try_from(units).unwrap_or(i64::MAX));
        value.extend_from_slice(&[0; 8]);
        self.objects.end_entry(&mut sink)
    }

    /// References are ordered by the length of the stream id, its bytes as signed numbers, and the object.
    fn add_reference(&mut self, lob_id: i64, stream_id: &[u8]) -> Result<(), WriteError> {
        self.references.push(
            |key| {
                key.extend_from_slice(&u32::try_from(stream_id.len()).unwrap_or(u32::MAX).to_be_bytes());
                key.extend(stream_id.iter().map(|byte| byte ^ 0x80));
                key.extend_from_slice(&lob_id.to_be_bytes());
            },
            |payload| {
                length(payload, stream_id.len());
                payload.extend_from_slice(stream_id);
                varlong(payload, lob_id);
            },
        );
        if self.references.footprint() > SORT_BYTES {
            self.references.spill()?;
        }
        Ok(())
    }
}

/// Where temporary files go when no folder is named: beside the database.
pub(crate) fn default_temp_dir(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
