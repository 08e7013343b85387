//! What the file will hold, decided before the first row: object ids, map ids, which key is the row key, and
//! which indexes there are. The texts of the catalogue are rendered elsewhere.

use std::collections::{BTreeSet, HashSet};

use super::page::MapId;
use crate::definition::{
    Definition, IndexColumn, Nullability, TableDefinition, Uniqueness, ValueSource, Visibility,
};
use crate::{SqlType, WriteError};

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

/// The default order, in H2's bits: NULLS FIRST.
const ASCENDING: u8 = 2;

impl DatabasePlan {
    /// Plans `definition`. Ids: `first_id` and up.
    pub(crate) fn new(definition: &Definition, first_id: u32) -> Result<Self, WriteError> {
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
        let mut seen = HashSet::new();
        for (schema, name) in definition
            .tables
            .iter()
            .map(|table| (&table.schema, &table.name))
            .chain(definition.views.iter().map(|view| (&view.schema, &view.name)))
        {
            if !seen.insert((schema, name)) {
                return Err(problem(
                    format!("{schema}.{name}"),
                    "this name occurs twice in its schema",
                ));
            }
            let known = ["PUBLIC", "INFORMATION_SCHEMA"].contains(&schema.as_str());
            if !known && !definition.schemas.contains(schema) {
                return Err(problem(
                    format!("{schema}.{name}"),
                    "its schema is not among the schemas",
                ));
            }
        }
        let tables: Vec<TablePlan> = definition
            .tables
            .iter()
            .map(|table| plan_table(table, &mut ids, &mut names))
            .collect::<Result<_, _>>()?;
        check_parents(definition)?;
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
    let mut column_names = HashSet::new();
    for column in &table.columns {
        if !column_names.insert(&column.name) {
            return Err(problem(&label, format!("column {} occurs twice", column.name)));
        }
    }
    if table
        .columns
        .iter()
        .all(|column| column.visibility == Visibility::Invisible)
        && !table.columns.is_empty()
    {
        return Err(problem(&label, "no column is visible, which H2 does not allow"));
    }
    let id = ids.id();
    let map = ids.map();
    let identity = plan_identity(table, &label, ids)?;
    let mut planner = IndexPlanner {
        table,
        label: &label,
        ids,
        names,
        indexes: Vec::new(),
    };
    planner.primary_key()?;
    planner.declared()?;
    planner.uniques()?;
    planner.foreign_keys()?;
    let indexes = planner.indexes;
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
    let in_primary_key = |name: &String| {
        table
            .primary_key
            .as_ref()
            .is_some_and(|key| key.columns.contains(name))
    };
    let columns = table
        .columns
        .iter()
        .map(|column| ColumnPlan {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            nullability: if in_primary_key(&column.name) {
                Nullability::NotNull
            } else {
                column.nullability
            },
        })
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

struct IndexPlanner<'a> {
    table: &'a TableDefinition,
    label: &'a str,
    ids: &'a mut Ids,
    names: &'a mut Names,
    indexes: Vec<IndexPlan>,
}

impl IndexPlanner<'_> {
    fn primary_key(&mut self) -> Result<(), WriteError> {
        if let Some(key) = &self.table.primary_key {
            let columns = self.key_columns(&key.columns, 0)?;
            self.add(
                "PRIMARY_KEY",
                IndexKind::PrimaryKey,
                columns,
                Some(Owner::PrimaryKey),
            );
        }
        Ok(())
    }

    fn declared(&mut self) -> Result<(), WriteError> {
        for index in &self.table.indexes {
            let columns = index
                .columns
                .iter()
                .map(|one| self.key_column(one))
                .collect::<Result<Vec<_>, _>>()?;
            self.check_key(&columns)?;
            let kind = match index.uniqueness {
                Uniqueness::Unique => IndexKind::Unique,
                Uniqueness::NonUnique => IndexKind::Plain,
            };
            let (id, map) = (self.ids.id(), self.ids.map());
            self.indexes.push(IndexPlan {
                id,
                map,
                name: index.name.clone(),
                kind,
                columns,
                owner: None,
            });
        }
        Ok(())
    }

