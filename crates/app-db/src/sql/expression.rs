//! Expressions: Postgres' syntax tree to another dialect's text.
//!
//! Facts that the rules rest on (each tried on H2 2.1.214): `||` and CONCAT treat NULL as Postgres does and take
//! whole numbers; a cast of CHAR to CHARACTER VARYING keeps the padding there and loses it in Postgres.

mod cast;
mod default;
mod function;
mod operator;
mod pattern;

use metaferry_domain::schema::Table;
use sqlparser::ast::{self, BinaryOperator, CaseWhen, Expr, Ident, InTarget, Value};

use super::query::{self, Scope};
use super::relations::{columns_of, folded};
use super::{Kind, Relations, Untranslatable, Words};
pub(super) use cast::is_null;
pub(super) use default::print_default;

/// An expression in H2's SQL.
#[derive(Debug, Clone)]
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Does it need parentheses as an operand?
    binding: Binding,
    /// Columns used outside aggregates, as printed; what GROUP BY must cover.
    pub(super) columns: Vec<String>,
}

/// Is NOT before it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Plain,
    Negated,
}

impl From<bool> for Sense {
    /// The parser says it as a flag: `negated`.
    fn from(negated: bool) -> Self {
        if negated { Self::Negated } else { Self::Plain }
    }
}

impl Sense {
    /// The one or the other spelling.
    fn words(self, plain: &'static str, negated: &'static str) -> &'static str {
        match self {
            Self::Plain => plain,
            Self::Negated => negated,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Tight,
    Loose,
}

impl Printed {
    fn tight(text: impl Into<String>, kind: Kind, columns: Vec<String>) -> Self {
        Self {
            text: text.into(),
            kind,
            binding: Binding::Tight,
            columns,
        }
    }

    fn loose(text: impl Into<String>, kind: Kind, columns: Vec<String>) -> Self {
        Self {
            text: text.into(),
            kind,
            binding: Binding::Loose,
            columns,
        }
    }

    /// As an operand of something else.
    fn operand(&self) -> String {
        match self.binding {
            Binding::Tight => self.text.clone(),
            Binding::Loose => format!("({})", self.text),
        }
    }
}

/// Over the bare columns of one table, as in a check or a generated column.
pub(super) fn print_over_table(
    expression: &Expr,
    table: &Table,
    words: Words,
) -> Result<Printed, Untranslatable> {
    let relations = Relations::none(words);
    let scope = Scope::over_table(&relations, columns_of(table));
    print(expression, &scope)
}

/// Any expression.
pub(super) fn print(expression: &Expr, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    match expression {
        Expr::Nested(inner) => print(inner, scope),
        // H2's own spelling of a NULL that is a truth value.
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value == "UNKNOWN" && scope.words() != Words::H2 =>
        {
            Ok(Printed::tight("NULL", Kind::Untyped, Vec::new()))
        }
        Expr::Identifier(name) => column(&[name], scope),
        Expr::CompoundIdentifier(parts) => column(&parts.iter().collect::<Vec<_>>(), scope),
        Expr::Value(value) => literal(&value.value, scope.words()),
        Expr::IsNull(inner) => test(inner, "IS NULL", None, scope),
        Expr::IsNotNull(inner) => test(inner, "IS NOT NULL", None, scope),
        Expr::IsTrue(inner) => test(inner, "IS TRUE", Some(Kind::Boolean), scope),
        Expr::IsNotTrue(inner) => test(inner, "IS NOT TRUE", Some(Kind::Boolean), scope),
        Expr::IsFalse(inner) => test(inner, "IS FALSE", Some(Kind::Boolean), scope),
        Expr::IsNotFalse(inner) => test(inner, "IS NOT FALSE", Some(Kind::Boolean), scope),
        Expr::IsDistinctFrom(left, right) => operator::distinct(left, Sense::Plain, right, scope),
        Expr::IsNotDistinctFrom(left, right) => operator::distinct(left, Sense::Negated, right, scope),
        Expr::UnaryOp { op, expr } => operator::unary(*op, expr, scope),
        Expr::BinaryOp { left, op, right } => operator::binary(left, op, right, scope),
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } => between(expr, Sense::from(*negated), low, high, scope),
        Expr::In {
            expr,
            target: InTarget::List(list),
            negated,
            ..
        } => membership(
            expr,
            &list.iter().collect::<Vec<_>>(),
            Sense::from(*negated),
            scope,
        ),
        Expr::In {
            expr,
            target: InTarget::Subquery(query),
            negated,
            ..
        } => {
            let left = print(expr, scope)?;
            let inner = query::print_in(query, scope)?;
            let [(_, kind)] = inner.columns.as_slice() else {
                return Err(Untranslatable::new("IN over several columns"));
            };
            comparable(left.kind, *kind, "IN")?;
            let text = format!(
                "{} {}({})",
                left.operand(),
                Sense::from(*negated).words("IN", "NOT IN"),
                inner.text
            );
            Ok(Printed::loose(text, Kind::Boolean, left.columns))
        }
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } => membership(left, &array_elements(right)?, Sense::Plain, scope),
        Expr::AllOp {
            left,
            compare_op: BinaryOperator::NotEq,
            right,
        } => membership(left, &array_elements(right)?, Sense::Negated, scope),
        Expr::Case {
            operand,
            conditions,
            else_result,
            ..
        } => case(operand.as_deref(), conditions, else_result.as_deref(), scope),
        Expr::Cast {
            expr,
            data_type,
            format: None,
            ..
        } => cast::print(expr, data_type, scope),
        Expr::TypedString(typed) => {
            let value = Expr::Value(typed.value.clone());
            cast::print(&value, &typed.data_type, scope)
        }
        Expr::Function(call) => function::print(call, scope),
        Expr::CompoundFieldAccess { root, access_chain } => pattern::element(root, access_chain, scope),
        Expr::Subquery(query) => {
            let inner = query::print_in(query, scope)?;
            match inner.columns.as_slice() {
                [(_, kind)] => Ok(Printed::tight(format!("({})", inner.text), *kind, Vec::new())),
                _ => Err(Untranslatable::new("a subquery of several columns")),
            }
        }
        Expr::Exists { subquery, negated } => {
            let inner = query::print_in(subquery, scope)?;
            let not = Sense::from(*negated).words("", "NOT ");
            Ok(Printed::loose(
                format!("{not}EXISTS({})", inner.text),
                Kind::Boolean,
                Vec::new(),
            ))
        }
        other => Err(Untranslatable::new(format!("\"{other}\""))),
    }
}

