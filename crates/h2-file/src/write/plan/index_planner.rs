//! Which indexes a table gets: its primary key's, those it declares, and those that constraints need.

use std::collections::BTreeSet;

use super::{Ids, IndexKind, IndexPlan, KeyColumn, Names, Owner, problem};
use crate::definition::{IndexColumn, TableDefinition, Uniqueness};
use crate::{SqlType, WriteError};

/// The default order, in H2's bits: NULLS FIRST.
const ASCENDING: u8 = 2;

/// All indexes of a table, the primary key's first.
pub(super) fn plan(
    table: &TableDefinition,
    label: &str,
    ids: &mut Ids,
    names: &mut Names,
) -> Result<Vec<IndexPlan>, WriteError> {
    let mut planner = IndexPlanner {
        table,
        label,
        ids,
        names,
        indexes: Vec::new(),
    };
    planner.primary_key()?;
    planner.declared()?;
    planner.uniques()?;
    planner.foreign_keys()?;
    Ok(planner.indexes)
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
