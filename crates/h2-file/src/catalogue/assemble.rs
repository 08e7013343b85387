//! Puts the objects of the catalogue together: domains and sequences first, then the tables that use them, then
//! what belongs to tables.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use super::column::{Surroundings, domain, is_stored_table, table};
use super::constraint::{Rule, constraint};
use super::index::{Index, IndexKind, IndexOwner, index};
use super::parser::{Expected, Parser, Qualified};
use super::sequence::{Counting, SequenceOwner, sequence};
use super::{Catalogue, CatalogueRow};
use crate::definition::{IndexDefinition, TableDefinition, Uniqueness, ViewDefinition};
use crate::error::ReadError;

/// Characters of a text that an error shows.
const NEAR_CHARS: usize = 60;

const TABLE_OR_VIEW: i32 = 0;
const INDEX: i32 = 1;
const USER: i32 = 2;
const SEQUENCE: i32 = 3;
const CONSTRAINT: i32 = 5;
const SETTING: i32 = 6;
const SCHEMA: i32 = 10;
const DOMAIN: i32 = 12;

/// Parses `rows`, which are ordered by id.
pub(crate) fn assemble(rows: &[CatalogueRow]) -> Result<Catalogue, ReadError> {
    let mut catalogue = Catalogue::default();
    let mut known = Surroundings::default();
    domains(rows, &mut known)?;
    for row in rows_of(rows, SEQUENCE) {
        let (definition, owner) = sequence(&row.sql).map_err(|expected| wrong(row, expected))?;
        let counting = Counting {
            start: definition.start,
            increment: definition.increment,
            next: definition.next,
        };
        known
            .sequences
            .insert((definition.schema.clone(), definition.name.clone()), counting);
        if owner == SequenceOwner::Free {
            catalogue.definition.sequences.push(definition);
        }
    }
    for row in rows {
        match row.kind {
            TABLE_OR_VIEW => table_or_view(row, &known, &mut catalogue)?,
            SCHEMA => schema(row, &mut catalogue)?,
            USER => catalogue.users.push(user(row)?),
            SETTING => setting(row, &mut catalogue)?,
            INDEX | SEQUENCE | CONSTRAINT => {}
            _ => catalogue.definition.other.push(row.sql.clone()),
        }
    }
    let tables: BTreeMap<Qualified, usize> = catalogue
        .definition
        .tables
        .iter()
        .enumerate()
        .map(|(place, table)| ((table.schema.clone(), table.name.clone()), place))
        .collect();
    let owned = constraints(rows, &tables, &mut catalogue)?;
    indexes(rows, &tables, &owned, &mut catalogue)?;
    Ok(catalogue)
}

fn rows_of(rows: &[CatalogueRow], kind: i32) -> impl Iterator<Item = &CatalogueRow> {
    rows.iter().filter(move |row| row.kind == kind)
}

fn wrong(row: &CatalogueRow, expected: Expected) -> ReadError {
    let near = row
        .sql
        .get(expected.at..)
        .unwrap_or_default()
        .chars()
        .take(NEAR_CHARS)
        .collect();
    ReadError::Catalogue {
        id: row.id,
        what: expected.what,
        near,
    }
}

/// Domains may be based on later ones: repeat while that helps, as H2 does.
fn domains(rows: &[CatalogueRow], known: &mut Surroundings) -> Result<(), ReadError> {
    let mut left: Vec<_> = rows_of(rows, DOMAIN).collect();
    while !left.is_empty() {
        let mut failed = Vec::new();
        let mut first_problem = None;
        let before = left.len();
        for row in left {
            match domain(&row.sql, known) {
                Ok((name, domain)) => {
                    known.domains.insert(name, domain);
                }
                Err(expected) => {
                    first_problem.get_or_insert_with(|| wrong(row, expected));
                    failed.push(row);
                }
            }
        }
        match first_problem {
            Some(problem) if failed.len() == before => return Err(problem),
            Some(_) | None => left = failed,
        }
    }
    Ok(())
}

fn table_or_view(
    row: &CatalogueRow,
    known: &Surroundings,
    catalogue: &mut Catalogue,
) -> Result<(), ReadError> {
    let problem = |expected| wrong(row, expected);
    if is_stored_table(&row.sql).map_err(problem)? {
        let definition = table(&row.sql, known).map_err(problem)?;
        catalogue.definition.tables.push(definition);
        catalogue.table_ids.push(object_id(row)?);
    } else if let Some(view) = view(&row.sql).map_err(problem)? {
        catalogue.definition.views.push(view);
    } else {
        catalogue.definition.other.push(row.sql.clone());
    }
    Ok(())
}

fn object_id(row: &CatalogueRow) -> Result<u32, ReadError> {
    let what = "an object id is out of range";
    u32::try_from(row.id).map_err(|_| ReadError::Catalogue {
        id: row.id,
        what,
        near: String::new(),
    })
}

/// `None`: a linked table or a materialized view, which have no structure here.
fn view(sql: &str) -> Result<Option<ViewDefinition>, Expected> {
    let mut parser = Parser::new(sql);
    parser.expect(&["CREATE"], "CREATE is missing")?;
    parser.eat(&["OR", "REPLACE"])?;
    parser.eat(&["FORCE"])?;
    if !parser.eat(&["VIEW"])? {
        return Ok(None);
    }
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let (schema, name) = parser.qualified()?;
    let comment = parser.comment()?;
    let columns = if parser.eat(&["AS"])? {
        Vec::new()
    } else {
        let columns = parser.names_in_parentheses()?;
        parser.expect(&["AS"], "AS is missing")?;
        columns
    };
    Ok(Some(ViewDefinition {
        schema,
        name,
        columns,
        query: parser.rest().trim().to_owned(),
        comment,
    }))
}