fn column(parts: &[&Ident], scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let names: Vec<String> = parts.iter().map(|part| folded(part)).collect();
    let (text, kind) = scope.column(&names)?;
    Ok(Printed::tight(text.clone(), kind, vec![text]))
}

fn literal(value: &Value, words: Words) -> Result<Printed, Untranslatable> {
    let printed = match value {
        Value::Number(digits, _) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Printed::tight(digits.clone(), Kind::Integer, Vec::new())
        }
        Value::Number(digits, _) if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            Printed::tight(digits.clone(), Kind::Exact, Vec::new())
        }
        Value::SingleQuotedString(text) => Printed::tight(words.literal(text), Kind::Untyped, Vec::new()),
        Value::EscapedStringLiteral(text) => Printed::tight(words.literal(text), Kind::Untyped, Vec::new()),
        Value::Boolean(value) => Printed::tight(words.truth(*value), Kind::Boolean, Vec::new()),
        Value::Null => Printed::tight("NULL", Kind::Untyped, Vec::new()),
        other => return Err(Untranslatable::new(format!("the literal {other}"))),
    };
    Ok(printed)
}

/// The text of a string literal, casts and parentheses around it taken off.
fn string_literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Nested(inner) => string_literal(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a constant that was given a text type, as `'x'::text`.
fn text_constant(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Nested(inner) => text_constant(inner),
        Expr::Cast { expr, data_type, .. } if cast::is_unbounded_text(data_type) => text_constant(expr),
        other => string_literal(other),
    }
}

fn test(
    inner: &Expr,
    words: &str,
    wanted: Option<Kind>,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let inner = print(inner, scope)?;
    if let Some(wanted) = wanted {
        want(&inner, wanted, words)?;
    }
    Ok(Printed::loose(
        format!("{} {words}", inner.operand()),
        Kind::Boolean,
        inner.columns,
    ))
}

fn between(
    inner: &Expr,
    sense: Sense,
    low: &Expr,
    high: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let (inner, low, high) = (print(inner, scope)?, print(low, scope)?, print(high, scope)?);
    if !inner.kind.order_is_shared(low.kind) || !inner.kind.order_is_shared(high.kind) {
        return Err(Untranslatable::new(format!("BETWEEN over {:?}", inner.kind)));
    }
    let words = sense.words("BETWEEN", "NOT BETWEEN");
    let text = format!(
        "{} {words} {} AND {}",
        inner.operand(),
        low.operand(),
        high.operand()
    );
    Ok(Printed::loose(
        text,
        Kind::Boolean,
        joined(joined_as(inner, low), high),
    ))
}

