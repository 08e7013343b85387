//! `CREATE TABLE` texts: the columns and their clauses.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use super::parser::{Parsed, Parser, Qualified};
use super::sequence::{Counting, options};
use super::types::sql_type;
use crate::SqlType;
use crate::definition::{
    ColumnDefinition, Identity, IdentityKind, Nullability, TableDefinition, ValueSource, Visibility,
};

/// What the rest of the catalogue contributes to a column.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) domains: BTreeMap<Qualified, Domain>,
    /// State of the sequences of identity columns.
    pub(super) sequences: BTreeMap<Qualified, Counting>,
}

/// A domain.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) sql_type: SqlType,
    pub(super) default: Option<String>,
}

/// Does this text of a type 0 row define a table with rows?
pub(super) fn is_stored_table(sql: &str) -> Parsed<bool> {
    let mut parser = Parser::new(sql);
    if !parser.eat(&["CREATE"])? {
        return Ok(false);
    }
    if !parser.eat(&["CACHED"])? {
        parser.eat(&["MEMORY"])?;
    }
    parser.eat(&["TABLE"])
}

pub(super) fn table(sql: &str, around: &Surroundings) -> Parsed<TableDefinition> {
    let mut parser = Parser::new(sql);
    parser.expect(&["CREATE"], "CREATE TABLE is missing")?;
    if !parser.eat(&["CACHED"])? {
        parser.eat(&["MEMORY"])?;
    }
    parser.expect(&["TABLE"], "CREATE TABLE is missing")?;
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let (schema, name) = parser.qualified()?;
    let comment = parser.comment()?;
    parser.expect_symbol('(', "the columns of a table are missing")?;
    let (mut columns, mut checks) = (Vec::new(), Vec::new());
    if !parser.eat_symbol(')')? {
        loop {
            columns.push(column(&mut parser, around, &mut checks)?);
            if parser.eat_symbol(')')? {
                break;
            }
            parser.expect_symbol(',', "an unknown clause of a column")?;
        }
    }
    let checks = checks
        .into_iter()
        .enumerate()
        .map(|(index, check)| (format!("{name}_CHECK_{}", index.saturating_add(1)), check))
        .collect();
    Ok(TableDefinition {
        schema,
        name,
        columns,
        checks,
        primary_key: None,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        comment,
    })
}

/// `CREATE DOMAIN`: its name, type and default. `known` are the domains read so far.
pub(super) fn domain(sql: &str, known: &Surroundings) -> Parsed<(Qualified, Domain)> {
    let mut parser = Parser::new(sql);
    parser.expect(&["CREATE", "DOMAIN"], "CREATE DOMAIN is missing")?;
    parser.eat(&["IF", "NOT", "EXISTS"])?;
    let name = parser.qualified()?;
    parser.eat(&["AS"])?;
    let base = base_domain(parser, known)?;
    let sql_type = sql_type(&mut parser, &|name| {
        known.domains.get(name).map(|domain| domain.sql_type.clone())
    })?;
    let default = if parser.eat(&["DEFAULT"])? {
        Some(parser.column_expression()?.to_owned())
    } else {
        base.and_then(|base| base.default.clone())
    };
    Ok((name, Domain { sql_type, default }))
}

/// The domain that a type is, if it is one.
fn base_domain<'d>(mut ahead: Parser<'_>, around: &'d Surroundings) -> Parsed<Option<&'d Domain>> {
    if !ahead.is_quoted_name_next()? {
        return Ok(None);
    }
    let name = ahead.qualified()?;
    Ok(if ahead.eat(&["ARRAY"])? {
        None
    } else {
        around.domains.get(&name)
    })
}

