//! A map: one copy-on-write B-tree. Walks its leaves in key order and finds single leaves by key.
//! What keys and values are is the caller's business.
//!
//! A damaged tree can refer to itself. Walks are bounded by two facts of a sound one: every page is visited once,
//! so the visited pages are together no longer than the file; and depth grows with the logarithm of the entries.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Deref;

use crate::Text;
use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::page::{Child, Page, Position};
use crate::store::Store;
use crate::{generic_object, value_decode};

/// With two children per node, more levels than this would need more entries than there are numbers.
const DEPTH_MAX: usize = 64;
const TOO_DEEP: &str = "its tree is deeper than 64 levels";

/// A map of the opened version: its id, its root page (none if it is empty) and how its keys, if they are numbers,
/// are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapRoot {
    pub(crate) id: u32,
    pub(crate) root: Position,
    pub(crate) long_keys: LongKeys,
}

/// How 64-bit keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongKeys {
    /// As a varlong: formats 2 and 3.
    Plain,
    /// As a BIGINT value: tables of format 1.
    Value,
    /// As a generic object: the other maps of format 1.
    Object,
}

impl LongKeys {
    /// Reads one key.
    #[inline]
    pub(crate) fn read(self, cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
        match self {
            Self::Plain => cursor.varlong(),
            Self::Value => value_decode::big_int(cursor),
            Self::Object => generic_object::long(cursor),
        }
    }
}

/// Walks the leaves of a map from the first to the last key.
#[derive(Debug)]
pub(crate) struct Leaves {
    map: MapRoot,
    /// The nodes above the next page, topmost first, each with the child to visit next.
    path: Vec<Level>,
    started: bool,
    page: Page,
    bytes_left: u64,
}

#[derive(Debug)]
struct Level {
    children: Vec<Child>,
    next: usize,
}

impl Leaves {
    pub(crate) fn new(store: &Store, map: MapRoot) -> Self {
        Self {
            map,
            path: Vec::new(),
            started: false,
            page: Page::empty(),
            bytes_left: store.source.len(),
        }
    }

    /// Starts at the leaf in which the long key `key` belongs, instead of at the first one.
    pub(crate) fn seek(&mut self, store: &Store, key: i64) -> Result<(), ReadError> {
        let map = self.map.id;
        let mut position = self.map.root;
        while !position.is_none() {
            self.page.read(store, position, map)?;
            if self.page.is_leaf() {
                break;
            }
            if self.path.len() >= DEPTH_MAX {
                return Err(ReadError::Map { map, what: TOO_DEEP });
            }
            let next = child_of_long(&self.page, key, self.map.long_keys)
                .map_err(|problem| position.malformed(map, problem))?;
            let children = std::mem::take(&mut self.page.children);
            position = children.get(next).map_or(Position(0), |child| child.position);
            if self.started {
                // The node above goes on behind this one.
                self.advance();
            }
            self.started = true;
            self.path.push(Level { children, next });
        }
        Ok(())
    }

    /// The next leaf that has keys. After an error of a chunk that `store` does not know, the call can be
    /// repeated with a store that does.
    pub(crate) fn next_leaf(&mut self, store: &Store) -> Result<Option<&Page>, ReadError> {
        let map = self.map.id;
        loop {
            let Some(child) = self.peek() else { return Ok(None) };
            if child.position.is_none() {
                self.advance();
                continue;
            }
            let parent_knows = !self.path.is_empty();
            self.page.read(store, child.position, map)?;
            self.advance();
            self.bytes_left = self
                .bytes_left
                .checked_sub(u64::try_from(self.page.stored_bytes()).unwrap_or(u64::MAX))
                .ok_or(ReadError::Map {
                    map,
                    what: "its pages are together longer than the file",
                })?;
            let entries = if self.page.is_leaf() {
                u64::try_from(self.page.keys).unwrap_or(u64::MAX)
            } else {
                self.page
                    .children
                    .iter()
                    .fold(0, |sum: u64, child| sum.saturating_add(child.entries))
            };
            if parent_knows && entries != child.entries {
                return Err(child.position.malformed(
                    map,
                    Malformed::new(0, "has another number of entries than its parent says"),
                ));
            }
            if self.page.is_leaf() {
                if self.page.keys == 0 {
                    continue;
                }
                return Ok(Some(&self.page));
            }
            if self.path.len() >= DEPTH_MAX {
                return Err(ReadError::Map { map, what: TOO_DEEP });
            }
            self.path.push(Level {
                children: std::mem::take(&mut self.page.children),
                next: 0,
            });
        }
    }

    /// The leaf that [`Leaves::next_leaf`] gave last.
    pub(crate) fn leaf(&self) -> &Page {
        &self.page
    }

