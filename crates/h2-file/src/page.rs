//! A page: node or leaf of one map. Reads it from its chunk, checks its header, decompresses its contents and
//! leaves keys and values to the caller.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod compression;

pub(crate) use compression::unpack_lzf;

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::store::Store;

/// Where a page is: chunk id, offset in the chunk, length class, leaf or node. 0 is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Position(pub(crate) u64);

/// A length code for pages above 1 MiB, whose true length is in the page only.
const LENGTH_CODE_LARGE: u64 = 31;

impl Position {
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn chunk(self) -> u32 {
        u32::try_from(self.0 >> 38).unwrap_or(u32::MAX)
    }

    pub(crate) fn offset(self) -> u32 {
        u32::try_from((self.0 >> 6) & 0xFFFF_FFFF).unwrap_or(u32::MAX)
    }

    fn is_node(self) -> bool {
        self.0 & 1 == 1
    }

    /// Upper bound of the page's length, if the position tells one.
    fn length_max(self) -> Option<u64> {
        let code = (self.0 >> 1) & 31;
        let mantissa = (code & 1).wrapping_add(2);
        (code != LENGTH_CODE_LARGE).then(|| {
            mantissa
                .wrapping_shl(4)
                .wrapping_shl(u32::try_from(code >> 1).unwrap_or(0))
        })
    }

    pub(crate) fn malformed(self, map: u32, problem: Malformed) -> ReadError {
        ReadError::Page {
            chunk: self.chunk(),
            offset: self.offset(),
            map,
            problem,
        }
    }
}

/// What stands below a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    pub(crate) position: Position,
    /// Entries in that subtree.
    pub(crate) entries: u64,
}

/// A page in memory. Reading another page into it reuses its buffers.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) position: Position,
    pub(crate) map: u32,
    /// Number of keys.
    pub(crate) keys: usize,
    /// Empty for a leaf.
    pub(crate) children: Vec<Child>,
    raw: Vec<u8>,
    /// Where keys begin in `raw`; `usize::MAX` when the contents were compressed and are in `plain`.
    contents_at: usize,
    plain: Vec<u8>,
}

const IN_PLAIN: usize = usize::MAX;

const TYPE_NODE: u8 = 1;
const TYPE_COMPRESSED: u8 = 2;
const TYPE_DEFLATED: u8 = 4;

fn check16(x: u32) -> u16 {
    u16::try_from((x.wrapping_shr(16) ^ x) & 0xFFFF).unwrap_or(0)
}

impl Page {
    pub(crate) fn empty() -> Self {
        Self {
            position: Position(0),
            map: 0,
            keys: 0,
            children: Vec::new(),
            raw: Vec::new(),
            contents_at: 0,
            plain: Vec::new(),
        }
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// Length of the page in the file.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Memory that the page holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.raw.capacity().saturating_add(self.plain.capacity())
    }

    /// Keys, and the values of a leaf, decompressed.
    pub(crate) fn contents(&self) -> &[u8] {
        if self.contents_at == IN_PLAIN {
            &self.plain
        } else {
            self.raw.get(self.contents_at..).unwrap_or_default()
        }
    }

