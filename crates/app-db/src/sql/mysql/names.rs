//! What is known of the columns that a text names.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Expr, Query, SetExpr, TableFactor, TableWithJoins};

use super::super::relations::folded;
use super::super::{Kind, Relations};

/// What is known of the columns that a text names: by the name before the point, and its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader<'a> {
    tables: Option<&'a Relations>,
    pub(super) booleans: BTreeSet<(String, String)>,
    /// Aliases that stand for more than one table.
    relations: BTreeMap<String, String>,
    ambiguous: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Of queries over these.
    pub(super) fn over(tables: &'a Relations) -> Self {
        Self {
            tables: Some(tables),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, relation: &str, column: &str, kind: Kind) {
        if kind == Kind::Boolean {
            self.booleans.insert((relation.to_owned(), column.to_owned()));
        }
    }

    pub(super) fn is_in(&self, set: &BTreeSet<(String, String)>, expression: &Expr) -> bool {
        match expression {
            Expr::Nested(inner) => self.is_in(set, inner),
            Expr::Identifier(column) => set.contains(&(String::new(), folded(column))),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., relation, column] => {
                    let relation = folded(relation);
                    !self.ambiguous.contains(&relation) && set.contains(&(relation, folded(column)))
                }
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn look_at_query(&mut self, query: &Query) {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.look_at_query(&named.query);
        }
        self.look_at_set(&query.body);
    }

    fn look_at_set(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => {
                for from in &select.from {
                    self.look_at_joins(from);
                }
            }
            SetExpr::Query(query) => self.look_at_query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.look_at_set(left);
                self.look_at_set(right);
            }
            _ => {}
        }
    }

    fn look_at_joins(&mut self, joins: &TableWithJoins) {
        let factors = std::iter::once(&joins.relation).chain(joins.joins.iter().map(|join| &join.relation));
        for factor in factors {
            match factor {
                TableFactor::Table { name, alias, .. } => {
                    let Some((own, relation)) = self.tables.and_then(|tables| tables.find(name).ok()) else {
                        continue;
                    };
                    let called = alias
                        .as_ref()
                        .map_or_else(|| own.clone(), |alias| folded(&alias.name));
                    if let Some(before) = self.relations.insert(called.clone(), own.clone())
                        && before != own
                    {
                        self.ambiguous.insert(called.clone());
                    }
                    for (column, kind) in &relation.columns {
                        self.add(&called, column, *kind);
                    }
                }
                TableFactor::Derived { subquery, .. } => self.look_at_query(subquery),
                TableFactor::NestedJoin { table_with_joins, .. } => self.look_at_joins(table_with_joins),
                _ => {}
            }
        }
    }
}
