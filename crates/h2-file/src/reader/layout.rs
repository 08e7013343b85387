//! The layout map: which chunks a version consists of and where the root page of each map is; and the meta map,
//! which names the maps. In format 1 one map is both.
//!
//! The pages of the layout map may themselves lie in chunks that only the layout map locates. The entry of a chunk
//! is always on pages of newer chunks, so looking it up from the root ends.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::chunk::Chunk;
use crate::error::ReadError;
use crate::file_header::Format;
use crate::map::{Leaves, LongKeys, MapRoot, find_string, string_entries};
use crate::page::Position;
use crate::reader::scan::ChunkIndex;
use crate::store::Store;
use crate::text_map::TextMap;

/// Map id of the layout map.
const LAYOUT_MAP: u32 = 0;

/// The maps of one version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maps {
    by_name: BTreeMap<String, NamedMap>,
}

#[derive(Debug, Clone)]
struct NamedMap {
    root: MapRoot,
    /// Labels of the key and value types in the type registry.
    key_type: Option<String>,
    value_type: Option<String>,
}

impl Maps {
    pub(crate) fn get(&self, name: &str) -> Option<MapRoot> {
        self.by_name.get(name).map(|map| map.root)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, MapRoot)> {
        self.by_name.iter().map(|(name, map)| (name.as_str(), map.root))
    }

    /// Names with the labels of the key and value types.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        self.by_name
            .iter()
            .map(|(name, map)| (name.as_str(), map.key_type.as_deref(), map.value_type.as_deref()))
    }
}

/// Fills `store` with the chunks of the version whose newest chunk is `newest`, each found whole at its place, and
/// reads which maps there are.
pub(crate) fn load(store: &mut Store, newest: Chunk, index: &mut ChunkIndex) -> Result<Maps, ReadError> {
    store.forget_chunks();
    let layout = MapRoot {
        id: LAYOUT_MAP,
        root: newest.root,
        long_keys: LongKeys::Plain,
    };
    if layout.root.is_none() {
        return Err(ReadError::Map {
            map: LAYOUT_MAP,
            what: "the chunk has no layout map",
        });
    }
    store.add_chunk(newest.clone());
    let entries = read_layout(store, layout, index)?;
    for (key, value) in &entries {
        if let Some(chunk) = chunk_entry(key, value)?
            && chunk.pages_live > 0
            && chunk.id != newest.id
            && store.chunk(chunk.id).is_none()
        {
            let chunk = index.locate(store, chunk)?;
            store.add_chunk(chunk);
        }
    }
    read_maps(store, &entries)
}

fn read_layout(
    store: &mut Store,
    layout: MapRoot,
    index: &mut ChunkIndex,
) -> Result<BTreeMap<String, String>, ReadError> {
    let mut entries = BTreeMap::new();
    let mut leaves = Leaves::new(store, layout);
    loop {
        match leaves.next_leaf(store) {
            Ok(None) => return Ok(entries),
            Ok(Some(leaf)) => string_entries(leaf, |key, value| {
                entries.insert(key.into_owned(), value.into_owned());
            })
            .map_err(|problem| leaf.position.malformed(LAYOUT_MAP, problem))?,
            Err(unknown @ ReadError::UnknownChunk { .. }) => discover(store, layout, unknown, index)?,
            Err(error) => return Err(error),
        }
    }
}

/// Finds the chunk that `unknown` misses, and those that are needed to find it.
fn discover(
    store: &mut Store,
    layout: MapRoot,
    unknown: ReadError,
    index: &mut ChunkIndex,
) -> Result<(), ReadError> {
    let mut wanted = vec![unknown];
    while let Some(error) = wanted.last() {
        let ReadError::UnknownChunk { chunk, .. } = error else {
            break;
        };
        let id = *chunk;
        let key = format!("chunk.{id:x}");
        match find_string(store, layout, &key) {
            Ok(Some(value)) => {
                let chunk = chunk_entry(&key, &value)?.filter(|chunk| chunk.id == id);
                let chunk = chunk.ok_or(ReadError::Metadata {
                    map: "layout",
                    key,
                    what: "describes another chunk",
                })?;
                let chunk = index.locate(store, chunk)?;
                store.add_chunk(chunk);
                wanted.pop();
            }
            Ok(None) => break,
            Err(ReadError::UnknownChunk {
                chunk: next,
                offset,
                map,
            }) => {
                let circular = wanted
                    .iter()
                    .any(|error| matches!(error, ReadError::UnknownChunk { chunk, .. } if *chunk == next));
                if circular {
                    break;
                }
                wanted.push(ReadError::UnknownChunk {
                    chunk: next,
                    offset,
                    map,
                });
            }
            Err(error) => return Err(error),
        }
    }
    wanted.pop().map_or(Ok(()), Err)
}

