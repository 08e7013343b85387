//! The type registry, map `_`, and the labels by which the meta map refers to it. H2 computes the labels as Java
//! hash codes; the same ones are written, so that H2 adds no second set.

use std::collections::BTreeMap;

use super::encode::{int_array, length, string};
use super::plan::{DatabasePlan, IndexPlan, TablePlan};

const LONG: &str = "org.h2.mvstore.type.LongDataType";
const BYTE_ARRAY: &str = "org.h2.mvstore.type.ByteArrayDataType";
const NULL_VALUE: &str = "org.h2.mvstore.db.NullValueDataType";
const BLOB_META: &str = "org.h2.mvstore.db.LobStorageMap$BlobMeta$Type";
const BLOB_REFERENCE: &str = "org.h2.mvstore.db.LobStorageMap$BlobReference$Type";

/// Java's `String.hashCode`, of ASCII text.
fn string_hash(text: &str) -> u32 {
    text.bytes().fold(0, |hash: u32, byte| {
        hash.wrapping_mul(31).wrapping_add(byte.into())
    })
}

/// Java's `Arrays.hashCode`; `None` is null.
fn array_hash(ints: Option<&[u32]>) -> u32 {
    ints.map_or(0, |ints| {
        ints.iter()
            .fold(1, |hash: u32, one| hash.wrapping_mul(31).wrapping_add(*one))
    })
}

/// The label of a row type.
fn row_hash(column_count: u32, sort_types: &[u32], indexes: Option<&[u32]>) -> u32 {
    let mode = 31_u32.wrapping_mul(31_u32.wrapping_add(string_hash("OFF")));
    let value = string_hash("org.h2.mvstore.db.ValueDataType")
        ^ array_hash(indexes)
        ^ mode
        ^ array_hash(Some(sort_types));
    [
        column_count,
        array_hash(indexes),
        array_hash(Some(sort_types)),
        value,
    ]
    .into_iter()
    .fold(string_hash("org.h2.mvstore.db.RowDataType"), |hash, one| {
        hash.wrapping_mul(31).wrapping_add(one)
    })
}

fn versioned_hash(wrapped: u32) -> u32 {
    string_hash("org.h2.mvstore.tx.VersionedValueType") ^ wrapped
}

/// The labels of a map's key and value type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapTypes {
    pub(crate) key: u32,
    pub(crate) value: u32,
}

/// All types that the maps of a database have: label in hexadecimal to encoded type.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: BTreeMap<String, Vec<u8>>,
}

impl Registry {
    pub(crate) fn of(plan: &DatabasePlan) -> Self {
        let mut registry = Self::default();
        registry.catalogue();
        registry.lob_map();
        registry.lob_references();
        registry.lob_data();
        for table in &plan.tables {
            registry.table(table);
            for index in &table.indexes {
                registry.index(table, index);
            }
        }
        registry
    }

    /// Entries in map order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.entries.iter()
    }

    pub(crate) fn catalogue(&mut self) -> MapTypes {
        self.rows(4)
    }

    pub(crate) fn lob_map(&mut self) -> MapTypes {
        MapTypes {
            key: self.stateless(LONG),
            value: self.stateless(BLOB_META),
        }
    }

    pub(crate) fn lob_references(&mut self) -> MapTypes {
        MapTypes {
            key: self.stateless(BLOB_REFERENCE),
            value: self.stateless(NULL_VALUE),
        }
    }

    pub(crate) fn lob_data(&mut self) -> MapTypes {
        MapTypes {
            key: self.stateless(LONG),
            value: self.stateless(BYTE_ARRAY),
        }
    }

    pub(crate) fn table(&mut self, table: &TablePlan) -> MapTypes {
        self.rows(table.columns.len())
    }

    pub(crate) fn index(&mut self, table: &TablePlan, index: &IndexPlan) -> MapTypes {
        let sort_types: Vec<u32> = index.columns.iter().map(|one| one.sort_type.into()).collect();
        let columns: Vec<u32> = index
            .columns
            .iter()
            .map(|one| u32::try_from(one.column).unwrap_or(u32::MAX))
            .collect();
        let count = u32::try_from(table.columns.len()).unwrap_or(u32::MAX);
        let key = row_hash(count, &sort_types, Some(&columns));
        self.add(
            key,
            row_state(table.columns.len(), &sort_types, Some(&columns), 1),
        );
        let null = self.stateless(NULL_VALUE);
        let mut state = Vec::new();
        string(&mut state, NULL_VALUE);
        MapTypes {
            key,
            value: self.versioned(null, &state),
        }
    }

    fn rows(&mut self, column_count: usize) -> MapTypes {
        let sort_types = vec![0; column_count];
        let row = row_hash(u32::try_from(column_count).unwrap_or(u32::MAX), &sort_types, None);
        let state = row_state(column_count, &sort_types, None, 0);
        MapTypes {
            key: self.stateless(LONG),
            value: self.versioned(row, &state),
        }
    }

    fn stateless(&mut self, class: &str) -> u32 {
        let label = string_hash(class);
        let mut state = Vec::new();
        string(&mut state, class);
        self.add(label, state);
        label
    }

    fn versioned(&mut self, wrapped: u32, wrapped_state: &[u8]) -> u32 {
        let label = versioned_hash(wrapped);
        let mut state = Vec::new();
        string(&mut state, "org.h2.mvstore.tx.VersionedValueType$Factory");
        state.extend_from_slice(wrapped_state);
        self.add(label, state);
        label
    }

    fn add(&mut self, label: u32, state: Vec<u8>) {
        self.entries.insert(format!("{label:x}"), state);
    }
}

fn row_state(column_count: usize, sort_types: &[u32], indexes: Option<&[u32]>, store_keys: u8) -> Vec<u8> {
    let mut state = Vec::new();
    string(&mut state, "org.h2.mvstore.db.RowDataType$Factory");
    length(&mut state, column_count);
    int_array(&mut state, Some(sort_types));
    int_array(&mut state, indexes);
    state.push(store_keys);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_that_h2_computes() {
        assert_eq!(string_hash(LONG), 0x8FA2_5204);
        assert_eq!(string_hash(BYTE_ARRAY), 0x59A6_A071);
        assert_eq!(string_hash(BLOB_META), 0xF447_0498);
        assert_eq!(string_hash(BLOB_REFERENCE), 0xEABE_0274);
        assert_eq!(versioned_hash(row_hash(4, &[0; 4], None)), 0x5803_B3F1);
        assert_eq!(row_hash(1, &[1], Some(&[0])), 0x8B88_9894);
    }
}
