//! What H2 would refuse when it opens the file is refused before a byte is written. Keys and indexes are checked
//! where they are planned.

use std::collections::{BTreeSet, HashSet};

use super::plan::problem;
use crate::definition::{Definition, ForeignKey, TableDefinition, Visibility};
use crate::{SqlType, WriteError};

/// H2's limits.
const NAME_CHARS_MAX: usize = 256;
const COLUMNS_MAX: usize = 16_384;
const LENGTH_MAX: u32 = 1_000_000_000;
const PRECISION_MAX: u32 = 100_000;
const FRACTION_DIGITS_MAX: u8 = 9;
const INTERVAL_MAX: u8 = 12;

/// Checks names, types and foreign keys.
pub(crate) fn check(definition: &Definition) -> Result<(), WriteError> {
    let mut relations = HashSet::new();
    let relation_names = definition
        .tables
        .iter()
        .map(|table| (&table.schema, &table.name))
        .chain(definition.views.iter().map(|view| (&view.schema, &view.name)));
    for (schema, name) in relation_names {
        let label = format!("{schema}.{name}");
        if !relations.insert((schema, name)) {
            return Err(problem(label, "this name occurs twice in its schema"));
        }
        let known = ["PUBLIC", "INFORMATION_SCHEMA"].contains(&schema.as_str());
        if !known && !definition.schemas.contains(schema) {
            return Err(problem(label, "its schema is not among the schemas"));
        }
        check_name(&label, name)?;
    }
    let mut constraints = HashSet::new();
    let mut indexes = HashSet::new();
    for table in &definition.tables {
        check_columns(table)?;
        let label = label(table);
        for name in constraint_names(table) {
            check_name(&label, name)?;
            if !constraints.insert((&table.schema, name)) {
                return Err(problem(
                    label,
                    format!("constraint {name} occurs twice in its schema"),
                ));
            }
        }
        for index in &table.indexes {
            check_name(&label, &index.name)?;
            if !indexes.insert((&table.schema, &index.name)) {
                return Err(problem(
                    label,
                    format!("index {} occurs twice in its schema", index.name),
                ));
            }
        }
        table
            .foreign_keys
            .iter()
            .try_for_each(|key| check_parent(definition, table, key))?;
    }
    Ok(())
}

fn label(table: &TableDefinition) -> String {
    format!("{}.{}", table.schema, table.name)
}

fn constraint_names(table: &TableDefinition) -> impl Iterator<Item = &String> {
    let keys = table.primary_key.iter().map(|key| &key.name);
    let uniques = table.uniques.iter().map(|unique| &unique.name);
    let foreign = table.foreign_keys.iter().map(|key| &key.name);
    keys.chain(uniques)
        .chain(foreign)
        .chain(table.checks.iter().map(|(name, _)| name))
}

fn check_name(label: &str, name: &str) -> Result<(), WriteError> {
    if name.is_empty() {
        return Err(problem(label, "a name is empty"));
    }
    if name.encode_utf16().count() > NAME_CHARS_MAX {
        return Err(problem(
            label,
            format!("the name {name} is longer than H2's {NAME_CHARS_MAX} characters"),
        ));
    }
    Ok(())
}

fn check_columns(table: &TableDefinition) -> Result<(), WriteError> {
    let label = label(table);
    if table.columns.len() > COLUMNS_MAX {
        return Err(problem(label, format!("more than H2's {COLUMNS_MAX} columns")));
    }
    let mut names = HashSet::new();
    for column in &table.columns {
        check_name(&label, &column.name)?;
        if !names.insert(&column.name) {
            return Err(problem(label, format!("column {} occurs twice", column.name)));
        }
        check_type(&column.sql_type)
            .map_err(|limit| problem(&label, format!("column {}: {limit}", column.name)))?;
    }
    let hidden = table
        .columns
        .iter()
        .all(|column| column.visibility == Visibility::Invisible);
    if hidden && !table.columns.is_empty() {
        return Err(problem(label, "no column is visible, which H2 does not allow"));
    }
    Ok(())
}

fn check_type(sql_type: &SqlType) -> Result<(), String> {
    let within = |what: &str, number: u32, max: u32| {
        if (1..=max).contains(&number) {
            Ok(())
        } else {
            Err(format!("{what} {number} is not 1 to {max}"))
        }
    };
    match sql_type {
        SqlType::Numeric { precision, scale } => {
            within("precision", *precision, PRECISION_MAX)?;
            if *scale <= PRECISION_MAX {
                Ok(())
            } else {
                Err(format!("scale {scale} is over {PRECISION_MAX}"))
            }
        }
        SqlType::DecFloat(precision) => within("precision", *precision, PRECISION_MAX),
        SqlType::Char(length)
        | SqlType::Varchar(length)
        | SqlType::VarcharIgnoreCase(length)
        | SqlType::Binary(length)
        | SqlType::Varbinary(length) => within("length", *length, LENGTH_MAX),
        SqlType::Time(digits)
        | SqlType::TimeTz(digits)
        | SqlType::Timestamp(digits)
        | SqlType::TimestampTz(digits) => {
            if *digits <= FRACTION_DIGITS_MAX {
                Ok(())
            } else {
                Err(format!("{digits} fraction digits are over 9"))
            }
        }
        SqlType::Interval(qualifier) => {
            if *qualifier <= INTERVAL_MAX {
                Ok(())
            } else {
                Err(format!("no interval qualifier {qualifier}"))
            }
        }
        SqlType::Enum(labels) => {
            let distinct: HashSet<&String> = labels.iter().collect();
            if distinct.len() == labels.len() && !labels.is_empty() {
                Ok(())
            } else {
                Err("an ENUM needs labels that differ".to_owned())
            }
        }
        SqlType::Array(element) => check_type(element),
        SqlType::Row(fields) => {
            if fields.is_empty() {
                return Err("a ROW needs fields".to_owned());
            }
            fields.iter().try_for_each(|(_, field)| check_type(field))
        }
        SqlType::Boolean
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Integer
        | SqlType::BigInt
        | SqlType::Real
        | SqlType::Double
        | SqlType::Clob
        | SqlType::Blob
        | SqlType::Json
        | SqlType::JavaObject
        | SqlType::Geometry
        | SqlType::Uuid
        | SqlType::Date => Ok(()),
    }
}

/// A foreign key that leads nowhere would make H2 refuse the whole file.
fn check_parent(
    definition: &Definition,
    table: &TableDefinition,
    key: &ForeignKey,
) -> Result<(), WriteError> {
    let label = label(table);
    let parent = definition
        .tables
        .iter()
        .find(|parent| parent.schema == key.parent_schema && parent.name == key.parent_table)
        .ok_or_else(|| problem(&label, format!("foreign key {} leads to no table here", key.name)))?;
    let wanted: BTreeSet<&String> = key.parent_columns.iter().collect();
    // A unique index that is no constraint is not enough for H2.
    let keys = parent.primary_key.iter().map(|primary| &primary.columns);
    let mut keys = keys.chain(parent.uniques.iter().map(|unique| &unique.columns));
    let unique = keys.any(|columns| columns.iter().collect::<BTreeSet<_>>() == wanted);
    if !unique || key.columns.len() != key.parent_columns.len() {
        let message = format!(
            "foreign key {} leads to columns that are no primary key or unique constraint",
            key.name
        );
        return Err(problem(&label, message));
    }
    Ok(())
}
