//! What the file will hold, decided before the first row: object ids, map ids, which key is the row key, and
//! which indexes there are. The texts of the catalogue are rendered elsewhere.

use std::collections::HashSet;

use super::definition_check;
use super::page::MapId;
use crate::definition::{ColumnDefinition, Definition, Nullability, TableDefinition, ValueSource};
use crate::{SqlType, WriteError};

mod index_planner;

/// Ids of H2's own maps, as in a file that H2 itself creates.
pub(crate) const META_MAP: MapId = 1;
pub(crate) const REGISTRY_MAP: MapId = 2;
pub(crate) const CATALOGUE_MAP: MapId = 5;
pub(crate) const LOB_MAP: MapId = 6;
pub(crate) const TEMP_LOB_MAP: MapId = 7;
pub(crate) const LOB_REF_MAP: MapId = 8;
pub(crate) const LOB_DATA_MAP: MapId = 9;
/// The maps that a store has from the start: id and name.
pub(crate) const SYSTEM_MAPS: [(MapId, &str); 8] = [
    (REGISTRY_MAP, "_"),
    (3, "openTransactions"),
    (4, "undoLog.1"),
    (CATALOGUE_MAP, "table.0"),
    (LOB_MAP, "lobMap"),
    (TEMP_LOB_MAP, "tempLobMap"),
    (LOB_REF_MAP, "lobRef"),
    (LOB_DATA_MAP, "lobData"),
];
const FIRST_FREE_MAP: MapId = 10;

/// The plan for a whole database.
#[derive(Debug)]
pub(crate) struct DatabasePlan {
    pub(crate) tables: Vec<TablePlan>,
    pub(crate) highest_map: MapId,
    /// The first object id that no table, index or sequence has.
    pub(crate) next_id: u32,
}

/// The plan for a table.
#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) id: u32,
    pub(crate) map: MapId,
    /// Schema and name, for messages.
    pub(crate) label: String,
    pub(crate) columns: Vec<ColumnPlan>,
    /// All indexes; the primary key's first, if there is one.
    pub(crate) indexes: Vec<IndexPlan>,
    /// The column whose value can be the row key: the single ascending integer of the primary key, which is
    /// then `indexes[0]`.
    pub(crate) key_column: Option<usize>,
    pub(crate) identity: Option<IdentityPlan>,
}

/// A column, as a row is checked against it.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullability: Nullability,
}

/// The generator of an identity column.
#[derive(Debug)]
pub(crate) struct IdentityPlan {
    pub(crate) column: usize,
    pub(crate) sequence_id: u32,
    pub(crate) sequence_name: String,
}

/// An index.
#[derive(Debug)]
pub(crate) struct IndexPlan {
    pub(crate) id: u32,
    pub(crate) map: MapId,
    pub(crate) name: String,
    pub(crate) kind: IndexKind,
    pub(crate) columns: Vec<KeyColumn>,
    /// The constraint that owns it.
    pub(crate) owner: Option<Owner>,
}

/// Which constraint of its table owns an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    PrimaryKey,
    Unique(usize),
    ForeignKey(usize),
}

/// What an index refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexKind {
    PrimaryKey,
    Unique,
    Plain,
}

/// A column of an index: its place in the row and H2's sort type bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub(crate) column: usize,
    pub(crate) sort_type: u8,
}

impl DatabasePlan {
    /// Plans `definition`. Ids: `first_id` and up.
    pub(crate) fn new(definition: &Definition, first_id: u32) -> Result<Self, WriteError> {
        definition_check::check(definition)?;
        let mut ids = Ids {
            next_id: first_id,
            next_map: FIRST_FREE_MAP,
        };
        let mut names = Names::default();
        for table in &definition.tables {
            for index in &table.indexes {
                names.taken.insert((table.schema.clone(), index.name.clone()));
            }
        }
        let tables: Vec<TablePlan> = definition
            .tables
            .iter()
            .map(|table| plan_table(table, &mut ids, &mut names))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tables,
            highest_map: ids.next_map - 1,
            next_id: ids.next_id,
        })
    }
}

