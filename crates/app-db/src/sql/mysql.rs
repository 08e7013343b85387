//! MySQL's texts to syntax trees that mean the same to Postgres' reader: its own words are replaced by Postgres' where
//! there are such words, and everything else is left for the printer to refuse.
//!
//! MySQL has no truth values: they are the numbers 0 and 1. A column of one bit is a truth value to every other
//! database, so what it is compared with, united with, or chosen by a CASE must become one too.
//!
//! One thing is not said: MySQL compares texts without regard to case and to blanks at the end. Metabase's views and
//! constraints are written for all its databases, of which the others do not.

mod function;
mod names;
mod syntax;

use std::collections::BTreeSet;

use metaferry_domain::schema::{DataType as ColumnType, Table};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, ExactNumberInfo, Expr, InTarget, Join, JoinConstraint, JoinOperator,
    Query, Select, SetExpr, TableFactor, TableWithJoins, UnaryOperator, Value,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::{Parser, ParserError};

use names::Reader;
use syntax::{as_boolean, call, constant, digit, is_float, is_null, projected, projected_mut, selects};

use super::{Kind, Relations, Untranslatable, parse};

/// A name for what no other database has: the n-th field of a text by a delimiter, or the last one if there are fewer.
pub(super) const NTH_OR_LAST: &str = "metaferry_nth_or_last_field";

/// A view's query.
pub(super) fn query(text: &str, relations: &Relations) -> Result<Query, Untranslatable> {
    let text = text.trim().trim_end_matches(';');
    let mut query = read(text, |parser| parser.parse_query()).map(|query| *query)?;
    Reader::over(relations).query_with_names(&mut query)?;
    Ok(query)
}

/// Reads the whole of a text in which a backslash is a letter, as everywhere in our sessions. The parser knows only the
/// servers' usual mode, where it begins an escape.
fn read<T>(
    text: &str,
    part: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Untranslatable> {
    parse::parse(&MySqlDialect {}, &text.replace('\\', "\\\\"), part)
}

/// A check condition or a generated column's expression.
pub(super) fn expression(text: &str, table: &Table) -> Result<Expr, Untranslatable> {
    let mut expression = read(text, |parser| parser.parse_expr())?;
    let mut reader = Reader::default();
    for column in &table.columns {
        reader.add("", column.name.as_str(), Kind::of(&column.data_type));
    }
    reader.expression(&mut expression)?;
    Ok(expression)
}

/// A default of a column of that type.
pub(super) fn default(text: &str, data_type: &ColumnType) -> Result<Expr, Untranslatable> {
    let mut expression = read(text, |parser| parser.parse_expr())?;
    let number = match &expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits.clone()),
            // b'101'
            Value::SingleQuotedByteStringLiteral(bits) => {
                u64::from_str_radix(bits, 2).ok().map(|number| number.to_string())
            }
            _ => None,
        },
        _ => None,
    };
    if let Some(digits) = number {
        return Ok(match (data_type, digits.as_str()) {
            (ColumnType::Boolean, "0") => constant(Value::Boolean(false)),
            (ColumnType::Boolean, "1") => constant(Value::Boolean(true)),
            _ => constant(Value::Number(digits, false)),
        });
    }
    if let Expr::Function(function) = &expression {
        match function.name.to_string().to_lowercase().as_str() {
            "current_timestamp" | "now" | "localtimestamp" | "localtime" => {
                return Ok(call("now", Vec::new()));
            }
            "uuid" => return Ok(call("gen_random_uuid", Vec::new())),
            "curdate" | "current_date" => return Ok(call("current_date", Vec::new())),
            _ => {}
        }
    }
    Reader::default().expression(&mut expression)?;
    Ok(expression)
}

