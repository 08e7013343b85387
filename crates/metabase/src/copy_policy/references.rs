//! Foreign keys from tables that go along to tables that stay behind: cleared where they may be NULL. Where they may
//! not, a table that is not Metabase's stays behind too, and a table of Metabase's makes the copy impossible.

use super::left_out::is_known;
use crate::error::PolicyError;
use metaferry_domain::schema::{Catalogue, ForeignKey, Name, Nullability, Table};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct References {
    /// Columns to set to NULL, by table; all lower case.
    pub(super) cleared: BTreeMap<String, BTreeSet<String>>,
    pub(super) errors: Vec<PolicyError>,
    pub(super) notes: Vec<String>,
}

/// Adds to `left_out` the tables that must follow. Each round adds at least one table or is the last.
pub(super) fn resolve(catalogue: &Catalogue, left_out: &mut BTreeMap<String, String>) -> References {
    let mut references = References::default();
    loop {
        let followers: Vec<(String, String)> = catalogue
            .tables
            .iter()
            .filter(|table| !left_out.contains_key(&table.name.key()) && !is_known(&table.name.key()))
            .filter_map(|table| {
                let broken = broken(table, left_out).find(|key| clearable(table, key).is_none())?;
                Some((table.name.key(), broken.parent_table.key()))
            })
            .collect();
        if followers.is_empty() {
            break;
        }
        for (table, parent) in followers {
            references.notes.push(format!(
                "table {table} stays behind: its rows belong to rows of {parent}"
            ));
            left_out.insert(
                table,
                format!("its rows belong to rows of {parent}, which is left out"),
            );
        }
    }
    for table in &catalogue.tables {
        let key = table.name.key();
        if left_out.contains_key(&key) {
            continue;
        }
        for foreign_key in broken(table, left_out) {
            let parent = foreign_key.parent_table.key();
            if let Some(column) = clearable(table, foreign_key) {
                references
                    .notes
                    .push(format!("{key}.{column} becomes NULL: {parent} is left out"));
                references.cleared.entry(key.clone()).or_default().insert(column);
            } else {
                let column = foreign_key
                    .columns
                    .iter()
                    .map(Name::key)
                    .collect::<Vec<_>>()
                    .join(", ");
                references.errors.push(PolicyError::Dangling {
                    table: key.clone(),
                    column,
                    parent,
                });
            }
        }
    }
    references
}

fn broken<'a>(
    table: &'a Table,
    left_out: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a ForeignKey> {
    table
        .foreign_keys
        .iter()
        .filter(|key| left_out.contains_key(&key.parent_table.key()))
}

/// One column that may be NULL is enough: the constraint then does not hold for the row.
fn clearable(table: &Table, key: &ForeignKey) -> Option<String> {
    let nullable = |name: &Name| {
        table
            .column(name.as_str())
            .is_some_and(|c| c.nullability == Nullability::Nullable)
    };
    key.columns.iter().find(|name| nullable(name)).map(Name::key)
}