    fn uniques(&mut self) -> Result<(), WriteError> {
        for (position, unique) in self.table.uniques.iter().enumerate() {
            let columns = self.key_columns(&unique.columns, ASCENDING)?;
            let serves = |index: &IndexPlan| index.kind != IndexKind::Plain && same_columns(index, &columns);
            if !self.indexes.iter().any(serves) {
                let name = format!("{}_INDEX", unique.name);
                self.add(&name, IndexKind::Unique, columns, Some(Owner::Unique(position)));
            }
        }
        Ok(())
    }

    fn foreign_keys(&mut self) -> Result<(), WriteError> {
        for (position, key) in self.table.foreign_keys.iter().enumerate() {
            let columns = self.key_columns(&key.columns, ASCENDING)?;
            if !self.indexes.iter().any(|index| same_columns(index, &columns)) {
                let name = format!("{}_INDEX", key.name);
                self.add(
                    &name,
                    IndexKind::Plain,
                    columns,
                    Some(Owner::ForeignKey(position)),
                );
            }
        }
        Ok(())
    }

    fn add(&mut self, wanted: &str, kind: IndexKind, columns: Vec<KeyColumn>, owner: Option<Owner>) {
        let (id, map) = (self.ids.id(), self.ids.map());
        let name = self.names.unique(&self.table.schema, wanted, id);
        self.indexes.push(IndexPlan {
            id,
            map,
            name,
            kind,
            columns,
            owner,
        });
    }

    fn key_columns(&self, names: &[String], sort_type: u8) -> Result<Vec<KeyColumn>, WriteError> {
        let columns = names
            .iter()
            .map(|name| {
                self.key_column(&IndexColumn {
                    name: name.clone(),
                    sort_type,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.check_key(&columns)?;
        Ok(columns)
    }

    fn key_column(&self, one: &IndexColumn) -> Result<KeyColumn, WriteError> {
        let column = self
            .table
            .columns
            .iter()
            .position(|column| column.name == one.name);
        let column = column.ok_or_else(|| {
            problem(
                self.label,
                format!("a key names column {}, which it does not have", one.name),
            )
        })?;
        Ok(KeyColumn {
            column,
            sort_type: one.sort_type,
        })
    }

    fn check_key(&self, columns: &[KeyColumn]) -> Result<(), WriteError> {
        if columns.is_empty() {
            return Err(problem(self.label, "a key has no columns"));
        }
        let distinct: BTreeSet<usize> = columns.iter().map(|one| one.column).collect();
        if distinct.len() != columns.len() {
            return Err(problem(self.label, "a key names a column twice"));
        }
        for one in columns {
            let column = &self.table.columns[one.column];
            if matches!(column.sql_type, SqlType::Clob | SqlType::Blob) {
                let message = format!(
                    "column {} is a large object, which H2 has no keys of",
                    column.name
                );
                return Err(problem(self.label, message));
            }
        }
        Ok(())
    }
}

/// Whether an index covers exactly these columns, in any order: then a constraint uses it instead of its own.
fn same_columns(index: &IndexPlan, columns: &[KeyColumn]) -> bool {
    index.columns.len() == columns.len()
        && columns
            .iter()
            .all(|one| index.columns.iter().any(|other| other.column == one.column))
}

/// A foreign key that leads nowhere would make H2 refuse the whole file.
fn check_parents(definition: &Definition) -> Result<(), WriteError> {
    for table in &definition.tables {
        for key in &table.foreign_keys {
            let label = format!("{}.{}", table.schema, table.name);
            let parent = definition
                .tables
                .iter()
                .find(|parent| parent.schema == key.parent_schema && parent.name == key.parent_table)
                .ok_or_else(|| problem(&label, format!("foreign key {} leads to no table here", key.name)))?;
            let same = |columns: &[String]| {
                let columns: BTreeSet<&String> = columns.iter().collect();
                columns == key.parent_columns.iter().collect()
            };
            // A unique index that is no constraint is not enough for H2.
            let keys = parent.primary_key.iter().map(|key| &key.columns);
            let unique = keys
                .chain(parent.uniques.iter().map(|key| &key.columns))
                .any(|columns| same(columns));
            if !unique || key.columns.len() != key.parent_columns.len() {
                let message = format!(
                    "foreign key {} leads to columns that are no primary key or unique constraint",
                    key.name
                );
                return Err(problem(&label, message));
            }
        }
    }
    Ok(())
}