fn chunk_entry(key: &str, value: &str) -> Result<Option<Chunk>, ReadError> {
    let Some(id) = key.strip_prefix("chunk.") else {
        return Ok(None);
    };
    let wrong = |what| ReadError::Metadata {
        map: "layout",
        key: key.to_owned(),
        what,
    };
    let chunk = Chunk::parse(&latin1(value), None).map_err(|problem| wrong(problem.what))?;
    if u32::from_str_radix(id, 16) != Ok(chunk.id) {
        return Err(wrong("describes another chunk"));
    }
    Ok(Some(chunk))
}

/// Text maps are Latin-1 bytes; in the layout and meta maps they come as strings of such characters.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u8::try_from(character).unwrap_or(b'?'))
        .collect()
}

/// The `map.` entries of the meta map, without that prefix.
fn described_by_meta(store: &Store, meta: MapRoot) -> Result<Vec<(String, String)>, ReadError> {
    let mut described = Vec::new();
    let mut leaves = Leaves::new(store, meta);
    while let Some(leaf) = leaves.next_leaf(store)? {
        string_entries(leaf, |key, value| {
            if let Some(id) = key.strip_prefix("map.") {
                described.push((id.to_owned(), value.into_owned()));
            }
        })
        .map_err(|problem| leaf.position.malformed(meta.id, problem))?;
    }
    Ok(described)
}

/// How the map `name` writes its keys, should they be numbers.
fn long_keys(format: Format, name: &str) -> LongKeys {
    match format {
        Format::V1 if name.starts_with("table.") => LongKeys::Value,
        Format::V1 => LongKeys::Object,
        Format::V2 | Format::V3 => LongKeys::Plain,
    }
}

fn read_maps(store: &Store, layout: &BTreeMap<String, String>) -> Result<Maps, ReadError> {
    let wrong = |key: &str, what| ReadError::Metadata {
        map: "layout",
        key: key.to_owned(),
        what,
    };
    let root_of = |id: u32| -> Result<Position, ReadError> {
        let key = format!("root.{id:x}");
        match layout.get(&key) {
            None => Ok(Position(0)),
            Some(root) => u64::from_str_radix(root, 16)
                .map(Position)
                .map_err(|_| wrong(&key, "is no page position")),
        }
    };
    let described = match store.format {
        Format::V1 => layout
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("map.")?.to_owned(), value.clone())))
            .collect(),
        Format::V2 | Format::V3 => {
            let meta_id = layout
                .get("meta.id")
                .ok_or_else(|| wrong("meta.id", "is missing"))?;
            let id = u32::from_str_radix(meta_id, 16).map_err(|_| wrong("meta.id", "is no number"))?;
            let root = root_of(id)?;
            let long_keys = LongKeys::Plain;
            described_by_meta(store, MapRoot { id, root, long_keys })?
        }
    };
    // `name.` entries only repeat what `map.` entries say, and H2 repairs them from those.
    let mut maps = Maps::default();
    for (id, text) in described {
        let wrong = |what| ReadError::Metadata {
            map: "meta",
            key: format!("map.{id}"),
            what,
        };
        let number = u32::from_str_radix(&id, 16).map_err(|_| wrong("has no number"))?;
        let text = TextMap::parse(&latin1(&text)).map_err(|problem| wrong(problem.what))?;
        let name = text.get("name").ok_or_else(|| wrong("has no name"))?.to_owned();
        let label = |key| text.get(key).map(str::to_owned);
        let map = NamedMap {
            root: MapRoot {
                id: number,
                root: root_of(number)?,
                long_keys: long_keys(store.format, &name),
            },
            key_type: label("key"),
            value_type: label("val"),
        };
        if maps.by_name.insert(name, map).is_some() {
            return Err(wrong("has the name of another map"));
        }
    }
    Ok(maps)
}
