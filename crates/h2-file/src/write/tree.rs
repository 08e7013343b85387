//! Builds one map bottom-up from entries that come in key order: leaves, and nodes above them as they fill.
//! Where pages go is the chunk's matter; what keys and values are, the caller's.

use super::chunk::ChunkSink;
use super::page::{MapId, PageBody, PagePosition};
use crate::WriteError;

/// A leaf is written once it is this long; H2 splits its own pages at this size.
const LEAF_BYTES: usize = 16 * 1024;
/// The same for the maps that H2 changes when it first opens a file for writing: it writes each changed page anew, so
/// that small ones spare the file half of what an opening adds.
const CATALOGUE_LEAF_BYTES: usize = 2 * 1024;
/// A node is written once it has this many children, or keys of [`NODE_KEY_BYTES`].
const NODE_CHILDREN: usize = 200;
const NODE_KEY_BYTES: usize = 16 * 1024;
/// No leaf has more entries: index entries can be a few bytes only.
const LEAF_ENTRIES: usize = 4096;

/// Whether the values of a map begin with the byte that says "no open transactions here".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// Tables and indexes.
    Versioned,
    /// LOB maps, the type registry, the meta map, the layout.
    Plain,
}

/// Takes the pages that a tree makes.
pub(crate) trait PageSink {
    /// Appends a page.
    fn append_page(&mut self, map: MapId, body: PageBody<'_>) -> Result<PagePosition, WriteError>;
}

impl PageSink for &ChunkSink {
    fn append_page(&mut self, map: MapId, body: PageBody<'_>) -> Result<PagePosition, WriteError> {
        self.append(map, body)
    }
}

/// A map being built.
#[derive(Debug)]
pub(crate) struct TreeBuilder {
    map: MapId,
    versioning: Versioning,
    count: usize,
    /// The keys of the open leaf. Append the next entry's key, then call [`TreeBuilder::end_entry`].
    pub(crate) keys: Vec<u8>,
    /// The values of the open leaf.
    pub(crate) values: Vec<u8>,
    first_key_length: usize,
    leaf_bytes: usize,
    levels: Vec<Level>,
}

/// The open node of one level.
#[derive(Debug, Default)]
struct Level {
    children: Vec<u64>,
    counts: Vec<u64>,
    /// The smallest key of each child, the first included.
    keys: Vec<u8>,
    /// Where each of them ends.
    key_ends: Vec<usize>,
}

impl TreeBuilder {
    pub(crate) fn new(map: MapId, versioning: Versioning) -> Self {
        let mut builder = Self {
            map,
            versioning,
            count: 0,
            keys: Vec::new(),
            values: Vec::new(),
            first_key_length: 0,
            leaf_bytes: LEAF_BYTES,
            levels: Vec::new(),
        };
        builder.begin_leaf();
        builder
    }

    /// A builder for one of the maps that describe the others.
    pub(crate) fn of_catalogue(map: MapId, versioning: Versioning) -> Self {
        Self {
            leaf_bytes: CATALOGUE_LEAF_BYTES,
            ..Self::new(map, versioning)
        }
    }

    /// Ends the entry whose key and value were appended last.
    #[inline]
    pub(crate) fn end_entry(&mut self, sink: &mut impl PageSink) -> Result<(), WriteError> {
        if self.count == 0 {
            self.first_key_length = self.keys.len();
        }
        self.count += 1;
        if self.keys.len() + self.values.len() >= self.leaf_bytes || self.count >= LEAF_ENTRIES {
            self.end_leaf(sink)?;
        }
        Ok(())
    }

    /// Writes what is open; `None` if the map is empty.
    pub(crate) fn finish(mut self, sink: &mut impl PageSink) -> Result<Option<PagePosition>, WriteError> {
        if self.count > 0 {
            self.end_leaf(sink)?;
        }
        let mut level = 0;
        while level < self.levels.len() {
            let open = &self.levels[level];
            if level + 1 == self.levels.len() && open.children.len() == 1 {
                return Ok(Some(PagePosition(open.children[0])));
            }
            let rest = open.children.len();
            self.end_node(level, rest, sink)?;
            level += 1;
        }
        Ok(None)
    }

    fn begin_leaf(&mut self) {
        self.count = 0;
        self.keys.clear();
        self.values.clear();
        if self.versioning == Versioning::Versioned {
            self.values.push(0);
        }
    }

    fn end_leaf(&mut self, sink: &mut impl PageSink) -> Result<(), WriteError> {
        let body = PageBody::Leaf {
            count: self.count,
            keys: &self.keys,
            values: &self.values,
        };
        let position = sink.append_page(self.map, body)?;
        let first_key = self.keys[..self.first_key_length].to_vec();
        let count = self.count as u64;
        self.begin_leaf();
        self.add_child(0, position, count, &first_key, sink)
    }

    fn add_child(
        &mut self,
        level: usize,
        position: PagePosition,
        count: u64,
        first_key: &[u8],
        sink: &mut impl PageSink,
    ) -> Result<(), WriteError> {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let open = &mut self.levels[level];
        open.children.push(position.0);
        open.counts.push(count);
        open.keys.extend_from_slice(first_key);
        open.key_ends.push(open.keys.len());
        // Two children are held back, so that what is left at the end is never a node with a single child.
        let full = open.children.len() >= NODE_CHILDREN + 2
            || (open.keys.len() >= NODE_KEY_BYTES && open.children.len() >= 6);
        if full {
            let children = open.children.len() - 2;
            self.end_node(level, children, sink)?;
        }
        Ok(())
    }

    /// Writes the first `children` children of a level as a node.
    fn end_node(
        &mut self,
        level: usize,
        children: usize,
        sink: &mut impl PageSink,
    ) -> Result<(), WriteError> {
        let open = &mut self.levels[level];
        let first_end = open.key_ends[0];
        let keys_end = open.key_ends[children - 1];
        let body = PageBody::Node {
            children: &open.children[..children],
            counts: &open.counts[..children],
            keys: &open.keys[first_end..keys_end],
        };
        let position = sink.append_page(self.map, body)?;
        let count = open.counts[..children].iter().sum();
        let first_key = open.keys[..first_end].to_vec();
        open.children.drain(..children);
        open.counts.drain(..children);
        open.keys.drain(..keys_end);
        open.key_ends.drain(..children);
        for end in &mut open.key_ends {
            *end -= keys_end;
        }
        self.add_child(level + 1, position, count, &first_key, sink)
    }
}
