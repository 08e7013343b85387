//! Do all foreign keys of a copied database hold? One pass over the rows, keys kept as ranges; where they do not
//! fit the memory limit the work is split by key and the rows are read again.

use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Catalogue, Column, Name, Table};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::digest::{SEED, canonical};
use crate::error::TransferError;
use crate::key_set::KeySet;

/// Memory for all keys of one pass.
pub(crate) const KEY_MEMORY_BYTES: usize = 32 << 20;
/// Missing keys named per foreign key.
const EXAMPLES_MAX: usize = 3;

/// Which keys a pass looks at: those whose hash falls into `part` of `parts`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    part: u128,
    parts: u128,
}

impl Share {
    pub(crate) const ALL: Self = Self { part: 0, parts: 1 };

    /// All shares, when the work is split in so many.
    pub(crate) fn split(parts: u128) -> impl Iterator<Item = Self> {
        (0..parts).map(move |part| Self { part, parts })
    }

    fn takes(self, key: u128) -> bool {
        // Keys close together stay together, so that ranges stay short.
        self.parts == 1 || (key >> 16) % self.parts == self.part
    }
}

/// Watches the rows of every table and says at the end which foreign keys dangle.
#[derive(Debug)]
pub(crate) struct ForeignKeyCheck {
    share: Share,
    memory_bytes: usize,
    children: Vec<Child>,
    parents: Vec<Parent>,
}

/// A table's columns that foreign keys refer to, in the order that they name them.
#[derive(Debug)]
struct Parent {
    table: String,
    columns: Vec<String>,
    keys: KeySet,
}

#[derive(Debug)]
struct Child {
    table: String,
    columns: Vec<String>,
    /// Position in [`ForeignKeyCheck::parents`].
    parent: usize,
    keys: KeySet,
}

/// The keys of one table's rows, collected while they pass.
#[derive(Debug)]
pub(crate) struct TableKeys {
    lists: Vec<KeyColumns>,
}

#[derive(Debug)]
struct KeyColumns {
    owner: Owner,
    positions: Vec<(usize, Column)>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Owner {
    Child(usize),
    Parent(usize),
}

impl ForeignKeyCheck {
    /// Checks every foreign key of the catalogue, those too whose parent is empty because it was left out.
    pub(crate) fn new(catalogue: &Catalogue, share: Share, memory_bytes: usize) -> Self {
        let mut children = Vec::new();
        let mut parents: Vec<Parent> = Vec::new();
        for table in &catalogue.tables {
            for key in &table.foreign_keys {
                let parent_table = key.parent_table.key();
                let parent_columns = keys(&key.parent_columns);
                let parent = parents
                    .iter()
                    .position(|parent| parent.table == parent_table && parent.columns == parent_columns)
                    .unwrap_or_else(|| {
                        parents.push(Parent {
                            table: parent_table,
                            columns: parent_columns,
                            keys: KeySet::default(),
                        });
                        parents.len() - 1
                    });
                children.push(Child {
                    table: table.name.key(),
                    columns: keys(&key.columns),
                    parent,
                    keys: KeySet::default(),
                });
            }
        }
        Self {
            share,
            memory_bytes,
            children,
            parents,
        }
    }

    /// What has to be collected from a table whose rows have these columns.
    pub(crate) fn table(&self, table: &Table, columns: &[&Column]) -> TableKeys {
        let find = |names: &[String]| -> Option<Vec<(usize, Column)>> {
            names
                .iter()
                .map(|name| {
                    let position = columns.iter().position(|column| column.name.key() == *name)?;
                    Some((position, columns[position].clone()))
                })
                .collect()
        };
        let mut lists = Vec::new();
        let key = table.name.key();
        for (index, child) in self
            .children
            .iter()
            .enumerate()
            .filter(|(_, child)| child.table == key)
        {
            if let Some(positions) = find(&child.columns) {
                lists.push(KeyColumns {
                    owner: Owner::Child(index),
                    positions,
                    scratch: Vec::new(),
                });
            }
        }
        for (index, parent) in self
            .parents
            .iter()
            .enumerate()
            .filter(|(_, parent)| parent.table == key)
        {
            if let Some(positions) = find(&parent.columns) {
                lists.push(KeyColumns {
                    owner: Owner::Parent(index),
                    positions,
                    scratch: Vec::new(),
                });
            }
        }
        TableKeys { lists }
    }

    /// Collects the keys of a batch. `Ok(false)`: they no longer fit; begin again with a smaller [`Share`].
    pub(crate) fn add(&mut self, keys: &mut TableKeys, batch: &RowBatch) -> bool {
        for list in &mut keys.lists {
            for row in 0..batch.rows() {
                let Some(key) = list.key(batch, row) else { continue };
                if !self.share.takes(key) {
                    continue;
                }
                match list.owner {
                    Owner::Child(index) => self.children[index].keys.insert(key),
                    Owner::Parent(index) => self.parents[index].keys.insert(key),
                }
            }
        }
        let held: usize = self
            .children
            .iter()
            .map(|child| child.keys.bytes())
            .sum::<usize>()
            + self
                .parents
                .iter()
                .map(|parent| parent.keys.bytes())
                .sum::<usize>();
        held <= self.memory_bytes
    }

    /// Every foreign key that dangles, in words.
    pub(crate) fn violations(mut self) -> Vec<String> {
        let mut violations = Vec::new();
        for child in &mut self.children {
            let parent = &mut self.parents[child.parent];
            let missing = child.keys.missing_from(&mut parent.keys, EXAMPLES_MAX + 1);
            if missing.is_empty() {
                continue;
            }
            let examples: Vec<String> = missing.iter().take(EXAMPLES_MAX).map(|&key| shown(key)).collect();
            violations.push(format!(
                "{}.{} refers to {}.{}, which has no {}{}",
                child.table,
                child.columns.join(","),
                parent.table,
                parent.columns.join(","),
                examples.join(", "),
                if missing.len() > EXAMPLES_MAX {
                    " and more"
                } else {
                    ""
                },
            ));
        }
        violations
    }
}

/// Keys at and above this are hashes of what is not one whole number.
const HASHED: u128 = 1 << 127;
/// Whole numbers are shifted so that negative ones sort below.
const SHIFT: u128 = 1 << 64;

impl KeyColumns {
    /// The key of a row; `None` where a column is NULL, which refers to nothing.
    fn key(&mut self, batch: &RowBatch, row: usize) -> Option<u128> {
        if let [(position, _)] = self.positions[..]
            && let Cell::Int(value) = batch.cell(row, position)
        {
            return Some(SHIFT.wrapping_add_signed(i128::from(value)));
        }
        self.scratch.clear();
        for (position, column) in &self.positions {
            let cell = batch.cell(row, *position);
            if cell == Cell::Null {
                return None;
            }
            canonical(cell, column, &mut self.scratch);
        }
        Some(xxh3_128_with_seed(&self.scratch, SEED) | HASHED)
    }
}

fn shown(key: u128) -> String {
    if key >= HASHED {
        return format!("key with hash {key:032x}");
    }
    i128::try_from(key).map_or_else(|_| key.to_string(), |key| (key - (1i128 << 64)).to_string())
}

fn keys(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::key).collect()
}

/// Into how many shares to split when one was too large.
pub(crate) fn next_split(parts: u128) -> Result<u128, TransferError> {
    let parts = parts * 4;
    if parts > 1024 {
        return Err(TransferError::Limit(
            "the keys of this database do not fit the memory of the foreign-key check, even in 1024 passes"
                .to_owned(),
        ));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
