//! Set operations: UNION, EXCEPT, INTERSECT, whose branches must agree on the kinds of their columns.

use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

use super::scope::{Scope, Wanted};
use super::select::print_select;
use super::{PrintedQuery, print_with};
use crate::sql::relations::Columns;
use crate::sql::{Untranslatable, Words};

pub(super) fn print_set(body: &SetExpr, scope: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
    match body {
        SetExpr::Select(select) => print_select(select, scope),
        SetExpr::Query(query) => print_with(query, scope),
        SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } => {
            let words = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => "UNION",
                (SetOperator::Except, SetQuantifier::None | SetQuantifier::Distinct) => "EXCEPT",
                (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => "INTERSECT",
                _ => return Err(Untranslatable::new(format!("{op} {set_quantifier}"))),
            };
            let branches = |wanted| -> Result<(PrintedQuery, PrintedQuery), Untranslatable> {
                let scope = Scope {
                    wanted,
                    ..scope.clone()
                };
                Ok((print_set(left, &scope)?, print_set(right, &scope)?))
            };
            let (left_printed, right_printed) = match &scope.wanted {
                // Looked at first: a NULL takes its type from whatever branch has one.
                Wanted::Nothing => {
                    let kinds = unified(op, &branches(Wanted::Measured)?)?;
                    branches(Wanted::Kinds(kinds.into_iter().map(|(_, kind)| kind).collect()))?
                }
                known => branches(known.clone())?,
            };
            let columns = unified(op, &(left_printed.clone(), right_printed.clone()))?;
            let text = match scope.words() {
                // What stands in parentheses has types of its own there, so that a column which is NULL in it is no
                // number any more when another branch has one.
                Words::MySql => format!(
                    "{} {words} {}",
                    branch(left, &left_printed.text, Chain::GoesOn(op)),
                    branch(right, &right_printed.text, Chain::Ends)
                ),
                Words::H2 | Words::Postgres => {
                    format!("({}) {words} ({})", left_printed.text, right_printed.text)
                }
            };
            Ok(PrintedQuery { text, columns })
        }
        SetExpr::Values(_)
        | SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => Err(Untranslatable::new("something else than SELECT")),
    }
}

/// May a branch be the beginning of a chain of set operations?
#[derive(Debug, Clone, Copy)]
enum Chain<'a> {
    /// Of this one.
    GoesOn(&'a SetOperator),
    Ends,
}

/// A branch of a set operation, in parentheses where it would not stay one thing without them.
fn branch(body: &SetExpr, text: &str, chain: Chain<'_>) -> String {
    let bare = match (inner_body(body), chain) {
        (SetExpr::Select(_), _) => true,
        // INTERSECT binds closer than the others, which are worked off from left to right.
        (SetExpr::SetOperation { op, .. }, Chain::GoesOn(next)) => {
            (*op == SetOperator::Intersect) == (*next == SetOperator::Intersect)
        }
        _ => false,
    };
    if bare {
        text.to_owned()
    } else {
        format!("({text})")
    }
}

/// What a body in parentheses is. Queries of WITH are printed where they are used, so it does not matter here.
fn inner_body(body: &SetExpr) -> &SetExpr {
    match body {
        SetExpr::Query(query) => inner_body(&query.body),
        other => other,
    }
}

/// The columns that two branches make together.
fn unified(
    op: &SetOperator,
    (left, right): &(PrintedQuery, PrintedQuery),
) -> Result<Columns, Untranslatable> {
    if left.columns.len() != right.columns.len() {
        return Err(Untranslatable::new(format!("{op} of different widths")));
    }
    left.columns
        .iter()
        .zip(&right.columns)
        .map(|((name, one), (_, other))| {
            let kind = one.unify(*other).ok_or_else(|| {
                Untranslatable::new(format!("{op} of {one:?} and {other:?} in column \"{name}\""))
            })?;
            Ok((name.clone(), kind))
        })
        .collect()
}
