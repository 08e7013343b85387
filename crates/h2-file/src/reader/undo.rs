//! Undo logs of transactions that were open, compared with the tables. H2 takes the maps of a version one after the
//! other: if a transaction committed meanwhile, its undo log may still say "open" while some of its rows are committed,
//! or gone. Such a version shows half a transaction, and is torn.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::file_header::Format;
use crate::map::{Leaves, MapRoot, child_of_long, descend};
use crate::page::Page;
use crate::reader::entries::skip_columns;
use crate::reader::layout::Maps;
use crate::reader::page_cache::PageCache;
use crate::store::Store;
use crate::versioned::{OpenTransactions, transaction_of};

/// What the keys and values of a map are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contents {
    /// A table of so many columns.
    Table(usize),
    /// An index over so many columns.
    Index(usize),
}

/// One change of an open transaction: which row, and its bytes before. `None`: there was none.
struct Change<'p> {
    map: u32,
    key: i64,
    before: Option<&'p [u8]>,
}

/// Is every change that the undo logs list either still marked in its table, or not there at all?
pub(crate) fn is_whole(
    store: &Store,
    maps: &Maps,
    open: &OpenTransactions,
    contents: &BTreeMap<u32, Contents>,
) -> Result<bool, ReadError> {
    // The undo logs of format 1 are written another way.
    if open.is_empty() || store.format == Format::V1 {
        return Ok(true);
    }
    let roots: BTreeMap<u32, MapRoot> = maps.iter().map(|(_, map)| (map.id, map)).collect();
    let cache = PageCache::default();
    for (name, log) in maps.iter().filter(|(name, _)| name.starts_with("undoLog.")) {
        let Some(transaction) = name.strip_prefix("undoLog.").and_then(|id| id.parse().ok()) else {
            continue;
        };
        if !open.is_transaction_open(transaction) {
            continue;
        }
        let mut leaves = Leaves::new(store, log);
        while let Some(leaf) = leaves.next_leaf(store)? {
            // What cannot be understood here says nothing against the version.
            let Ok(changes) = changes(leaf, contents, store.format) else {
                return Ok(true);
            };
            for change in changes {
                let (Some(Contents::Table(columns)), Some(map)) =
                    (contents.get(&change.map), roots.get(&change.map))
                else {
                    continue;
                };
                if !agrees(store, &cache, *map, *columns, transaction, &change)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// The first changes of rows by this leaf's records; later ones of the same row have a transaction before them too.
fn changes<'p>(
    leaf: &'p Page,
    contents: &BTreeMap<u32, Contents>,
    format: Format,
) -> Result<Vec<Change<'p>>, Malformed> {
    let bytes = leaf.contents();
    let mut cursor = Cursor::new(bytes);
    for _ in 0..leaf.keys {
        cursor.varlong()?;
    }
    let mut changes = Vec::new();
    for _ in 0..leaf.keys {
        let Ok(map) = u32::try_from(cursor.varint()?) else {
            continue;
        };
        let of_map = contents.get(&map).copied();
        let of_map = of_map.ok_or(cursor.malformed("a change of an unknown map"))?;
        let key = cursor.varlong()?;
        let columns = match of_map {
            Contents::Table(columns) => columns,
            Contents::Index(columns) => {
                skip_columns(&mut cursor, columns, format)?;
                0
            }
        };
        if cursor.u8()? == 0 {
            changes.push(Change {
                map,
                key,
                before: None,
            });
            continue;
        }
        let is_first = cursor.varlong()? == 0;
        let values = if is_first { 1 } else { cursor.u8()?.count_ones() };
        let from = cursor.at();
        for _ in 0..values {
            skip_columns(&mut cursor, columns, format)?;
        }
        if is_first {
            changes.push(Change {
                map,
                key,
                before: bytes.get(from..cursor.at()),
            });
        }
    }
    Ok(changes)
}

fn agrees(
    store: &Store,
    cache: &PageCache,
    map: MapRoot,
    columns: usize,
    transaction: i64,
    change: &Change<'_>,
) -> Result<bool, ReadError> {
    let page = |position| cache.page(store, position, map);
    let Some(leaf) = descend(map, page, |node| child_of_long(node, change.key, map.long_keys))? else {
        return Ok(change.before.is_none());
    };
    let found = entry(&leaf, change.key, columns, store.format);
    let found = found.map_err(|problem| leaf.position.malformed(map.id, problem))?;
    Ok(match found {
        None => change.before.is_none(),
        Some((0, value)) => change.before == Some(value),
        Some((operation, _)) => transaction_of(operation) == transaction,
    })
}

/// The operation id of an entry, and its bytes if that is 0.
fn entry(leaf: &Page, key: i64, columns: usize, format: Format) -> Result<Option<(i64, &[u8])>, Malformed> {
    let bytes = leaf.contents();
    let mut cursor = Cursor::new(bytes);
    let mut place = None;
    for index in 0..leaf.keys {
        if cursor.varlong()? == key {
            place = Some(index);
        }
    }
    let Some(place) = place else { return Ok(None) };
    let is_versioned = cursor.u8()? == 1;
    for index in 0..=place {
        let operation = if is_versioned { cursor.varlong()? } else { 0 };
        let values = if operation == 0 {
            1
        } else {
            cursor.u8()?.count_ones()
        };
        let from = cursor.at();
        for _ in 0..values {
            skip_columns(&mut cursor, columns, format)?;
        }
        if index == place {
            return Ok(Some((
                operation,
                bytes.get(from..cursor.at()).unwrap_or_default(),
            )));
        }
    }
    Ok(None)
}