fn schema(row: &CatalogueRow, catalogue: &mut Catalogue) -> Result<(), ReadError> {
    let mut parser = Parser::new(&row.sql);
    let name = parser
        .expect(&["CREATE", "SCHEMA"], "CREATE SCHEMA is missing")
        .and_then(|()| parser.eat(&["IF", "NOT", "EXISTS"]))
        .and_then(|_| parser.name())
        .map_err(|expected| wrong(row, expected))?;
    if !matches!(name.as_str(), "PUBLIC" | "INFORMATION_SCHEMA") {
        catalogue.definition.schemas.push(name);
    }
    Ok(())
}

/// `SET CREATE_BUILD` is about the file and not part of the definition.
fn setting(row: &CatalogueRow, catalogue: &mut Catalogue) -> Result<(), ReadError> {
    let mut parser = Parser::new(&row.sql);
    let is_build = parser
        .eat(&["SET", "CREATE_BUILD"])
        .map_err(|expected| wrong(row, expected))?;
    if is_build {
        catalogue.create_build = Some(parser.integer().map_err(|expected| wrong(row, expected))?);
    } else {
        catalogue.definition.other.push(row.sql.clone());
    }
    Ok(())
}

/// Only the name: the rest of the text is a password hash.
fn user(row: &CatalogueRow) -> Result<String, ReadError> {
    let mut parser = Parser::new(&row.sql);
    parser
        .expect(&["CREATE", "USER"], "CREATE USER is missing")
        .and_then(|()| parser.eat(&["IF", "NOT", "EXISTS"]))
        .and_then(|_| parser.name())
        .map_err(|expected| ReadError::Catalogue {
            id: row.id,
            what: expected.what,
            near: "CREATE USER".to_owned(),
        })
}

fn table_mut<'c>(
    catalogue: &'c mut Catalogue,
    tables: &BTreeMap<Qualified, usize>,
    name: &Qualified,
    row: &CatalogueRow,
) -> Result<(&'c mut TableDefinition, u32), ReadError> {
    let place = tables.get(name).copied().unwrap_or(usize::MAX);
    match (
        catalogue.definition.tables.get_mut(place),
        catalogue.table_ids.get(place),
    ) {
        (Some(table), Some(id)) => Ok((table, *id)),
        (_, None) | (None, _) => Err(wrong(
            row,
            Expected {
                what: "an unknown table",
                at: 0,
            },
        )),
    }
}

/// Gives the indexes that belong to constraints.
fn constraints(
    rows: &[CatalogueRow],
    tables: &BTreeMap<Qualified, usize>,
    catalogue: &mut Catalogue,
) -> Result<BTreeSet<Qualified>, ReadError> {
    let mut owned = BTreeSet::new();
    for row in rows_of(rows, CONSTRAINT) {
        let Some(found) = constraint(&row.sql).map_err(|expected| wrong(row, expected))? else {
            catalogue.definition.other.push(row.sql.clone());
            continue;
        };
        let (table, _) = table_mut(catalogue, tables, &found.table, row)?;
        match found.rule {
            Rule::PrimaryKey(key) => table.primary_key = Some(key),
            Rule::Unique(unique) => table.uniques.push(unique),
            Rule::ForeignKey(key) => table.foreign_keys.push(key),
            Rule::Check(name, expression) => table.checks.push((name, expression)),
        }
        owned.extend(found.index);
    }
    Ok(owned)
}

fn indexes(
    rows: &[CatalogueRow],
    tables: &BTreeMap<Qualified, usize>,
    owned: &BTreeSet<Qualified>,
    catalogue: &mut Catalogue,
) -> Result<(), ReadError> {
    for row in rows_of(rows, INDEX) {
        let parsed = index(&row.sql).map_err(|expected| wrong(row, expected))?;
        let (table, table_id) = table_mut(catalogue, tables, &parsed.table, row)?;
        let unknown = |column: &&crate::definition::IndexColumn| {
            !table.columns.iter().any(|known| known.name == column.name)
        };
        if parsed.columns.iter().find(unknown).is_some() {
            return Err(wrong(
                row,
                Expected {
                    what: "a column that its table does not have",
                    at: 0,
                },
            ));
        }
        let owner = if owned.contains(&parsed.name) || parsed.kind == IndexKind::PrimaryKey {
            IndexOwner::Constraint
        } else {
            IndexOwner::Itself
        };
        let uniqueness = match parsed.kind {
            IndexKind::NonUnique => Some(Uniqueness::NonUnique),
            IndexKind::Unique => Some(Uniqueness::Unique),
            IndexKind::PrimaryKey | IndexKind::Spatial => None,
        };
        let (schema, name) = parsed.name;
        match (owner, uniqueness) {
            (IndexOwner::Itself, Some(uniqueness)) => table.indexes.push(IndexDefinition {
                name: name.clone(),
                uniqueness,
                columns: parsed.columns.clone(),
            }),
            (IndexOwner::Itself, None) => catalogue.definition.other.push(row.sql.clone()),
            (IndexOwner::Constraint, _) => {}
        }
        catalogue.indexes.push(Index {
            id: object_id(row)?,
            table: table_id,
            schema,
            name,
            kind: parsed.kind,
            columns: parsed.columns,
            owner,
        });
    }
    Ok(())
}