    fn peek(&mut self) -> Option<Child> {
        if !self.started {
            return Some(Child {
                position: self.map.root,
                entries: 0,
            });
        }
        loop {
            let level = self.path.last()?;
            match level.children.get(level.next) {
                Some(child) => return Some(*child),
                None => self.path.pop(),
            };
        }
    }

    fn advance(&mut self) {
        self.started = true;
        if let Some(level) = self.path.last_mut() {
            level.next = level.next.saturating_add(1);
        }
    }
}

/// Goes down from the root of `map` to the leaf in which a key belongs. `page` gives the page at a position,
/// `choose` gets each node and says which child to take. `None`: the way ends at an empty child.
pub(crate) fn descend<P: Deref<Target = Page>>(
    map: MapRoot,
    mut page: impl FnMut(Position) -> Result<P, ReadError>,
    mut choose: impl FnMut(&Page) -> Result<usize, Malformed>,
) -> Result<Option<P>, ReadError> {
    let mut position = map.root;
    for _ in 0..DEPTH_MAX {
        if position.is_none() {
            return Ok(None);
        }
        let found = page(position)?;
        if found.is_leaf() {
            return Ok(Some(found));
        }
        let child = choose(&found).map_err(|problem| position.malformed(map.id, problem))?;
        let Some(child) = found.children.get(child) else {
            return Err(position.malformed(map.id, Malformed::new(0, "has too few children")));
        };
        position = child.position;
    }
    Err(ReadError::Map {
        map: map.id,
        what: TOO_DEEP,
    })
}

/// Reads single pages without keeping them.
fn uncached(store: &Store, map: MapRoot) -> impl FnMut(Position) -> Result<Box<Page>, ReadError> {
    move |position| {
        let mut page = Box::new(Page::empty());
        page.read(store, position, map.id)?;
        Ok(page)
    }
}

/// The child of a node with long keys under which `key` belongs. A key equal to a node key goes right of it.
pub(crate) fn child_of_long(page: &Page, key: i64, keys: LongKeys) -> Result<usize, Malformed> {
    let mut cursor = Cursor::new(page.contents());
    for index in 0..page.keys {
        if key < keys.read(&mut cursor)? {
            return Ok(index);
        }
    }
    Ok(page.keys)
}

/// The same for string keys, which are ordered by UTF-16 units.
pub(crate) fn child_of_string(page: &Page, key: &str) -> Result<usize, Malformed> {
    let mut cursor = Cursor::new(page.contents());
    for index in 0..page.keys {
        if compare_units(key, &cursor.string()?) == Ordering::Less {
            return Ok(index);
        }
    }
    Ok(page.keys)
}

fn compare_units(key: &str, other: &Text<'_>) -> Ordering {
    match other {
        Text::Utf8(other) => key.encode_utf16().cmp(other.encode_utf16()),
        Text::Units(other) => key.encode_utf16().cmp(other.iter().copied()),
    }
}

/// The value of `key` in a map from strings to strings.
pub(crate) fn find_string(store: &Store, map: MapRoot, key: &str) -> Result<Option<String>, ReadError> {
    let Some(page) = descend(map, uncached(store, map), |node| child_of_string(node, key))? else {
        return Ok(None);
    };
    let mut found = None;
    string_entries(&page, |found_key, value| {
        if found_key == key {
            found = Some(value.into_owned());
        }
    })
    .map_err(|problem| page.position.malformed(map.id, problem))?;
    Ok(found)
}

/// The entries of a leaf from strings to strings.
pub(crate) fn string_entries<'p>(
    leaf: &'p Page,
    mut each: impl FnMut(Cow<'p, str>, Cow<'p, str>),
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(leaf.contents());
    let mut keys = Vec::with_capacity(leaf.keys.min(cursor.remaining()));
    for _ in 0..leaf.keys {
        keys.push(cursor.utf8_string()?);
    }
    for key in keys {
        each(key, cursor.utf8_string()?);
    }
    end_of_leaf(&cursor)
}

/// Nothing may follow the last value of a leaf.
pub(crate) fn end_of_leaf(cursor: &Cursor<'_>) -> Result<(), Malformed> {
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(cursor.malformed("bytes follow the last value"))
    }
}

/// The last key of a map with long keys.
pub(crate) fn last_long_key(store: &Store, map: MapRoot) -> Result<Option<i64>, ReadError> {
    let Some(page) = descend(map, uncached(store, map), |node| Ok(node.keys))? else {
        return Ok(None);
    };
    let mut cursor = Cursor::new(page.contents());
    let mut last = None;
    for _ in 0..page.keys {
        last = Some(
            map.long_keys
                .read(&mut cursor)
                .map_err(|problem| page.position.malformed(map.id, problem))?,
        );
    }
    Ok(last)
}
