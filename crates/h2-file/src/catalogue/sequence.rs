//! `CREATE SEQUENCE` texts and the options of an identity.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::parser::{Parsed, Parser, Qualified};
use super::types::sql_type;
use crate::definition::SequenceDefinition;

/// Whom a sequence serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SequenceOwner {
    /// An identity column.
    Column,
    /// Whoever names it.
    Free,
}

/// Where counting starts, how it goes on, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counting {
    pub(super) start: i64,
    pub(super) increment: i64,
    pub(super) next: i64,
}

pub(super) fn sequence(sql: &str) -> Parsed<(SequenceDefinition, SequenceOwner)> {
    let mut parser = Parser::new(sql);
    parser.expect(&["CREATE", "SEQUENCE"], "CREATE SEQUENCE is missing")?;
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let (schema, name) = parser.qualified()?;
    let (counting, owner) = options(&mut parser)?;
    if !parser.rest().trim().is_empty() {
        return parser.expected("an unknown option of a sequence");
    }
    let Counting {
        start,
        increment,
        next,
    } = counting;
    Ok((
        SequenceDefinition {
            schema,
            name,
            start,
            increment,
            next,
        },
        owner,
    ))
}

/// Sequence options up to the first that is none. Limits, cycle and cache are read and not kept.
pub(super) fn options(parser: &mut Parser<'_>) -> Parsed<(Counting, SequenceOwner)> {
    let (mut start, mut restart, mut increment) = (None, None, 1);
    let (mut minimum, mut maximum) = (None, None);
    let mut owner = SequenceOwner::Free;
    let no_domain = |_: &Qualified| None;
    loop {
        if parser.eat(&["AS"])? {
            sql_type(parser, &no_domain)?;
        } else if parser.eat(&["START", "WITH"])? {
            start = Some(parser.integer()?);
        } else if parser.eat(&["RESTART", "WITH"])? {
            restart = Some(parser.integer()?);
        } else if parser.eat(&["INCREMENT", "BY"])? || parser.eat(&["INCREMENT"])? {
            increment = parser.integer()?;
        } else if parser.eat(&["MINVALUE"])? {
            minimum = Some(parser.integer::<i64>()?);
        } else if parser.eat(&["MAXVALUE"])? {
            maximum = Some(parser.integer::<i64>()?);
        } else if parser.eat(&["CACHE"])? {
            parser.integer::<i64>()?;
        } else if parser.eat(&["BELONGS_TO_TABLE"])? {
            owner = SequenceOwner::Column;
        } else if !(parser.eat(&["CYCLE"])?
            || parser.eat(&["EXHAUSTED"])?
            || parser.eat(&["NO", "CYCLE"])?
            || parser.eat(&["NO", "CACHE"])?
            || parser.eat(&["NO", "MINVALUE"])?
            || parser.eat(&["NO", "MAXVALUE"])?)
        {
            break;
        }
    }
    let start = start.unwrap_or(if increment < 0 {
        maximum.unwrap_or(-1)
    } else {
        minimum.unwrap_or(1)
    });
    Ok((
        Counting {
            start,
            increment,
            next: restart.unwrap_or(start),
        },
        owner,
    ))
}
