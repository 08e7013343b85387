//! Queries: Postgres' syntax tree to another dialect's text.
//!
//! Common table expressions are put in where they are used: H2 2.1 loses those of a view when the database is
//! opened again.

use sqlparser::ast::{
    Distinct, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, SetOperator,
    SetQuantifier, TableAlias, TableFactor, TableWithJoins, With,
};

use super::relations::{Columns, folded};
use super::{Kind, Relations, Untranslatable, Words, expression};

/// A query in H2's SQL.
#[derive(Debug, Clone)]
pub(super) struct PrintedQuery {
    pub(super) text: String,
    /// Output columns: the name as the source has it, and the kind.
    pub(super) columns: Columns,
}

/// What names mean at some place in a query.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    relations: &'a Relations,
    /// Queries of WITH, newest last.
    named: Vec<(String, PrintedQuery)>,
    from: Vec<FromItem>,
    outer: Option<&'a Scope<'a>>,
    wanted: Wanted,
}

/// What kinds the branches of a set operation are to have.
#[derive(Debug, Clone)]
enum Wanted {
    /// No set operation is around.
    Nothing,
    /// The branches are looked at; nobody reads their text.
    Measured,
    /// These, column by column.
    Kinds(Vec<Kind>),
}

#[derive(Debug, Clone)]
struct FromItem {
    /// `None` for the bare columns of one table, as in a check.
    alias: Option<String>,
    columns: Columns,
}

impl<'a> Scope<'a> {
    /// The bare columns of one table.
    pub(super) fn over_table(relations: &'a Relations, columns: Columns) -> Self {
        Self {
            relations,
            named: Vec::new(),
            from: vec![FromItem { alias: None, columns }],
            outer: None,
            wanted: Wanted::Nothing,
        }
    }

    /// The dialect that is printed.
    pub(super) fn words(&self) -> Words {
        self.relations.words()
    }

    /// A column by its name, or by its relation's and its own, as the target spells it.
    pub(super) fn column(&self, names: &[String]) -> Result<(String, Kind), Untranslatable> {
        let found: Vec<(String, Kind)> = match names {
            [column] => self
                .from
                .iter()
                .filter_map(|item| item.column(column, self.words()))
                .collect(),
            [alias, column] => {
                let matches = |item: &&FromItem| item.alias.as_ref() == Some(alias);
                self.from
                    .iter()
                    .filter(matches)
                    .filter_map(|item| item.column(column, self.words()))
                    .collect()
            }
            _ => Vec::new(),
        };
        match (found.as_slice(), self.outer) {
            ([one], _) => Ok(one.clone()),
            ([], Some(outer)) => outer.column(names),
            ([], None) => Err(Untranslatable::new(format!("the name {}", names.join(".")))),
            _ => Err(Untranslatable::new(format!(
                "the ambiguous name {}",
                names.join(".")
            ))),
        }
    }
}

impl FromItem {
    fn column(&self, name: &str, words: Words) -> Option<(String, Kind)> {
        let (_, kind) = self.columns.iter().find(|(column, _)| column == name)?;
        let column = words.name(name);
        let text = match &self.alias {
            Some(alias) => format!("{}.{column}", words.name(alias)),
            None => column,
        };
        Some((text, *kind))
    }
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

fn print_set(body: &SetExpr, scope: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
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

fn print_select(select: &Select, scope: &Scope<'_>) -> Result<PrintedQuery, Untranslatable> {
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

fn condition(
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

/// One element of FROM with its joins; what it brings into view is added to `inner`.
fn print_joins(
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
