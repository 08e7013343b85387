//! The end of a file: catalogue, type registry, meta map, layout, and the header that makes it a database.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalogue::{self, UserRow};
use super::chunk::{BLOCK_BYTES, ChunkSink, LAYOUT_MAP, LastChunk};
use super::database::{IndexRoot, WrittenTable};
use super::encode::{string, varlong, with_fletcher};
use super::lob::LobRoots;
use super::options::WriteUser;
use super::page::{MapId, PageBody, PagePosition};
use super::plan::{
    CATALOGUE_MAP, DatabasePlan, LOB_DATA_MAP, LOB_MAP, LOB_REF_MAP, META_MAP, REGISTRY_MAP, SYSTEM_MAPS,
    TablePlan,
};
use super::registry::{MapTypes, Registry};
use super::tree::{PageSink, TreeBuilder, Versioning};
use super::value_encode::{self, LobStore, StoredLob};
use crate::definition::{Definition, Identity};
use crate::{SqlType, Text, Value, WriteError};

/// What the end is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) plan: &'a DatabasePlan,
    pub(crate) user: &'a WriteUser,
    pub(crate) tables: &'a [WrittenTable],
    pub(crate) lobs: &'a LobRoots,
}

/// A table without rows: no pages, and no entries in its indexes.
pub(crate) fn empty_table(plan: &TablePlan) -> WrittenTable {
    let first = usize::from(plan.key_column.is_some());
    let indexes = plan.indexes[first..]
        .iter()
        .map(|index| IndexRoot {
            map: index.map,
            root: None,
        })
        .collect();
    WrittenTable {
        root: None,
        rows: 0,
        indexes,
        highest_identity: None,
        lowest_identity: None,
    }
}

/// Writes the end and syncs the file; returns its length.
pub(crate) fn complete(parts: &Parts<'_>, mut sink: &ChunkSink) -> Result<u64, WriteError> {
    let mut roots: BTreeMap<MapId, PagePosition> = BTreeMap::new();
    let mut root = |map: MapId, root: Option<PagePosition>| {
        if let Some(root) = root {
            roots.insert(map, root);
        }
    };
    for (table, plan) in parts.tables.iter().zip(&parts.plan.tables) {
        root(plan.map, table.root);
        for index in &table.indexes {
            root(index.map, index.root);
        }
    }
    root(LOB_MAP, parts.lobs.objects);
    root(LOB_REF_MAP, parts.lobs.references);
    root(LOB_DATA_MAP, parts.lobs.blocks);
    root(CATALOGUE_MAP, write_catalogue(parts, &mut sink)?);
    let mut registry = Registry::of(parts.plan);
    root(REGISTRY_MAP, write_registry(&registry, &mut sink)?);
    let meta = meta_entries(parts, &mut registry);
    root(META_MAP, write_strings(META_MAP, &meta, &mut sink)?);
    let last = sink.finish(|finished, append| {
        let mut layout: BTreeMap<String, String> = BTreeMap::new();
        layout.insert("meta.id".to_owned(), format!("{META_MAP:x}"));
        for (map, root) in &roots {
            layout.insert(format!("root.{map:x}"), format!("{:x}", root.0));
        }
        for (chunk, line) in finished {
            layout.insert(format!("chunk.{chunk:x}"), line.clone());
        }
        let root = write_strings(LAYOUT_MAP, &layout, &mut LayoutSink(append))?;
        root.ok_or(WriteError::Broken)
    })?;
    write_header(sink, last)
}

struct LayoutSink<'a>(&'a mut dyn FnMut(PageBody<'_>) -> Result<PagePosition, WriteError>);

impl PageSink for LayoutSink<'_> {
    fn append_page(&mut self, _map: MapId, body: PageBody<'_>) -> Result<PagePosition, WriteError> {
        (self.0)(body)
    }
}

fn write_catalogue(parts: &Parts<'_>, sink: &mut impl PageSink) -> Result<Option<PagePosition>, WriteError> {
    let user = UserRow {
        name: &parts.user.name,
        salt: &parts.user.salt,
        hash: &parts.user.hash,
    };
    let next = |position: usize, identity: &Identity| next_identity(parts, position, identity);
    let mut tree = TreeBuilder::of_catalogue(CATALOGUE_MAP, Versioning::Versioned);
    for row in catalogue::rows(parts.definition, parts.plan, &user, next) {
        varlong(&mut tree.keys, row.id.into());
        let values = [
            Value::Integer(row.id.cast_signed()),
            Value::Integer(0),
            Value::Integer(row.object_type),
            Value::Varchar(Text::Utf8(row.sql.into())),
        ];
        for value in &values {
            value_encode::value(&mut tree.values, value, &mut NoLobs)?;
        }
        tree.end_entry(sink)?;
    }
    tree.finish(sink)
}

