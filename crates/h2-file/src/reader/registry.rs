//! The type registry: what H2 noted about the key and value types of its maps. Reading rows does not need it; tools,
//! and H2 when it rolls back a transaction, do.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::bytes::Cursor;
use crate::error::{Malformed, ReadError};
use crate::map::{Leaves, MapRoot, end_of_leaf};
use crate::page::Page;
use crate::reader::layout::Maps;
use crate::store::Store;

/// Wrappers within each other, at most.
const NESTING_MAX: u8 = 8;

/// A key or value type of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// 64-bit number.
    Long,
    /// String.
    String,
    /// Bytes.
    ByteArray,
    /// Nothing.
    Null,
    /// Entry of `lobMap`.
    BlobMeta,
    /// Key of `lobRef`.
    BlobReference,
    /// With transaction state.
    Versioned(Box<DataType>),
    /// A row or an index key.
    Row(RowType),
    /// A single value.
    Value(RowType),
}

/// Parameters of a row type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowType {
    /// Columns of the table.
    pub columns: u32,
    /// Sort types: of the table's columns, or of an index's.
    pub sort_types: Option<Vec<i32>>,
    /// Of an index: places of its columns in the table.
    pub indexes: Option<Vec<i32>>,
    /// Whether row keys are stored with the columns.
    pub row_keys: RowKeys,
}

/// Whether row keys are stored with the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKeys {
    /// Only columns: the values of a table.
    NotStored,
    /// Before the columns: the keys of an index.
    Stored,
}

/// What the registry says of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapTypes {
    /// Name of the map, such as `table.13`.
    pub map: String,
    /// Type of the keys, if noted.
    pub key: Option<DataType>,
    /// Type of the values, if noted.
    pub value: Option<DataType>,
}

pub(crate) fn map_types(store: &Store, maps: &Maps) -> Result<Vec<MapTypes>, ReadError> {
    let registry = match maps.get("_") {
        Some(map) => read(store, map)?,
        None => BTreeMap::new(),
    };
    let resolve = |name: &str, label: Option<&str>| match label {
        None => Ok(None),
        Some(label) => registry
            .get(label)
            .cloned()
            .map(Some)
            .ok_or_else(|| ReadError::Metadata {
                map: "meta",
                key: name.to_owned(),
                what: "names a type that is not in the registry",
            }),
    };
    maps.labels()
        .map(|(name, key, value)| {
            Ok(MapTypes {
                map: name.to_owned(),
                key: resolve(name, key)?,
                value: resolve(name, value)?,
            })
        })
        .collect()
}

fn read(store: &Store, map: MapRoot) -> Result<BTreeMap<String, DataType>, ReadError> {
    let mut registry = BTreeMap::new();
    let mut leaves = Leaves::new(store, map);
    while let Some(leaf) = leaves.next_leaf(store)? {
        read_leaf(leaf, &mut registry).map_err(|problem| leaf.position.malformed(map.id, problem))?;
    }
    Ok(registry)
}

fn read_leaf(leaf: &Page, registry: &mut BTreeMap<String, DataType>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(leaf.contents());
    let mut labels = Vec::new();
    for _ in 0..leaf.keys {
        labels.push(cursor.utf8_string()?.into_owned());
    }
    for label in labels {
        registry.insert(label, data_type(&mut cursor, NESTING_MAX)?);
    }
    end_of_leaf(&cursor)
}

fn data_type(cursor: &mut Cursor<'_>, nesting: u8) -> Result<DataType, Malformed> {
    let nesting = nesting
        .checked_sub(1)
        .ok_or(cursor.malformed("types are nested too deeply"))?;
    Ok(match &*cursor.utf8_string()? {
        "org.h2.mvstore.type.LongDataType" => DataType::Long,
        "org.h2.mvstore.type.StringDataType" => DataType::String,
        "org.h2.mvstore.type.ByteArrayDataType" => DataType::ByteArray,
        "org.h2.mvstore.db.NullValueDataType" => DataType::Null,
        "org.h2.mvstore.db.LobStorageMap$BlobMeta$Type" => DataType::BlobMeta,
        "org.h2.mvstore.db.LobStorageMap$BlobReference$Type" => DataType::BlobReference,
        "org.h2.mvstore.tx.VersionedValueType$Factory" => {
            DataType::Versioned(Box::new(data_type(cursor, nesting)?))
        }
        "org.h2.mvstore.db.RowDataType$Factory" => {
            let columns = column_count(cursor)?;
            let (sort_types, indexes) = (int_array(cursor)?, int_array(cursor)?);
            DataType::Row(RowType {
                columns,
                sort_types,
                indexes,
                row_keys: row_keys(cursor)?,
            })
        }
        "org.h2.mvstore.db.ValueDataType$Factory" => {
            let sort_types = int_array(cursor)?;
            let columns = column_count(cursor)?;
            let indexes = int_array(cursor)?;
            DataType::Value(RowType {
                columns,
                sort_types,
                indexes,
                row_keys: row_keys(cursor)?,
            })
        }
        _ => return Err(cursor.malformed("unknown data type")),
    })
}

fn column_count(cursor: &mut Cursor<'_>) -> Result<u32, Malformed> {
    u32::try_from(cursor.varint()?).map_err(|_| cursor.malformed("negative number of columns"))
}

fn row_keys(cursor: &mut Cursor<'_>) -> Result<RowKeys, Malformed> {
    Ok(if cursor.u8()? == 0 {
        RowKeys::NotStored
    } else {
        RowKeys::Stored
    })
}

/// Length + 1, or 0 for no array.
fn int_array(cursor: &mut Cursor<'_>) -> Result<Option<Vec<i32>>, Malformed> {
    let Some(length) = cursor.varint()?.checked_sub(1).filter(|length| *length >= 0) else {
        return Ok(None);
    };
    let mut numbers = Vec::new();
    for _ in 0..length {
        numbers.push(cursor.varint()?);
    }
    Ok(Some(numbers))
}
