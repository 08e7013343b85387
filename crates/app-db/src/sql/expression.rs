//! Expressions: Postgres' syntax tree to another dialect's text.
//!
//! Facts that the rules rest on (each tried on H2 2.1.214): `||` and CONCAT treat NULL as Postgres does and take
//! whole numbers; a cast of CHAR to CHARACTER VARYING keeps the padding there and loses it in Postgres.

mod cast;
mod function;

use metaferry_domain::schema::{DataType, Table};
use sqlparser::ast::{self, BinaryOperator, CaseWhen, Expr, Ident, InTarget, UnaryOperator, Value};

use super::query::{self, Scope};
use super::relations::{columns_of, folded};
use super::{Kind, Relations, Untranslatable, Words, regular_expression};
pub(super) use cast::is_null;

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

/// A default: no columns, and a literal cast to whatever the column is stands for itself.
pub(super) fn print_default(
    expression: &Expr,
    data_type: &DataType,
    words: Words,
) -> Result<String, Untranslatable> {
    let mut bare = expression;
    while let Expr::Nested(inner) = bare {
        bare = inner;
    }
    if let Expr::Function(function) = bare {
        match function.name.to_string().to_lowercase().as_str() {
            // H2 reads its own NOW() as LOCALTIMESTAMP; in a zoned column it is the same instant.
            "now" | "pg_catalog.now" | "localtimestamp" => return Ok(words.now().to_owned()),
            "current_timestamp" if words == Words::MySql => return Ok(words.now().to_owned()),
            "gen_random_uuid" | "uuid_generate_v4" | "random_uuid" => {
                return Ok(words.random_uuid().to_owned());
            }
            _ => {}
        }
    }
    if let Expr::Cast { expr, .. } = bare
        && let Some(text) = string_literal(expr)
    {
        return default_literal(text, data_type, words);
    }
    if let Some(text) = string_literal(bare) {
        return default_literal(text, data_type, words);
    }
    if let (Words::MySql, Expr::Value(value)) = (words, bare)
        && let Value::Boolean(value) = value.value
    {
        return Ok(words.default_truth(value).to_owned());
    }
    let relations = Relations::none(words);
    let text = print(bare, &Scope::over_table(&relations, Vec::new()))?.text;
    // MySQL wants parentheses around everything but literals.
    Ok(match words {
        Words::MySql if !is_literal(bare) && text != "NULL" => format!("({text})"),
        Words::MySql | Words::H2 | Words::Postgres => text,
    })
}

/// A number with or without a sign, or NULL.
fn is_literal(expression: &Expr) -> bool {
    match expression {
        Expr::Value(_) => true,
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => is_literal(expr),
        _ => false,
    }
}

/// A string literal as the default of a column of that type, where both databases read it alike.
fn default_literal(text: &str, data_type: &DataType, words: Words) -> Result<String, Untranslatable> {
    let refuse = || Err(Untranslatable::new(format!("the literal '{text}'")));
    match Kind::of(data_type) {
        Kind::Text | Kind::Padded | Kind::CaseBlind | Kind::Opaque => Ok(words.literal(text)),
        Kind::Integer | Kind::Exact | Kind::Float => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && !text.contains(['_', 'e', 'E']) => Ok(text.trim().to_owned()),
            _ => refuse(),
        },
        Kind::Boolean => match text {
            "t" | "true" => Ok(words.default_truth(true).to_owned()),
            "f" | "false" => Ok(words.default_truth(false).to_owned()),
            _ => refuse(),
        },
        Kind::Date if is_iso_moment(text) => Ok(format!("DATE {}", words.literal(text))),
        Kind::Timestamp if is_iso_moment(text) => Ok(format!("TIMESTAMP {}", words.literal(text))),
        Kind::TimestampTz if words != Words::MySql && is_iso_moment(text) && has_offset(text) => {
            Ok(format!("TIMESTAMP WITH TIME ZONE {}", words.literal(text)))
        }
        Kind::Uuid if text.len() == 36 => Ok(match words {
            Words::H2 | Words::Postgres => format!("UUID {}", words.literal(text)),
            Words::MySql => words.literal(text),
        }),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz | Kind::Uuid | Kind::Bytes | Kind::Untyped => {
            refuse()
        }
    }
}