struct Ids {
    next_id: u32,
    next_map: MapId,
}

impl Ids {
    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn map(&mut self) -> MapId {
        self.next_map += 1;
        self.next_map - 1
    }
}

/// Index names are free, but each only once in its schema.
#[derive(Default)]
struct Names {
    taken: HashSet<(String, String)>,
}

impl Names {
    fn unique(&mut self, schema: &str, wanted: &str, id: u32) -> String {
        // H2 takes 256 characters.
        let wanted: String = wanted.chars().take(100).collect();
        let mut name = format!("{wanted}_{id:X}");
        while !self.taken.insert((schema.to_owned(), name.clone())) {
            name.push('_');
        }
        name
    }
}

pub(crate) fn problem(object: impl Into<String>, problem: impl Into<String>) -> WriteError {
    WriteError::Definition {
        object: object.into(),
        problem: problem.into(),
    }
}

fn plan_table(table: &TableDefinition, ids: &mut Ids, names: &mut Names) -> Result<TablePlan, WriteError> {
    let label = format!("{}.{}", table.schema, table.name);
    let id = ids.id();
    let map = ids.map();
    let identity = plan_identity(table, &label, ids)?;
    let indexes = index_planner::plan(table, &label, ids, names)?;
    let key_column = match indexes.first() {
        Some(IndexPlan {
            kind: IndexKind::PrimaryKey,
            columns,
            ..
        }) => match columns.as_slice() {
            [KeyColumn { column, sort_type: 0 }] if is_row_key_type(&table.columns[*column].sql_type) => {
                Some(*column)
            }
            _ => None,
        },
        _ => None,
    };
    let columns = table
        .columns
        .iter()
        .map(|column| plan_column(table, column))
        .collect();
    Ok(TablePlan {
        id,
        map,
        label,
        columns,
        indexes,
        key_column,
        identity,
    })
}

/// Columns of the primary key and identities are NOT NULL, said or not.
fn plan_column(table: &TableDefinition, column: &ColumnDefinition) -> ColumnPlan {
    let in_key = table
        .primary_key
        .as_ref()
        .is_some_and(|key| key.columns.contains(&column.name));
    let identity = matches!(column.value_source, ValueSource::Identity(_));
    let nullability = if in_key || identity {
        Nullability::NotNull
    } else {
        column.nullability
    };
    ColumnPlan {
        name: column.name.clone(),
        sql_type: column.sql_type.clone(),
        nullability,
    }
}

fn is_row_key_type(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Integer | SqlType::BigInt
    )
}

fn plan_identity(
    table: &TableDefinition,
    label: &str,
    ids: &mut Ids,
) -> Result<Option<IdentityPlan>, WriteError> {
    let mut plan = None;
    for (column, definition) in table.columns.iter().enumerate() {
        if let ValueSource::Identity(identity) = &definition.value_source {
            if plan.is_some() {
                return Err(problem(label, "two identity columns, and H2 allows one"));
            }
            if !is_row_key_type(&definition.sql_type) || identity.increment == 0 {
                return Err(problem(
                    label,
                    "an identity column must be an integer with an increment other than 0",
                ));
            }
            let sequence_name = sequence_name(table, &definition.name);
            plan = Some(IdentityPlan {
                column,
                sequence_id: ids.id(),
                sequence_name,
            });
        }
    }
    Ok(plan)
}

/// H2 names these sequences by a random UUID; here it comes from the column's name, so that the same database
/// gives the same file.
fn sequence_name(table: &TableDefinition, column: &str) -> String {
    let hash = |seed: u64| {
        let text = [table.schema.as_str(), table.name.as_str(), column].join("\0");
        text.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
    };
    let high = hash(0xCBF2_9CE4_8422_2325) & 0xFFFF_FFFF_FFFF_0FFF | 0x4000;
    let low = hash(0x9E37_79B9_7F4A_7C15) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000;
    format!(
        "SYSTEM_SEQUENCE_{:08X}_{:04X}_{:04X}_{:04X}_{:012X}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