/// The catalogue has no large objects.
struct NoLobs;

impl LobStore for NoLobs {
    fn store(&mut self, _octets: &[u8], _length: usize) -> Result<Option<StoredLob>, WriteError> {
        Ok(None)
    }
}

/// The next value of a generator: what the definition says, or beyond what was written.
fn next_identity(parts: &Parts<'_>, position: usize, identity: &Identity) -> i64 {
    let written = &parts.tables[position];
    let column = parts.plan.tables[position]
        .identity
        .as_ref()
        .map(|plan| plan.column);
    let sql_type = column.map(|column| &parts.plan.tables[position].columns[column].sql_type);
    let (lowest, highest) = match sql_type {
        Some(SqlType::TinyInt) => (i8::MIN.into(), i8::MAX.into()),
        Some(SqlType::SmallInt) => (i16::MIN.into(), i16::MAX.into()),
        Some(SqlType::Integer) => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    let next = if identity.increment > 0 {
        let beyond = written
            .highest_identity
            .map(|highest| highest.saturating_add(identity.increment));
        beyond.map_or(identity.next, |beyond| beyond.max(identity.next))
    } else {
        let beyond = written
            .lowest_identity
            .map(|lowest| lowest.saturating_add(identity.increment));
        beyond.map_or(identity.next, |beyond| beyond.min(identity.next))
    };
    // H2 refuses a file whose generator is outside of its type, even when it is used up.
    next.clamp(lowest, highest)
}

fn write_registry(registry: &Registry, sink: &mut impl PageSink) -> Result<Option<PagePosition>, WriteError> {
    let mut tree = TreeBuilder::of_catalogue(REGISTRY_MAP, Versioning::Plain);
    for (label, state) in registry.entries() {
        string(&mut tree.keys, label);
        tree.values.extend_from_slice(state);
        tree.end_entry(sink)?;
    }
    tree.finish(sink)
}

fn meta_entries(parts: &Parts<'_>, registry: &mut Registry) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::new();
    let mut add = |map: MapId, name: &str, types: Option<MapTypes>| {
        meta.insert(format!("name.{name}"), format!("{map:x}"));
        let types = types
            .map(|types| format!(",key:{:x},val:{:x}", types.key, types.value))
            .unwrap_or_default();
        meta.insert(format!("map.{map:x}"), format!("name:{name}{types}"));
    };
    for (map, name) in SYSTEM_MAPS {
        let types = match map {
            CATALOGUE_MAP => Some(registry.catalogue()),
            LOB_MAP => Some(registry.lob_map()),
            LOB_REF_MAP => Some(registry.lob_references()),
            LOB_DATA_MAP | super::plan::TEMP_LOB_MAP => Some(registry.lob_data()),
            _ => None,
        };
        add(map, name, types);
    }
    for (table, plan) in parts.tables.iter().zip(&parts.plan.tables) {
        add(
            plan.map,
            &format!("table.{}", plan.id),
            Some(registry.table(plan)),
        );
        // A primary key that is the row key must not have an entry: its absence is what tells H2 so.
        for index in &plan.indexes {
            if table.indexes.iter().any(|written| written.map == index.map) {
                add(
                    index.map,
                    &format!("index.{}", index.id),
                    Some(registry.index(plan, index)),
                );
            }
        }
    }
    meta
}

fn write_strings(
    map: MapId,
    entries: &BTreeMap<String, String>,
    sink: &mut impl PageSink,
) -> Result<Option<PagePosition>, WriteError> {
    let mut tree = TreeBuilder::of_catalogue(map, Versioning::Plain);
    for (key, value) in entries {
        string(&mut tree.keys, key);
        string(&mut tree.values, value);
        tree.end_entry(sink)?;
    }
    tree.finish(sink)
}

/// Both header blocks, after everything that they speak of is on the disk.
fn write_header(sink: &ChunkSink, last: LastChunk) -> Result<u64, WriteError> {
    let created = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let LastChunk { id, block, end_block } = last;
    let header = with_fletcher(format!(
        "H:2,block:{block:x},blockSize:{BLOCK_BYTES:x},chunk:{id:x},clean:1,created:{created:x},format:2,version:{id:x}"
    ));
    let mut blocks = vec![0; 2 * BLOCK_BYTES];
    for start in [0, BLOCK_BYTES] {
        blocks[start..start + header.len()].copy_from_slice(header.as_bytes());
        blocks[start + header.len()] = b'\n';
    }
    sink.with_file("write", |file| {
        file.sync_data()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&blocks)?;
        file.sync_all()
    })?;
    Ok(end_block * BLOCK_BYTES as u64)
}