/// `YYYY-MM-DD` and what may follow it. Words like `now` or `infinity` mean other things in other databases.
fn is_iso_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || b"-:. +".contains(byte))
}

fn has_offset(text: &str) -> bool {
    text.get(10..).is_some_and(|time| time.contains(['+', '-']))
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
        Expr::IsDistinctFrom(left, right) => distinct(left, Sense::Plain, right, scope),
        Expr::IsNotDistinctFrom(left, right) => distinct(left, Sense::Negated, right, scope),
        Expr::UnaryOp { op, expr } => unary(*op, expr, scope),
        Expr::BinaryOp { left, op, right } => binary(left, op, right, scope),
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

/// IS DISTINCT FROM, or negated.
fn distinct(left: &Expr, sense: Sense, right: &Expr, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let words = sense.words("IS DISTINCT FROM", "IS NOT DISTINCT FROM");
    let (left, right) = (print(left, scope)?, print(right, scope)?);
    comparable(left.kind, right.kind, words)?;
    let text = match (scope.words(), sense) {
        (Words::MySql, Sense::Negated) => format!("{} <=> {}", left.operand(), right.operand()),
        (Words::MySql, Sense::Plain) => format!("NOT ({} <=> {})", left.operand(), right.operand()),
        (Words::H2 | Words::Postgres, _) => format!("{} {words} {}", left.operand(), right.operand()),
    };
    Ok(Printed::loose(text, Kind::Boolean, joined(left, right)))
}

fn unary(op: UnaryOperator, inner: &Expr, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let inner = print(inner, scope)?;
    match op {
        UnaryOperator::Not => {
            want(&inner, Kind::Boolean, "NOT")?;
            Ok(Printed::loose(
                format!("NOT {}", inner.operand()),
                Kind::Boolean,
                inner.columns,
            ))
        }
        UnaryOperator::Minus if inner.kind.is_number() => Ok(Printed::loose(
            format!("-{}", inner.operand()),
            inner.kind,
            inner.columns,
        )),
        UnaryOperator::Plus if inner.kind.is_number() => Ok(inner),
        other => Err(Untranslatable::new(format!("the operator {other}"))),
    }
}

fn binary(
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    if matches!(op, BinaryOperator::PGRegexMatch | BinaryOperator::PGRegexNotMatch) {
        return regular(
            left,
            right,
            Sense::from(*op == BinaryOperator::PGRegexNotMatch),
            scope,
        );
    }
    if matches!(op, BinaryOperator::PGLikeMatch | BinaryOperator::PGNotLikeMatch) {
        return like(
            left,
            right,
            Sense::from(*op == BinaryOperator::PGNotLikeMatch),
            scope,
        );
    }
    let (left, right) = (print(left, scope)?, print(right, scope)?);
    let refuse = || {
        Untranslatable::new(format!(
            "the operator {op} between {:?} and {:?}",
            left.kind, right.kind
        ))
    };
    let (words, kind) = match op {
        BinaryOperator::And | BinaryOperator::Or => {
            want(&left, Kind::Boolean, "AND, OR")?;
            want(&right, Kind::Boolean, "AND, OR")?;
            (
                if *op == BinaryOperator::And { "AND" } else { "OR" },
                Kind::Boolean,
            )
        }
        BinaryOperator::Eq | BinaryOperator::NotEq if left.kind.equality_is_shared(right.kind) => {
            (if *op == BinaryOperator::Eq { "=" } else { "<>" }, Kind::Boolean)
        }
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq
            if left.kind.order_is_shared(right.kind) =>
        {
            let words = match op {
                BinaryOperator::Lt => "<",
                BinaryOperator::LtEq => "<=",
                BinaryOperator::Gt => ">",
                _ => ">=",
            };
            (words, Kind::Boolean)
        }
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply => {
            let kind = arithmetic(left.kind, right.kind).ok_or_else(refuse)?;
            let words = match op {
                BinaryOperator::Plus => "+",
                BinaryOperator::Minus => "-",
                _ => "*",
            };
            (words, kind)
        }
        // The scale of an exact quotient differs between databases; whole and floating ones do not.
        BinaryOperator::Divide => match arithmetic(left.kind, right.kind) {
            Some(Kind::Integer) if scope.words() == Words::MySql => ("DIV", Kind::Integer),
            Some(kind @ (Kind::Integer | Kind::Float)) => ("/", kind),
            _ => return Err(refuse()),
        },
        BinaryOperator::Modulo if left.kind == Kind::Integer && right.kind == Kind::Integer => {
            ("%", Kind::Integer)
        }
        BinaryOperator::StringConcat => {
            let pieces = |kind| matches!(kind, Kind::Text | Kind::Integer | Kind::Untyped);
            let some_text = left.kind != Kind::Integer || right.kind != Kind::Integer;
            if !(pieces(left.kind) && pieces(right.kind) && some_text) {
                return Err(refuse());
            }
            if scope.words() == Words::MySql {
                return Ok(concatenated(left, right));
            }
            ("||", Kind::Text)
        }
        _ => return Err(refuse()),
    };
    let text = format!("{} {words} {}", left.operand(), right.operand());
    Ok(Printed::loose(text, kind, joined(left, right)))
}

/// MySQL's `||` is OR. Its `concat` is NULL if any piece is, as `||` is elsewhere; one call takes all pieces of a chain.
fn concatenated(left: Printed, right: Printed) -> Printed {
    let chain = left
        .text
        .strip_prefix("concat(")
        .and_then(|rest| rest.strip_suffix(')'));
    let text = match chain.filter(|_| left.binding == Binding::Tight) {
        Some(pieces) => format!("concat({pieces}, {})", right.text),
        None => format!("concat({}, {})", left.text, right.text),
    };
    Printed::tight(text, Kind::Text, joined(left, right))
}

fn arithmetic(left: Kind, right: Kind) -> Option<Kind> {
    match (left, right) {
        (Kind::Integer, Kind::Integer) => Some(Kind::Integer),
        (Kind::Float, Kind::Float | Kind::Integer) | (Kind::Integer, Kind::Float) => Some(Kind::Float),
        (Kind::Exact, Kind::Exact | Kind::Integer) | (Kind::Integer, Kind::Exact) => Some(Kind::Exact),
        _ => None,
    }
}

fn regular(left: &Expr, right: &Expr, sense: Sense, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let subject = print(left, scope)?;
    want(&subject, Kind::Text, "~")?;
    let Some(pattern) = text_constant(right) else {
        return Err(Untranslatable::new("a regular expression that is not constant"));
    };
    let words = scope.words();
    if words == Words::Postgres {
        // The same database's pattern stays what it is.
        let text = format!(
            "{} {} {}",
            subject.operand(),
            sense.words("~", "!~"),
            words.literal(pattern)
        );
        return Ok(Printed::loose(text, Kind::Boolean, subject.columns));
    }
    // MySQL's libraries read what Java reads.
    let pattern = words.literal(&regular_expression::to_java(pattern)?);
    if words == Words::MySql {
        let text = format!(
            "{} {} {pattern}",
            subject.operand(),
            sense.words("REGEXP", "NOT REGEXP")
        );
        return Ok(Printed::loose(text, Kind::Boolean, subject.columns));
    }
    let call = format!("REGEXP_LIKE({}, {pattern})", subject.text);
    Ok(match sense {
        Sense::Negated => Printed::loose(format!("NOT {call}"), Kind::Boolean, subject.columns),
        Sense::Plain => Printed::tight(call, Kind::Boolean, subject.columns),
    })
}

fn like(left: &Expr, right: &Expr, sense: Sense, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let subject = print(left, scope)?;
    want(&subject, Kind::Text, "LIKE")?;
    match text_constant(right) {
        // Both take a backslash as the escape, but disagree on what may follow it.
        Some(pattern) if !pattern.contains('\\') => {
            let words = sense.words("LIKE", "NOT LIKE");
            let text = format!("{} {words} {}", subject.operand(), scope.words().literal(pattern));
            Ok(Printed::loose(text, Kind::Boolean, subject.columns))
        }
        _ => Err(Untranslatable::new(
            "a LIKE pattern that is not constant or has a backslash",
        )),
    }
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