fn membership(
    left: &Expr,
    elements: &[&Expr],
    sense: Sense,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let left = print(left, scope)?;
    if elements.is_empty() {
        return Err(Untranslatable::new("an empty list"));
    }
    let mut columns = left.columns.clone();
    let mut texts = Vec::with_capacity(elements.len());
    for element in elements {
        let element = print(element, scope)?;
        comparable(left.kind, element.kind, "IN")?;
        columns.extend(element.columns);
        texts.push(element.text);
    }
    let words = sense.words("IN", "NOT IN");
    Ok(Printed::loose(
        format!("{} {words}({})", left.operand(), texts.join(", ")),
        Kind::Boolean,
        columns,
    ))
}

/// The elements of `(ARRAY[…])::text[]`.
fn array_elements(array: &Expr) -> Result<Vec<&Expr>, Untranslatable> {
    match array {
        Expr::Nested(inner) => array_elements(inner),
        Expr::Cast {
            expr,
            data_type: ast::DataType::Array(element),
            ..
        } if cast::is_text_array(element) => array_elements(expr),
        Expr::Array(array) => Ok(array.elem.iter().collect()),
        other => Err(Untranslatable::new(format!("the array {other}"))),
    }
}

fn case(
    operand: Option<&Expr>,
    conditions: &[CaseWhen],
    else_result: Option<&Expr>,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let mut columns = Vec::new();
    let mut kind = Kind::Untyped;
    let operand = operand.map(|operand| print(operand, scope)).transpose()?;
    if let Some(operand) = &operand {
        columns.extend(operand.columns.iter().cloned());
    }
    let mut result_of = |result: &Expr| -> Result<Printed, Untranslatable> {
        let printed = print(result, scope)?;
        kind = kind
            .unify(printed.kind)
            .ok_or_else(|| Untranslatable::new(format!("a CASE of {kind:?} and {:?}", printed.kind)))?;
        Ok(printed)
    };
    let mut branches = Vec::with_capacity(conditions.len());
    for when in conditions {
        let condition = print(&when.condition, scope)?;
        match &operand {
            Some(operand) => comparable(operand.kind, condition.kind, "CASE")?,
            None => want(&condition, Kind::Boolean, "CASE")?,
        }
        branches.push((condition, result_of(&when.result)?));
    }
    let otherwise = else_result.map(result_of).transpose()?;

    // One branch with a type gives it to all: a NULL among them needs none.
    let typed = kind != Kind::Untyped;
    let result_text = |printed: &Printed| match typed && is_null(printed) {
        true => "NULL".to_owned(),
        false => printed.text.clone(),
    };
    let mut text = String::from("CASE");
    if let Some(operand) = &operand {
        text.push_str(&format!(" {}", operand.operand()));
    }
    for (condition, result) in branches {
        text.push_str(&format!(" WHEN {} THEN {}", condition.text, result_text(&result)));
        columns.extend(condition.columns);
        columns.extend(result.columns);
    }
    if let Some(result) = otherwise {
        text.push_str(&format!(" ELSE {}", result_text(&result)));
        columns.extend(result.columns);
    }
    text.push_str(" END");
    Ok(Printed::tight(text, kind, columns))
}

fn want(printed: &Printed, wanted: Kind, by: &str) -> Result<(), Untranslatable> {
    if printed.kind == wanted || printed.kind == Kind::Untyped {
        Ok(())
    } else {
        Err(Untranslatable::new(format!("{by} over {:?}", printed.kind)))
    }
}

fn comparable(left: Kind, right: Kind, by: &str) -> Result<(), Untranslatable> {
    if left.equality_is_shared(right) {
        Ok(())
    } else {
        Err(Untranslatable::new(format!(
            "{by} between {left:?} and {right:?}"
        )))
    }
}

fn joined(left: Printed, right: Printed) -> Vec<String> {
    let mut columns = left.columns;
    columns.extend(right.columns);
    columns
}

fn joined_as(left: Printed, right: Printed) -> Printed {
    let (text, kind, binding) = (left.text.clone(), left.kind, left.binding);
    Printed {
        text,
        kind,
        binding,
        columns: joined(left, right),
    }
}
