//! One SELECT: its list, its conditions, and what it groups by.

use sqlparser::ast::{Distinct, GroupByExpr, Select, SelectItem};

use super::PrintedQuery;
use super::from::print_joins;
use super::scope::{Scope, Wanted};
use crate::sql::relations::{Columns, folded};
use crate::sql::{Kind, Untranslatable, Words, expression};

pub(super) fn print_select(select: &Select, scope: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
    let plain = select.top.is_none()
        && select.select_modifiers.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none();
    if !plain {
        return Err(Untranslatable::new("an unusual clause of SELECT"));
    }
    let around = Scope {
        wanted: Wanted::Nothing,
        ..scope.clone()
    };
    let mut inner = around.clone();
    inner.from.clear();
    let mut from = Vec::with_capacity(select.from.len());
    for item in &select.from {
        from.push(print_joins(item, &around, &mut inner)?);
    }

    let mut grouped: Option<Vec<String>> = None;
    if let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by {
        if !modifiers.is_empty() {
            return Err(Untranslatable::new("GROUP BY with a modifier"));
        }
        if !expressions.is_empty() {
            let texts = expressions
                .iter()
                .map(|one| Ok(expression::print(one, &inner)?.text));
            grouped = Some(texts.collect::<Result<_, Untranslatable>>()?);
        }
    } else {
        return Err(Untranslatable::new("GROUP BY ALL"));
    }
    let covered = |printed: &expression::Printed| match &grouped {
        // Postgres lets columns be that depend on a grouped key; H2 does not.
        Some(texts) => {
            texts.contains(&printed.text) || printed.columns.iter().all(|column| texts.contains(column))
        }
        None => true,
    };

    let mut items = Vec::with_capacity(select.projection.len());
    let mut columns = Columns::with_capacity(select.projection.len());
    for item in &select.projection {
        let (printed, name) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expression::print(expr, &inner)?, folded(alias)),
            SelectItem::UnnamedExpr(expr) => {
                let name = match (output_name(expr), inner.words()) {
                    (Ok(name), _) => name,
                    // The one column of a subquery needs no name.
                    (Err(_), Words::Postgres | Words::MySql) if select.projection.len() == 1 => {
                        "value".to_owned()
                    }
                    (Err(unnamed), Words::Postgres | Words::MySql | Words::H2) => return Err(unnamed),
                };
                (expression::print(expr, &inner)?, name)
            }
            SelectItem::ExprWithAliases { .. }
            | SelectItem::QualifiedWildcard(..)
            | SelectItem::Wildcard(_) => return Err(Untranslatable::new("SELECT *")),
        };
        if !covered(&printed) {
            return Err(Untranslatable::new(format!(
                "column \"{name}\", which is not grouped"
            )));
        }
        let words = inner.words();
        let typed = match &scope.wanted {
            Wanted::Kinds(kinds) if expression::is_null(&printed) => {
                kinds.get(items.len()).map(|kind| words.null(*kind))
            }
            Wanted::Kinds(_) | Wanted::Measured | Wanted::Nothing => None,
        };
        let text = match (words, typed) {
            (Words::Postgres, Some(typed)) => typed.to_owned(),
            (Words::Postgres | Words::MySql | Words::H2, _) => printed.text,
        };
        items.push(format!("{text} AS {}", words.name(&name)));
        columns.push((name, printed.kind));
    }

    let distinct = match &select.distinct {
        None | Some(Distinct::All) => "",
        Some(Distinct::Distinct) => "DISTINCT ",
        Some(Distinct::On(_)) => return Err(Untranslatable::new("DISTINCT ON")),
    };
    let mut text = format!("SELECT {distinct}{}", items.join(", "));
    if !from.is_empty() {
        text.push_str(&format!(" FROM {}", from.join(", ")));
    }
    if let Some(selection) = &select.selection {
        text.push_str(&format!(" WHERE {}", condition(selection, &inner)?.text));
    }
    if let Some(texts) = &grouped {
        text.push_str(&format!(" GROUP BY {}", texts.join(", ")));
    }
    if let Some(having) = &select.having {
        let having = condition(having, &inner)?;
        if !covered(&having) {
            return Err(Untranslatable::new("HAVING over what is not grouped"));
        }
        text.push_str(&format!(" HAVING {}", having.text));
    }
    Ok(PrintedQuery { text, columns })
}

pub(super) fn condition(
    condition: &sqlparser::ast::Expr,
    scope: &Scope<'_>,
) -> Result<expression::Printed, Untranslatable> {
    let printed = expression::print(condition, scope)?;
    match printed.kind {
        Kind::Boolean => Ok(printed),
        other => Err(Untranslatable::new(format!("a condition of {other:?}"))),
    }
}

/// The name that Postgres gives a column without an alias, where it is a column's.
fn output_name(expression: &sqlparser::ast::Expr) -> Result<String, Untranslatable> {
    match expression {
        sqlparser::ast::Expr::Identifier(name) => Ok(folded(name)),
        sqlparser::ast::Expr::CompoundIdentifier(parts) if !parts.is_empty() => {
            Ok(folded(&parts[parts.len() - 1]))
        }
        other => Err(Untranslatable::new(format!("the unnamed column {other}"))),
    }
}
