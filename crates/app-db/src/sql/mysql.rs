//! MySQL's texts to syntax trees that mean the same to Postgres' reader: its own words are replaced by Postgres' where
//! there are such words, and everything else is left for the printer to refuse.
//!
//! MySQL has no truth values: they are the numbers 0 and 1. A column of one bit is a truth value to every other
//! database, so what it is compared with, united with, or chosen by a CASE must become one too.
//!
//! One thing is not said: MySQL compares texts without regard to case and to blanks at the end. Metabase's views and
//! constraints are written for all its databases, of which the others do not.

use std::collections::{BTreeMap, BTreeSet};

use metaferry_domain::schema::{DataType as ColumnType, Table};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, InTarget, Join, JoinConstraint,
    JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, ValueWithSpan,
};
use sqlparser::dialect::MySqlDialect;

use super::parse::parse;
use super::relations::folded;
use super::{Kind, Relations, Untranslatable};

/// A name for what no other database has: the n-th field of a text by a delimiter, or the last one if there are fewer.
pub(super) const NTH_OR_LAST: &str = "metaferry_nth_or_last_field";

/// A view's query.
pub(super) fn query(text: &str, relations: &Relations) -> Result<Query, Untranslatable> {
    let text = text.trim().trim_end_matches(';');
    let mut query = parse(&MySqlDialect {}, text, |parser| parser.parse_query()).map(|query| *query)?;
    let mut reader = Reader::default();
    reader.look_at_query(&query, relations);
    reader.query(&mut query)?;
    Ok(query)
}

/// A check condition or a generated column's expression.
pub(super) fn expression(text: &str, table: &Table) -> Result<Expr, Untranslatable> {
    let mut expression = parse(&MySqlDialect {}, text, |parser| parser.parse_expr())?;
    let mut reader = Reader::default();
    for column in &table.columns {
        reader.add("", column.name.as_str(), Kind::of(&column.data_type));
    }
    reader.expression(&mut expression)?;
    Ok(expression)
}

/// A default of a column of that type.
pub(super) fn default(text: &str, data_type: &ColumnType) -> Result<Expr, Untranslatable> {
    let mut expression = parse(&MySqlDialect {}, text, |parser| parser.parse_expr())?;
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

/// What is known of the columns that a text names: by the name before the point, and its own.
#[derive(Debug, Default)]
struct Reader {
    booleans: BTreeSet<(String, String)>,
    case_blind: BTreeSet<(String, String)>,
    /// Aliases that stand for more than one table.
    relations: BTreeMap<String, String>,
    ambiguous: BTreeSet<String>,
}

impl Reader {
    fn add(&mut self, relation: &str, column: &str, kind: Kind) {
        let key = (relation.to_owned(), column.to_owned());
        match kind {
            Kind::Boolean => drop(self.booleans.insert(key)),
            Kind::CaseBlind => drop(self.case_blind.insert(key)),
            _ => {}
        }
    }

    fn is_in(&self, set: &BTreeSet<(String, String)>, expression: &Expr) -> bool {
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

    // ---- what the names are

    fn look_at_query(&mut self, query: &Query, relations: &Relations) {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.look_at_query(&named.query, relations);
        }
        self.look_at_set(&query.body, relations);
    }

    fn look_at_set(&mut self, body: &SetExpr, relations: &Relations) {
        match body {
            SetExpr::Select(select) => {
                for from in &select.from {
                    self.look_at_joins(from, relations);
                }
            }
            SetExpr::Query(query) => self.look_at_query(query, relations),
            SetExpr::SetOperation { left, right, .. } => {
                self.look_at_set(left, relations);
                self.look_at_set(right, relations);
            }
            _ => {}
        }
    }

    fn look_at_joins(&mut self, joins: &TableWithJoins, relations: &Relations) {
        let factors = std::iter::once(&joins.relation).chain(joins.joins.iter().map(|join| &join.relation));
        for factor in factors {
            match factor {
                TableFactor::Table { name, alias, .. } => {
                    let Ok((own, relation)) = relations.find(name) else {
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
                TableFactor::Derived { subquery, .. } => self.look_at_query(subquery, relations),
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    self.look_at_joins(table_with_joins, relations)
                }
                _ => {}
            }
        }
    }

    // ---- queries

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
                    InTarget::Subquery(query) => self.query(query)?,
                    _ => {}
                }
            }
            Expr::Exists { subquery, .. } => self.query(subquery)?,
            Expr::Subquery(query) => self.query(query)?,
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
                let op = if *negated {
                    BinaryOperator::PGRegexNotMatch
                } else {
                    BinaryOperator::PGRegexMatch
                };
                *expression = Expr::BinaryOp {
                    left: expr.clone(),
                    op,
                    right: pattern.clone(),
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

    fn function(&self, function: &Function) -> Result<Expr, Untranslatable> {
        let name = function.name.to_string().to_lowercase();
        let unknown = || Ok(Expr::Function(function.clone()));
        let FunctionArguments::List(list) = &function.args else {
            return unknown();
        };
        if name == "substring_index"
            && let Some((subject, delimiter, field)) = nth_field(list)
        {
            let mut subject = subject.clone();
            self.expression(&mut subject)?;
            return Ok(call(
                NTH_OR_LAST,
                vec![subject, text(delimiter), constant(Value::Number(field, false))],
            ));
        }
        let mut arguments = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    let mut expression = expression.clone();
                    self.expression(&mut expression)?;
                    arguments.push(expression);
                }
                _ => return unknown(),
            }
        }
        let mut list = list.clone();
        list.args = arguments.iter().cloned().map(unnamed).collect();
        let same = |name: &str, list: FunctionArgumentList| {
            Expr::Function(Function {
                name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
                args: FunctionArguments::List(list),
                ..function.clone()
            })
        };
        Ok(match name.as_str() {
            "lcase" => same("lower", list),
            "ucase" => same("upper", list),
            "ifnull" => same("coalesce", list),
            // NULL if any of them is.
            "concat" if !arguments.is_empty() => {
                let mut pieces = arguments.into_iter();
                let first = pieces.next().unwrap_or_else(|| constant(Value::Null));
                let joined = pieces.fold(first, |left, right| Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::StringConcat,
                    right: Box::new(right),
                });
                Expr::Nested(Box::new(joined))
            }
            "group_concat" if arguments.len() == 1 => {
                let separator = match list.clauses.as_slice() {
                    [] => ",".to_owned(),
                    [
                        FunctionArgumentClause::Separator(ValueWithSpan {
                            value: Value::SingleQuotedString(separator),
                            ..
                        }),
                    ] => separator.clone(),
                    _ => return unknown(),
                };
                list.clauses.clear();
                let mut joined = arguments.remove(0);
                if self.is_in(&self.case_blind, &joined) {
                    joined = as_text(joined);
                }
                list.args = vec![unnamed(joined), unnamed(text(separator))];
                same("string_agg", list)
            }
            _ => same(&name, list),
        })
    }
}

