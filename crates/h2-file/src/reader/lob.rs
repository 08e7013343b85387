//! Large objects outside of their rows: `lobMap` gives the stream id of a lob id, the stream id lists the parts,
//! `lobData` holds them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::generic_object;
use crate::map::{LongKeys, MapRoot, child_of_long, descend};
use crate::page::Page;
use crate::reader::layout::Maps;
use crate::reader::page_cache::PageCache;
use crate::store::Store;
use crate::value_decode::{LobLength, LobReference};

/// H2 nests stream ids twice at most.
const INDIRECTIONS_MAX: u8 = 4;
/// A UTF-16 unit takes so many octets of UTF-8 at most; the two of a pair take four.
const UNIT_OCTETS_MAX: u64 = 3;
/// More memory is reserved only as parts arrive.
const RESERVE_BYTES_MAX: u64 = 1 << 20;

/// The maps that hold large objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LobMaps {
    lob_map: Option<MapRoot>,
    lob_data: Option<MapRoot>,
}

impl LobMaps {
    pub(crate) fn of(maps: &Maps) -> Self {
        Self {
            lob_map: maps.get("lobMap"),
            lob_data: maps.get("lobData"),
        }
    }
}

/// Reads large objects whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LobReader<'d> {
    pub(crate) store: &'d Store,
    pub(crate) cache: &'d PageCache,
    pub(crate) maps: LobMaps,
    pub(crate) bytes_max: u64,
}