/// Reads a column. What 1.4 writes of checks among the clauses of a column goes to `checks`.
fn column(
    parser: &mut Parser<'_>,
    around: &Surroundings,
    checks: &mut Vec<String>,
) -> Parsed<ColumnDefinition> {
    let name = parser.name()?;
    let base = base_domain(*parser, around)?;
    let sql_type = sql_type(parser, &|name| {
        around.domains.get(name).map(|domain| domain.sql_type.clone())
    })?;
    let mut column = ColumnDefinition {
        name,
        sql_type,
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        visibility: Visibility::Visible,
        comment: None,
    };
    while clause(parser, around, &mut column, checks)? {}
    if let (ValueSource::None, Some(default)) =
        (&column.value_source, base.and_then(|base| base.default.clone()))
    {
        column.value_source = ValueSource::Default(default);
    }
    Ok(column)
}

/// Reads one clause; `false` if the column ends here. ON UPDATE, DEFAULT ON NULL and SELECTIVITY are not kept.
fn clause(
    parser: &mut Parser<'_>,
    around: &Surroundings,
    column: &mut ColumnDefinition,
    checks: &mut Vec<String>,
) -> Parsed<bool> {
    if parser.eat(&["INVISIBLE"])? {
        column.visibility = Visibility::Invisible;
    } else if parser.eat(&["DEFAULT", "ON", "NULL"])?
        || parser.eat(&["VISIBLE"])?
        || parser.eat(&["NULL_TO_DEFAULT"])?
    {
        // Nothing of these shows in what is stored.
    } else if parser.eat(&["DEFAULT"])? {
        column.value_source = ValueSource::Default(parser.column_expression()?.to_owned());
    } else if parser.eat(&["AS"])? {
        // A generated column of 1.4.
        column.value_source = ValueSource::Generated(parser.column_expression()?.to_owned());
    } else if parser.eat(&["CHECK"])? {
        checks.push(parser.column_expression()?.to_owned());
    } else if parser.eat(&["ON", "UPDATE"])? {
        parser.column_expression()?;
    } else if parser.eat(&["GENERATED", "ALWAYS", "AS", "IDENTITY"])? {
        column.value_source = ValueSource::Identity(identity(parser, IdentityKind::Always)?);
    } else if parser.eat(&["GENERATED", "BY", "DEFAULT", "AS", "IDENTITY"])? {
        column.value_source = ValueSource::Identity(identity(parser, IdentityKind::ByDefault)?);
    } else if parser.eat(&["GENERATED", "ALWAYS", "AS"])? {
        column.value_source = ValueSource::Generated(parser.in_parentheses()?.to_owned());
    } else if parser.eat(&["SEQUENCE"])? {
        let start = *parser;
        let name = parser.qualified()?;
        match (around.sequences.get(&name).copied(), &mut column.value_source) {
            (Some(counting), ValueSource::Identity(identity)) => {
                (identity.start, identity.increment, identity.next) =
                    (counting.start, counting.increment, counting.next);
            }
            (None, _) => return start.expected("an unknown sequence"),
            // How 1.4 writes an identity: a default with the sequence that it draws from.
            (Some(counting), source @ ValueSource::Default(_)) => {
                *source = ValueSource::Identity(Identity {
                    kind: IdentityKind::ByDefault,
                    start: counting.start,
                    increment: counting.increment,
                    next: counting.next,
                });
            }
            (Some(_), ValueSource::None | ValueSource::Generated(_)) => {}
        }
    } else if parser.eat(&["SELECTIVITY"])? {
        parser.integer::<i64>()?;
    } else if parser.eat(&["NOT", "NULL"])? {
        column.nullability = Nullability::NotNull;
    } else if let Some(comment) = parser.comment()? {
        column.comment = Some(comment);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn identity(parser: &mut Parser<'_>, kind: IdentityKind) -> Parsed<Identity> {
    let mut counting = Counting {
        start: 1,
        increment: 1,
        next: 1,
    };
    if parser.eat_symbol('(')? {
        counting = options(parser)?.0;
        parser.expect_symbol(')', "an unknown option of an identity")?;
    }
    Ok(Identity {
        kind,
        start: counting.start,
        increment: counting.increment,
        next: counting.next,
    })
}
