//! `ALTER TABLE … ADD CONSTRAINT` texts.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::parser::{Parsed, Parser, Qualified};
use crate::definition::{ForeignKey, PrimaryKey, ReferentialAction, UniqueConstraint};

/// What a constraint demands.
#[derive(Debug)]
pub(super) enum Rule {
    PrimaryKey(PrimaryKey),
    Unique(UniqueConstraint),
    ForeignKey(ForeignKey),
    Check(String, String),
}

/// A constraint of a table.
#[derive(Debug)]
pub(super) struct Constraint {
    pub(super) table: Qualified,
    pub(super) rule: Rule,
    /// The index that belongs to it and goes when it goes.
    pub(super) index: Option<Qualified>,
}

/// `None`: a constraint of something else, such as a domain.
pub(super) fn constraint(sql: &str) -> Parsed<Option<Constraint>> {
    let mut parser = Parser::new(sql);
    if !parser.eat(&["ALTER", "TABLE"])? {
        return Ok(None);
    }
    parser.eat(&["IF", "EXISTS"])?;
    let table = parser.qualified()?;
    parser.expect(&["ADD", "CONSTRAINT"], "ADD CONSTRAINT is missing")?;
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let (_, name) = parser.qualified()?;
    parser.comment()?;
    let mut index = None;
    let rule = if parser.eat(&["PRIMARY", "KEY"])? {
        parser.eat(&["HASH"])?;
        let columns = parser.names_in_parentheses()?;
        index = index_clause(&mut parser)?;
        Rule::PrimaryKey(PrimaryKey { name, columns })
    } else if parser.eat(&["UNIQUE"])? {
        nulls_distinct(&mut parser)?;
        let columns = parser.names_in_parentheses()?;
        index = index_clause(&mut parser)?;
        Rule::Unique(UniqueConstraint { name, columns })
    } else if parser.eat(&["FOREIGN", "KEY"])? {
        let columns = parser.names_in_parentheses()?;
        index = index_clause(&mut parser)?;
        Rule::ForeignKey(foreign_key(&mut parser, name, columns)?)
    } else if parser.eat(&["CHECK"])? {
        Rule::Check(name, parser.in_parentheses()?.to_owned())
    } else {
        return parser.expected("an unknown constraint");
    };
    Ok(Some(Constraint { table, rule, index }))
}

fn index_clause(parser: &mut Parser<'_>) -> Parsed<Option<Qualified>> {
    if parser.eat(&["INDEX"])? {
        parser.qualified().map(Some)
    } else {
        Ok(None)
    }
}

/// H2 2.2 and later say which NULLs are equal; 2.1 has one rule.
pub(super) fn nulls_distinct(parser: &mut Parser<'_>) -> Parsed<()> {
    for words in [
        &["NULLS", "DISTINCT"][..],
        &["NULLS", "ALL", "DISTINCT"],
        &["NULLS", "NOT", "DISTINCT"],
    ] {
        parser.eat(words)?;
    }
    Ok(())
}

fn foreign_key(parser: &mut Parser<'_>, name: String, columns: Vec<String>) -> Parsed<ForeignKey> {
    parser.expect(&["REFERENCES"], "REFERENCES is missing")?;
    let (parent_schema, parent_table) = parser.qualified()?;
    let parent_columns = parser.names_in_parentheses()?;
    index_clause(parser)?;
    let (mut on_delete, mut on_update) = (ReferentialAction::Restrict, ReferentialAction::Restrict);
    loop {
        if parser.eat(&["ON", "DELETE"])? {
            on_delete = action(parser)?;
        } else if parser.eat(&["ON", "UPDATE"])? {
            on_update = action(parser)?;
        } else {
            break;
        }
    }
    Ok(ForeignKey {
        name,
        columns,
        parent_schema,
        parent_table,
        parent_columns,
        on_delete,
        on_update,
    })
}

fn action(parser: &mut Parser<'_>) -> Parsed<ReferentialAction> {
    for (words, action) in [
        (&["CASCADE"][..], ReferentialAction::Cascade),
        (&["SET", "NULL"], ReferentialAction::SetNull),
        (&["SET", "DEFAULT"], ReferentialAction::SetDefault),
        (&["RESTRICT"], ReferentialAction::Restrict),
        (&["NO", "ACTION"], ReferentialAction::Restrict),
    ] {
        if parser.eat(words)? {
            return Ok(action);
        }
    }
    parser.expected("an unknown referential action")
}
