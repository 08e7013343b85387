//! `CREATE INDEX` texts.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::constraint::nulls_distinct;
use super::parser::{Parsed, Parser, Qualified};
use crate::definition::IndexColumn;

/// What an index is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// Of a primary key.
    PrimaryKey,
    /// Refuses duplicates.
    Unique,
    /// Allows duplicates.
    NonUnique,
    /// R-tree over geometries; its entries are not read.
    Spatial,
}

/// Whether an index stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOwner {
    /// Made by CREATE INDEX.
    Itself,
    /// Belongs to a constraint and goes when that goes.
    Constraint,
}

/// An index as the catalogue lists it, those of constraints included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Object id; the entries are in map `index.<id>`.
    pub id: u32,
    /// Id of the table.
    pub table: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// What it is for.
    pub kind: IndexKind,
    /// Columns in index order. Columns of a primary key have no NULL placement: sort type 0, or 1 descending.
    pub columns: Vec<IndexColumn>,
    /// Whom it belongs to.
    pub owner: IndexOwner,
}

/// An index text.
#[derive(Debug)]
pub(super) struct ParsedIndex {
    pub(super) name: Qualified,
    pub(super) table: Qualified,
    pub(super) kind: IndexKind,
    pub(super) columns: Vec<IndexColumn>,
}

const DESCENDING: u8 = 1;
const NULLS_FIRST: u8 = 2;
const NULLS_LAST: u8 = 4;

pub(super) fn index(sql: &str) -> Parsed<ParsedIndex> {
    let mut parser = Parser::new(sql);
    parser.expect(&["CREATE"], "CREATE INDEX is missing")?;
    let kind = if parser.eat(&["PRIMARY", "KEY"])? {
        parser.eat(&["HASH"])?;
        IndexKind::PrimaryKey
    } else {
        let kind = if parser.eat(&["UNIQUE"])? {
            nulls_distinct(&mut parser)?;
            IndexKind::Unique
        } else if parser.eat(&["SPATIAL"])? {
            IndexKind::Spatial
        } else {
            IndexKind::NonUnique
        };
        parser.eat(&["HASH"])?;
        parser.expect(&["INDEX"], "an unknown kind of index")?;
        kind
    };
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let name = parser.qualified()?;
    parser.expect(&["ON"], "ON is missing")?;
    let table = parser.qualified()?;
    parser.comment()?;
    parser.expect_symbol('(', "the columns of an index are missing")?;
    let mut columns = Vec::new();
    loop {
        columns.push(column(&mut parser, kind)?);
        if parser.eat_symbol(')')? {
            break;
        }
        parser.expect_symbol(',', "a comma or parenthesis is missing")?;
    }
    Ok(ParsedIndex {
        name,
        table,
        kind,
        columns,
    })
}

fn column(parser: &mut Parser<'_>, kind: IndexKind) -> Parsed<IndexColumn> {
    let name = parser.name()?;
    let descending = if parser.eat(&["DESC"])? {
        DESCENDING
    } else {
        parser.eat(&["ASC"])?;
        0
    };
    let nulls = if parser.eat(&["NULLS", "FIRST"])? {
        NULLS_FIRST
    } else if parser.eat(&["NULLS", "LAST"])? {
        NULLS_LAST
    } else if kind == IndexKind::PrimaryKey {
        0
    } else if descending == DESCENDING {
        // NULL is the lowest value.
        NULLS_LAST
    } else {
        NULLS_FIRST
    };
    Ok(IndexColumn {
        name,
        sort_type: descending | nulls,
    })
}
