//! Operators, which mean the same for some kinds of operands only.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::super::query::Scope;
use super::super::{Kind, Untranslatable, Words};
use super::{Binding, Printed, Sense, comparable, joined, pattern, print, want};

/// IS DISTINCT FROM, or negated.
pub(super) fn distinct(
    left: &Expr,
    sense: Sense,
    right: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
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

pub(super) fn unary(op: UnaryOperator, inner: &Expr, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
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

pub(super) fn binary(
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    if matches!(op, BinaryOperator::PGRegexMatch | BinaryOperator::PGRegexNotMatch) {
        return pattern::regular(
            left,
            right,
            Sense::from(*op == BinaryOperator::PGRegexNotMatch),
            scope,
        );
    }
    if matches!(op, BinaryOperator::PGLikeMatch | BinaryOperator::PGNotLikeMatch) {
        return pattern::like(
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