impl LobReader<'_> {
    pub(crate) fn read(&self, reference: LobReference) -> Result<Vec<u8>, ReadError> {
        let LobReference { lob, length } = reference;
        let (LobLength::Octets(stated) | LobLength::Units(stated)) = length;
        if stated > self.bytes_max {
            return Err(ReadError::LobTooLarge {
                lob,
                bytes: stated,
                bytes_max: self.bytes_max,
            });
        }
        let octets_max = match length {
            LobLength::Octets(octets) => octets,
            LobLength::Units(units) => units.saturating_mul(UNIT_OCTETS_MAX),
        };
        let missing = |what| ReadError::Lob {
            lob,
            problem: Malformed::new(0, what),
        };
        let format = self.store.format;
        let skip = |cursor: &mut Cursor<'_>| skip_lob_meta(cursor, format);
        let Some((page, at)) = self.find(self.maps.lob_map, lob, skip)? else {
            return Err(missing("lobMap has no such large object"));
        };
        let stream_id = stream_id(&mut Cursor::at_offset(page.contents(), at), format)
            .map_err(|problem| ReadError::Lob { lob, problem })?;
        let mut bytes = Vec::with_capacity(usize::try_from(stated.min(RESERVE_BYTES_MAX)).unwrap_or(0));
        self.append(lob, stream_id, octets_max, INDIRECTIONS_MAX, &mut bytes)?;
        // A length in characters is checked where the text is.
        match length {
            LobLength::Octets(octets) if u64::try_from(bytes.len()) != Ok(octets) => {
                Err(missing("is shorter than its row says"))
            }
            LobLength::Octets(_) | LobLength::Units(_) => Ok(bytes),
        }
    }

    /// Appends what `stream_id` lists. Every part gives at least one byte, so no more parts are read than `octets`.
    fn append(
        &self,
        lob: i64,
        stream_id: &[u8],
        octets: u64,
        indirections: u8,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let mut parts = Cursor::new(stream_id);
        let wrong = |problem| ReadError::Lob { lob, problem };
        let too_long = |parts: &Cursor<'_>| wrong(parts.malformed("is longer than its row says"));
        let room = |bytes: &Vec<u8>| octets.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !parts.is_empty() {
            match parts.u8().map_err(wrong)? {
                0 => {
                    let part = parts.byte_string().map_err(wrong)?;
                    if u64::try_from(part.len()).unwrap_or(u64::MAX) > room(bytes) {
                        return Err(too_long(&parts));
                    }
                    bytes.extend_from_slice(part);
                }
                1 => {
                    let length = u64::try_from(parts.varint().map_err(wrong)?).unwrap_or(0);
                    let key = parts.varlong().map_err(wrong)?;
                    if length > room(bytes) {
                        return Err(too_long(&parts));
                    }
                    self.with_block(lob, key, |block| {
                        if length == 0 || u64::try_from(block.len()) != Ok(length) {
                            return Err(wrong(
                                parts.malformed("a block has another length than the stream id says"),
                            ));
                        }
                        bytes.extend_from_slice(block);
                        Ok(())
                    })?;
                }
                2 => {
                    let length = u64::try_from(parts.varlong().map_err(wrong)?).unwrap_or(0);
                    let key = parts.varlong().map_err(wrong)?;
                    let Some(indirections) = indirections.checked_sub(1) else {
                        return Err(wrong(parts.malformed("stream ids are nested too deeply")));
                    };
                    if length > room(bytes) {
                        return Err(too_long(&parts));
                    }
                    let before = bytes.len();
                    self.with_block(lob, key, |block| {
                        self.append(lob, block, octets, indirections, bytes)
                    })?;
                    let gained = bytes.len().saturating_sub(before);
                    if length == 0 || u64::try_from(gained) != Ok(length) {
                        return Err(wrong(
                            parts.malformed("a nested stream id has another length than stated"),
                        ));
                    }
                }
                _ => return Err(wrong(parts.malformed("unknown kind of part in a stream id"))),
            }
        }
        Ok(())
    }

    fn with_block(
        &self,
        lob: i64,
        key: i64,
        then: impl FnOnce(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let wrong = |problem| ReadError::Lob { lob, problem };
        let format = self.store.format;
        let skip = |cursor: &mut Cursor<'_>| byte_array(cursor, format).map(|_| ());
        let Some((page, at)) = self.find(self.maps.lob_data, key, skip)? else {
            return Err(wrong(Malformed::new(0, "lobData lacks a block")));
        };
        then(byte_array(&mut Cursor::at_offset(page.contents(), at), format).map_err(wrong)?)
    }

    /// The leaf of `key` and where its value begins.
    fn find(
        &self,
        map: Option<MapRoot>,
        key: i64,
        skip_value: impl Fn(&mut Cursor<'_>) -> Result<(), Malformed>,
    ) -> Result<Option<(Arc<Page>, usize)>, ReadError> {
        let Some(map) = map else { return Ok(None) };
        let page = |position| self.cache.page(self.store, position, map);
        let Some(leaf) = descend(map, page, |node| child_of_long(node, key, map.long_keys))? else {
            return Ok(None);
        };
        let at = find_in_leaf(&leaf, map.long_keys, key, skip_value)
            .map_err(|problem| leaf.position.malformed(map.id, problem))?;
        Ok(at.map(|at| (leaf, at)))
    }
}

fn find_in_leaf(
    leaf: &Page,
    keys: LongKeys,
    key: i64,
    skip_value: impl Fn(&mut Cursor<'_>) -> Result<(), Malformed>,
) -> Result<Option<usize>, Malformed> {
    let mut cursor = Cursor::new(leaf.contents());
    let mut place = None;
    for index in 0..leaf.keys {
        if keys.read(&mut cursor)? == key {
            place = Some(index);
        }
    }
    let Some(place) = place else { return Ok(None) };
    for _ in 0..place {
        skip_value(&mut cursor)?;
    }
    Ok(Some(cursor.at()))
}

fn byte_array<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<&'a [u8], Malformed> {
    match format {
        Format::V1 => generic_object::bytes(cursor),
        Format::V2 | Format::V3 => cursor.byte_string(),
    }
}

/// Parts of an entry of `lobMap`: stream id, table id, length, hash.
const LOB_META_PARTS: usize = 4;

/// Reads the first part of an entry of `lobMap`.
fn stream_id<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<&'a [u8], Malformed> {
    if format == Format::V1 && generic_object::array(cursor)? != LOB_META_PARTS {
        return Err(cursor.malformed("an entry of lobMap has not four parts"));
    }
    byte_array(cursor, format)
}

fn skip_lob_meta(cursor: &mut Cursor<'_>, format: Format) -> Result<(), Malformed> {
    stream_id(cursor, format)?;
    match format {
        Format::V1 => {
            generic_object::skip_int(cursor)?;
            generic_object::long(cursor)?;
            generic_object::skip_int(cursor)?;
        }
        Format::V2 | Format::V3 => {
            cursor.varint()?;
            cursor.varlong()?;
            cursor.u64()?;
        }
    }
    Ok(())
}
