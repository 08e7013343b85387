//! FROM: tables, queries of WITH and subqueries, and how they are joined.

use sqlparser::ast::{JoinConstraint, JoinOperator, TableAlias, TableFactor, TableWithJoins};

use super::scope::{FromItem, Scope};
use super::select::condition;
use super::{PrintedQuery, print_with, renamed};
use crate::sql::relations::folded;
use crate::sql::{Untranslatable, Words};

/// One element of FROM with its joins; what it brings into view is added to `inner`.
pub(super) fn print_joins(
    item: &TableWithJoins,
    outside: &Scope<'_>,
    inner: &mut Scope<'_>,
) -> Result<String, Untranslatable> {
    let mut text = print_factor(&item.relation, outside, inner)?;
    for join in &item.joins {
        let right = match &join.relation {
            TableFactor::NestedJoin { .. } => format!("({})", print_factor(&join.relation, outside, inner)?),
            other => print_factor(other, outside, inner)?,
        };
        let (words, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => ("INNER JOIN", constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT OUTER JOIN", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT OUTER JOIN", constraint)
            }
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint),
            _ => return Err(Untranslatable::new("a join that H2 does not have")),
        };
        match (words, constraint) {
            ("CROSS JOIN", JoinConstraint::None) => text.push_str(&format!(" CROSS JOIN {right}")),
            (_, JoinConstraint::On(on)) => {
                let on = condition(on, inner)?;
                text.push_str(&format!(" {words} {right} ON {}", on.text));
            }
            _ => return Err(Untranslatable::new("a join without ON")),
        }
    }
    Ok(text)
}

fn print_factor(
    factor: &TableFactor,
    outside: &Scope<'_>,
    inner: &mut Scope<'_>,
) -> Result<String, Untranslatable> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            sample: None,
            with_ordinality: false,
            ..
        } => {
            let single = match name.0.as_slice() {
                [one] => one.as_ident().map(folded),
                _ => None,
            };
            let named = single.and_then(|name| {
                outside
                    .named
                    .iter()
                    .rev()
                    .find(|(named, _)| *named == name)
                    .map(|(_, query)| (name, query.clone()))
            });
            if let Some((name, query)) = named {
                return print_derived(query, alias.as_ref(), Some(&name), inner);
            }
            let (own_name, relation) = outside.relations.find(name)?;
            let columns = relation.columns.clone();
            let words = inner.words();
            let table = relation.called.clone();
            match alias {
                None => {
                    // Where it is called otherwise, its columns still go by its own name.
                    let text = match words {
                        Words::MySql if table != words.name(&own_name) => {
                            format!("{table} {}", words.name(&own_name))
                        }
                        Words::H2 | Words::Postgres | Words::MySql => table,
                    };
                    inner.from.push(FromItem {
                        alias: Some(own_name),
                        columns,
                    });
                    Ok(text)
                }
                Some(alias) if alias.columns.is_empty() => {
                    let alias = folded(&alias.name);
                    let text = format!("{table} {}", words.name(&alias));
                    inner.from.push(FromItem {
                        alias: Some(alias),
                        columns,
                    });
                    Ok(text)
                }
                Some(alias) => Err(Untranslatable::new(format!(
                    "a column list at \"{}\"",
                    alias.name
                ))),
            }
        }
        TableFactor::Derived {
            lateral: false,
            subquery,
            alias,
            sample: None,
        } => {
            // It sees WITH, but not its neighbours.
            let query = print_with(subquery, outside)?;
            print_derived(query, alias.as_ref(), None, inner)
        }
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => print_joins(table_with_joins, outside, inner),
        other => Err(Untranslatable::new(format!("\"{other}\" in FROM"))),
    }
}

fn print_derived(
    query: PrintedQuery,
    alias: Option<&TableAlias>,
    name: Option<&str>,
    inner: &mut Scope<'_>,
) -> Result<String, Untranslatable> {
    let own = match (alias, name) {
        (Some(alias), _) => folded(&alias.name),
        (None, Some(name)) => name.to_owned(),
        (None, None) => return Err(Untranslatable::new("a subquery in FROM without a name")),
    };
    let query = match alias {
        Some(alias) if !alias.columns.is_empty() => {
            let names: Vec<String> = alias.columns.iter().map(|column| folded(&column.name)).collect();
            renamed(&query, &names, &own, inner.words())?
        }
        _ => query,
    };
    let text = format!("({}) {}", query.text, inner.words().name(&own));
    inner.from.push(FromItem {
        alias: Some(own),
        columns: query.columns,
    });
    Ok(text)
}