impl Reader<'_> {
    /// Is it a truth value, as far as can be seen? After its own parts were rewritten.
    fn is_boolean(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Nested(inner) => self.is_boolean(inner),
            Expr::Value(value) => matches!(value.value, Value::Boolean(_)),
            Expr::Case {
                conditions,
                else_result,
                ..
            } => conditions
                .iter()
                .map(|when| &when.result)
                .chain(else_result.as_deref())
                .any(|result| self.is_boolean(result)),
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::In { .. } | Expr::Between { .. } => true,
            Expr::BinaryOp { op, .. } => matches!(
                op,
                BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq
                    | BinaryOperator::And
                    | BinaryOperator::Or
            ),
            other => self.is_in(&self.booleans, other),
        }
    }

    // ---- queries

    /// One that brings names of its own into view, for itself alone.
    fn query_with_names(&self, query: &mut Query) -> Result<(), Untranslatable> {
        let mut inner = self.clone();
        inner.look_at_query(query);
        inner.query(query)
    }

    fn query(&self, query: &mut Query) -> Result<(), Untranslatable> {
        if let Some(with) = &mut query.with {
            for named in &mut with.cte_tables {
                self.query(&mut named.query)?;
            }
        }
        self.set(&mut query.body)
    }

    fn set(&self, body: &mut SetExpr) -> Result<(), Untranslatable> {
        self.set_alone(body)?;
        if let SetExpr::SetOperation { .. } = body {
            let mut branches = Vec::new();
            selects(body, &mut branches);
            let width = branches.iter().map(|select| select.projection.len()).min();
            for at in 0..width.unwrap_or(0) {
                let is_boolean = branches.iter().any(|select| {
                    projected(&select.projection[at]).is_some_and(|item| self.is_boolean(item))
                });
                if is_boolean {
                    for select in &mut branches {
                        if let Some(item) = projected_mut(&mut select.projection[at]) {
                            as_boolean(item);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn set_alone(&self, body: &mut SetExpr) -> Result<(), Untranslatable> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.set_alone(left)?;
                self.set_alone(right)
            }
            _ => Ok(()),
        }
    }

    fn select(&self, select: &mut Select) -> Result<(), Untranslatable> {
        for item in &mut select.projection {
            if let Some(expression) = projected_mut(item) {
                self.expression(expression)?;
            }
        }
        for from in &mut select.from {
            self.joins(from)?;
        }
        for condition in select.selection.iter_mut().chain(&mut select.having) {
            self.expression(condition)?;
        }
        if let sqlparser::ast::GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            for expression in expressions {
                self.expression(expression)?;
            }
        }
        Ok(())
    }

    fn joins(&self, joins: &mut TableWithJoins) -> Result<(), Untranslatable> {
        self.factor(&mut joins.relation)?;
        for Join {
            relation,
            join_operator,
            ..
        } in &mut joins.joins
        {
            self.factor(relation)?;
            if let JoinOperator::Join(JoinConstraint::On(condition))
            | JoinOperator::Inner(JoinConstraint::On(condition))
            | JoinOperator::Left(JoinConstraint::On(condition))
            | JoinOperator::LeftOuter(JoinConstraint::On(condition))
            | JoinOperator::Right(JoinConstraint::On(condition))
            | JoinOperator::RightOuter(JoinConstraint::On(condition)) = join_operator
            {
                self.expression(condition)?;
            }
        }
        Ok(())
    }

    fn factor(&self, factor: &mut TableFactor) -> Result<(), Untranslatable> {
        match factor {
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.joins(table_with_joins),
            _ => Ok(()),
        }
    }

    // ---- expressions

    fn expression(&self, expression: &mut Expr) -> Result<(), Untranslatable> {
        match expression {
            Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::UnaryOp { expr: inner, .. } => self.expression(inner)?,
            Expr::CompoundIdentifier(parts) if parts.len() == 3 => {
                parts.remove(0);
            }
            Expr::BinaryOp { left, op, right } => {
                self.expression(left)?;
                self.expression(right)?;
                match op {
                    BinaryOperator::Eq | BinaryOperator::NotEq => {
                        if self.is_in(&self.booleans, left) {
                            as_boolean(right);
                        } else if self.is_in(&self.booleans, right) {
                            as_boolean(left);
                        }
                    }
                    // A quotient of whole numbers has decimals here, and nowhere else.
                    BinaryOperator::Divide if !is_float(left) && !is_float(right) => {
                        return Err(Untranslatable::new(format!("the quotient {left} / {right}")));
                    }
                    _ => {}
                }
            }
            Expr::Between { expr, low, high, .. } => {
                for part in [expr, low, high] {
                    self.expression(part)?;
                }
            }
            Expr::In { expr, target, .. } => {
                self.expression(expr)?;
                match target {
                    InTarget::List(list) => {
                        for element in list {
                            self.expression(element)?;
                        }
                    }
                    InTarget::Subquery(query) => self.query_with_names(query)?,
                    _ => {}
                }
            }
            Expr::Exists { subquery, .. } => self.query_with_names(subquery)?,
            Expr::Subquery(query) => self.query_with_names(query)?,
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                if let Some(operand) = operand {
                    self.expression(operand)?;
                }
                for when in conditions.iter_mut() {
                    self.expression(&mut when.condition)?;
                    self.expression(&mut when.result)?;
                }
                if let Some(result) = else_result {
                    self.expression(result)?;
                }
                self.choose_truth(conditions, else_result.as_deref_mut());
            }
            Expr::Cast { expr, data_type, .. } => {
                self.expression(expr)?;
                let wanted = match &*data_type {
                    DataType::Double(ExactNumberInfo::None) => DataType::DoublePrecision,
                    DataType::Signed | DataType::SignedInteger => DataType::BigInt(None),
                    DataType::Char(None) | DataType::Character(None) => DataType::Varchar(None),
                    other => other.clone(),
                };
                *data_type = wanted;
            }
            Expr::RLike {
                negated,
                expr,
                pattern,
                ..
            } => {
                self.expression(expr)?;
                let found = call("regexp_like", vec![(**expr).clone(), (**pattern).clone()]);
                *expression = match *negated {
                    true => Expr::UnaryOp {
                        op: UnaryOperator::Not,
                        expr: Box::new(found),
                    },
                    false => found,
                };
            }
            Expr::Function(function) => *expression = self.function(function)?,
            _ => {}
        }
        Ok(())
    }

    /// A CASE that chooses between 0 and 1 chooses between false and true, as its sisters in other databases do.
    fn choose_truth(&self, conditions: &mut [CaseWhen], else_result: Option<&mut Expr>) {
        let results = || {
            conditions
                .iter()
                .map(|when| &when.result)
                .chain(else_result.as_deref())
        };
        let digits: BTreeSet<String> = results().filter_map(digit).collect();
        let all =
            results().all(|result| digit(result).is_some() || is_null(result) || self.is_boolean(result));
        let some = digits.len() == 2 || results().any(|result| self.is_boolean(result));
        if all && some {
            for when in conditions.iter_mut() {
                as_boolean(&mut when.result);
            }
            if let Some(result) = else_result {
                as_boolean(result);
            }
        }
    }
}
