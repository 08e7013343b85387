//! Queries: Postgres' syntax tree to another dialect's text.
//!
//! Common table expressions are put in where they are used: H2 2.1 loses those of a view when the database is
//! opened again.

mod from;
mod scope;
mod select;
mod set;

use sqlparser::ast::{Query, With};

use self::scope::Wanted;
use self::set::print_set;
use super::relations::{Columns, folded};
use super::{Relations, Untranslatable, Words};

pub(super) use self::scope::Scope;

/// A query in H2's SQL.
#[derive(Debug, Clone)]
pub(super) struct PrintedQuery {
    pub(super) text: String,
    /// Output columns: the name as the source has it, and the kind.
    pub(super) columns: Columns,
}

/// A query that stands alone.
pub(super) fn print(query: &Query, relations: &Relations) -> Result<PrintedQuery, Untranslatable> {
    print_with(
        query,
        &Scope {
            relations,
            named: Vec::new(),
            from: Vec::new(),
            outer: None,
            wanted: Wanted::Nothing,
        },
    )
}

/// A subquery of an expression: it sees the columns around it.
pub(super) fn print_in(query: &Query, around: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
    let scope = Scope {
        relations: around.relations,
        named: around.named.clone(),
        from: Vec::new(),
        outer: Some(around),
        wanted: Wanted::Nothing,
    };
    print_with(query, &scope)
}

fn print_with(query: &Query, scope: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
    let plain = query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    if !plain {
        return Err(Untranslatable::new(
            "ORDER BY, LIMIT or another clause after the query",
        ));
    }
    let mut scope = scope.clone();
    if let Some(with) = &query.with {
        name_queries(with, &mut scope)?;
    }
    print_set(&query.body, &scope)
}

fn name_queries(with: &With, scope: &mut Scope<'_>) -> Result<(), Untranslatable> {
    if with.recursive {
        return Err(Untranslatable::new("WITH RECURSIVE"));
    }
    for named in &with.cte_tables {
        let mut printed = print_with(&named.query, scope)?;
        if !named.alias.columns.is_empty() {
            // The names in the list replace the query's own, which are printed inside it: one more level.
            let names: Vec<String> = named
                .alias
                .columns
                .iter()
                .map(|column| folded(&column.name))
                .collect();
            printed = renamed(&printed, &names, &folded(&named.alias.name), scope.words())?;
        }
        scope.named.push((folded(&named.alias.name), printed));
    }
    Ok(())
}

/// The query under other column names.
fn renamed(
    query: &PrintedQuery,
    names: &[String],
    alias: &str,
    words: Words,
) -> Result<PrintedQuery, Untranslatable> {
    if names.len() != query.columns.len() {
        return Err(Untranslatable::new(format!(
            "a column list of another length at \"{alias}\""
        )));
    }
    let alias = words.name(alias);
    let list: Vec<String> = query
        .columns
        .iter()
        .zip(names)
        .map(|((old, _), new)| {
            let old = words.name(old);
            format!("{alias}.{old} AS {}", words.name(new))
        })
        .collect();
    let text = format!("SELECT {} FROM ({}) {alias}", list.join(", "), query.text);
    let columns = names
        .iter()
        .cloned()
        .zip(query.columns.iter().map(|(_, kind)| *kind))
        .collect();
    Ok(PrintedQuery { text, columns })
}