    /// Reads the page at `position`, which must belong to `map`.
    pub(crate) fn read(&mut self, store: &Store, position: Position, map: u32) -> Result<(), ReadError> {
        let chunk = store.chunk(position.chunk()).ok_or(ReadError::UnknownChunk {
            chunk: position.chunk(),
            offset: position.offset(),
            map,
        })?;
        let malformed = |what| position.malformed(map, Malformed::new(0, what));
        let offset = u64::from(position.offset());
        let left = chunk
            .bytes()
            .checked_sub(offset)
            .ok_or_else(|| malformed("lies behind the end of its chunk"))?;
        let start = chunk.start().saturating_add(offset);
        let wanted = match position.length_max() {
            Some(length_max) => length_max.min(left),
            None => {
                let mut length = [0; 4];
                if left < 4 {
                    return Err(malformed("lies behind the end of its chunk"));
                }
                store.source.read_exact_at(&mut length, start)?;
                let length = u64::from(u32::from_be_bytes(length));
                if length > left {
                    return Err(malformed("is longer than the rest of its chunk"));
                }
                length
            }
        };
        // `left` is bounded by a chunk that was found whole in the file, so this allocates no more than the file has.
        self.raw
            .resize(usize::try_from(wanted).map_err(|_| malformed("is too long"))?, 0);
        let read = store.source.read_exact_at(&mut self.raw, start);
        // What overwrites a chunk begins with its header, so bytes that were read before the mark still stood are
        // the chunk's. Only if something lies within the chunk is more needed: `Database::confirm`.
        if !chunk.is_marked(&store.source)? {
            return Err(ReadError::Overwritten {
                chunk: chunk.id,
                version: chunk.version,
            });
        }
        read?;
        self.position = position;
        self.map = map;
        self.decode(store.format)
            .map_err(|problem| position.malformed(map, problem))
    }

    fn decode(&mut self, format: Format) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(&self.raw);
        let length = cursor.u32()?;
        let check = cursor.u16()?;
        if check != check16(self.position.chunk()) ^ check16(self.position.offset()) ^ check16(length) {
            return Err(Malformed::new(4, "check value does not match"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.raw.len() {
            return Err(Malformed::new(0, "is longer than its position says"));
        }
        self.raw.truncate(length);
        let mut cursor = Cursor::new(&self.raw);
        cursor.take(6)?;
        match format {
            Format::V1 => {}
            Format::V2 | Format::V3 => {
                let _page_number = cursor.varint()?;
            }
        }
        let map = cursor.varint()?;
        if u32::try_from(map) != Ok(self.map) {
            return Err(cursor.malformed("belongs to another map"));
        }
        self.keys =
            usize::try_from(cursor.varint()?).map_err(|_| cursor.malformed("negative number of keys"))?;
        let kind = cursor.u8()?;
        if (kind & TYPE_NODE == TYPE_NODE) != self.position.is_node() || kind > 7 {
            return Err(cursor.malformed("is of another kind than its position says"));
        }
        self.children.clear();
        if kind & TYPE_NODE == TYPE_NODE {
            decode_children(&mut cursor, self.keys, &mut self.children)?;
        }
        if kind & TYPE_COMPRESSED == 0 {
            self.contents_at = cursor.at();
        } else {
            let saved = usize::try_from(cursor.varint()?).map_err(|_| cursor.malformed("negative length"))?;
            let at = cursor.at();
            let packed = cursor.rest();
            let plain_bytes = packed.len().saturating_add(saved);
            let unpack = if kind & TYPE_DEFLATED == 0 {
                unpack_lzf
            } else {
                compression::inflate
            };
            unpack(packed, plain_bytes, &mut self.plain).map_err(|what| Malformed::new(at, what))?;
            self.contents_at = IN_PLAIN;
        }
        // Every key takes at least one byte.
        if self.keys > self.contents().len() {
            return Err(Malformed::new(0, "has more keys than bytes"));
        }
        Ok(())
    }
}

fn decode_children(cursor: &mut Cursor<'_>, keys: usize, children: &mut Vec<Child>) -> Result<(), Malformed> {
    let count = keys.saturating_add(1);
    if count > cursor.remaining().checked_div(9).unwrap_or(0) {
        return Err(cursor.malformed("has more children than bytes"));
    }
    children.reserve(count);
    for _ in 0..count {
        children.push(Child {
            position: Position(cursor.u64()?),
            entries: 0,
        });
    }
    for child in children.iter_mut() {
        child.entries =
            u64::try_from(cursor.varlong()?).map_err(|_| cursor.malformed("negative number of entries"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn reads_the_position_of_the_worked_example() {
        let root = Position(0x40_0001_0c86);
        assert_eq!(
            (root.chunk(), root.offset(), root.length_max(), root.is_node()),
            (1, 0x432, Some(96), false)
        );
        assert_eq!(Position(31 << 1).length_max(), None);
    }
}