/// `substring_index(substring_index(SUBJECT, DELIMITER, N), DELIMITER, -1)`.
fn nth_field(list: &FunctionArgumentList) -> Option<(&Expr, String, String)> {
    let [inner, delimiter, last] = plain_arguments(list)?;
    let Expr::Function(inner) = inner else { return None };
    let FunctionArguments::List(inner_list) = &inner.args else {
        return None;
    };
    if !inner.name.to_string().eq_ignore_ascii_case("substring_index") || last.to_string() != "-1" {
        return None;
    }
    let [subject, same_delimiter, field] = plain_arguments(inner_list)?;
    let (delimiter, field) = (literal(delimiter)?, field.to_string());
    let is_count = field.parse::<u8>().is_ok_and(|field| field > 0);
    (literal(same_delimiter)? == delimiter && is_count).then_some((subject, delimiter, field))
}

fn plain_arguments(list: &FunctionArgumentList) -> Option<[&Expr; 3]> {
    let arguments: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        })
        .collect();
    arguments?.try_into().ok()
}

fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn is_float(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_float(inner),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::DoublePrecision),
        _ => false,
    }
}

/// 0 or 1.
fn digit(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Nested(inner) => digit(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits == "0" || digits == "1" => Some(digits.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn is_null(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(value) if value.value == Value::Null)
}

/// 0 and 1 as what they mean.
fn as_boolean(expression: &mut Expr) {
    if let Some(digits) = digit(expression) {
        *expression = constant(Value::Boolean(digits == "1"));
    }
}

fn as_text(expression: Expr) -> Expr {
    Expr::Cast {
        kind: sqlparser::ast::CastKind::Cast,
        expr: Box::new(expression),
        data_type: DataType::Text,
        format: None,
    }
}

fn constant(value: Value) -> Expr {
    Expr::Value(value.with_empty_span())
}

fn text(text: String) -> Expr {
    constant(Value::SingleQuotedString(text))
}

fn unnamed(expression: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// All plain SELECTs of a set operation, left to right.
fn selects<'a>(body: &'a mut SetExpr, found: &mut Vec<&'a mut Select>) {
    match body {
        SetExpr::Select(select) => found.push(select),
        SetExpr::Query(query) => selects(&mut query.body, found),
        SetExpr::SetOperation { left, right, .. } => {
            selects(left, found);
            selects(right, found);
        }
        _ => {}
    }
}

fn projected(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            Some(expression)
        }
        _ => None,
    }
}

fn projected_mut(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            Some(expression)
        }
        _ => None,
    }
}
