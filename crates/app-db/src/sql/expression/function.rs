//! Function calls and aggregates.

use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::super::mysql::NTH_OR_LAST;
use super::super::query::Scope;
use super::super::{Kind, Untranslatable, Words};
use super::{Printed, pattern, print as print_expression, text_constant, want};

pub(super) fn print(call: &Function, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let name = call.name.to_string().to_lowercase();
    // Postgres' catalogue quotes those that are words of its grammar.
    let name = name
        .strip_prefix("pg_catalog.")
        .unwrap_or(&name)
        .trim_matches('"');
    let refuse = || Untranslatable::new(format!("the function \"{call}\""));
    let words = scope.words();
    let is_ordered = !call.within_group.is_empty() && !is_any_order(call, words);
    if call.over.is_some() || is_ordered || call.null_treatment.is_some() {
        return Err(refuse());
    }
    let Some((arguments, treatment)) = arguments(call) else {
        return Err(refuse());
    };
    let is_aggregate = matches!(
        name,
        "string_agg" | "listagg" | "count" | "min" | "max" | "sum" | "bool_and" | "bool_or"
    );
    if !is_aggregate && (call.filter.is_some() || treatment.is_some()) {
        return Err(refuse());
    }
    let printed = |kinds: &[Kind]| -> Result<Vec<Printed>, Untranslatable> {
        arguments
            .iter()
            .map(|argument| match argument {
                Argument::Expression(expression) => {
                    let argument = print_expression(expression, scope)?;
                    if kinds.contains(&argument.kind) {
                        Ok(argument)
                    } else {
                        Err(refuse())
                    }
                }
                Argument::Everything => Err(refuse()),
            })
            .collect()
    };
    match (name, arguments.as_slice()) {
        ("now" | "current_timestamp" | "transaction_timestamp", []) => {
            Ok(Printed::tight(words.moment(), Kind::TimestampTz, Vec::new()))
        }
        ("current_date", []) => Ok(Printed::tight("CURRENT_DATE", Kind::Date, Vec::new())),
        ("localtimestamp", []) => Ok(Printed::tight(words.wall_clock(), Kind::Timestamp, Vec::new())),
        ("lower" | "upper", [_]) => {
            let all = printed(&[Kind::Text, Kind::Untyped])?;
            Ok(call_of(&name.to_uppercase(), all, Kind::Text))
        }
        ("concat", [_, ..]) => {
            let all = printed(&[Kind::Text, Kind::Integer, Kind::Untyped])?;
            // NULL is an empty piece here, and makes all of MySQL's own CONCAT NULL.
            Ok(match words {
                Words::MySql => {
                    let pieces = call_of("", all, Kind::Text);
                    let text = format!("concat_ws('', {}", pieces.text.trim_start_matches('('));
                    Printed { text, ..pieces }
                }
                Words::H2 | Words::Postgres => call_of("CONCAT", all, Kind::Text),
            })
        }
        ("abs", [_]) => {
            let all = printed(&[Kind::Integer, Kind::Exact, Kind::Float])?;
            let kind = all[0].kind;
            Ok(call_of("ABS", all, kind))
        }
        ("coalesce", [_, ..]) | ("nullif", [_, _]) => same_kind(name, &arguments, scope),
        ("rtrim", [_]) if words != Words::H2 => {
            let all = printed(&[Kind::Text, Kind::Padded, Kind::Untyped])?;
            Ok(call_of("RTRIM", all, Kind::Text))
        }
        ("regexp_like", [Argument::Expression(subject), Argument::Expression(pattern)]) => {
            pattern::regexp_like(subject, pattern, scope)
        }
        ("substring", [Argument::Expression(subject), Argument::Expression(pattern)]) => {
            pattern::substring(subject, pattern, scope)
        }
        (
            "regexp_substr",
            [
                Argument::Expression(subject),
                Argument::Expression(pattern),
                rest @ ..,
            ],
        ) if words != Words::H2 => pattern::regexp_substr(subject, pattern, rest, scope),
        (
            "split_part",
            [
                Argument::Expression(subject),
                Argument::Expression(delimiter),
                Argument::Expression(field),
            ],
        ) if words != Words::Postgres => pattern::split_part(subject, delimiter, field, scope),
        (
            NTH_OR_LAST,
            [
                Argument::Expression(subject),
                Argument::Expression(delimiter),
                Argument::Expression(field),
            ],
        ) => pattern::nth_or_last(subject, delimiter, field, scope),
        (_, _) if is_aggregate => aggregate(call, name, &arguments, treatment, scope),
        _ => Err(refuse()),
    }
}

/// `WITHIN GROUP (ORDER BY NULL)`, which H2 puts after every LISTAGG and which orders nothing.
fn is_any_order(call: &Function, words: Words) -> bool {
    words != Words::H2
        && call
            .within_group
            .iter()
            .all(|order| order.expr.to_string() == "NULL")
}

pub(super) enum Argument<'a> {
    Expression(&'a Expr),
    Everything,
}

pub(super) fn arguments(call: &Function) -> Option<(Vec<Argument<'_>>, Option<DuplicateTreatment>)> {
    match &call.args {
        FunctionArguments::None => Some((Vec::new(), None)),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) if list.clauses.is_empty() => {
            let arguments = list
                .args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                        Some(Argument::Expression(expression))
                    }
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Some(Argument::Everything),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()?;
            Some((arguments, list.duplicate_treatment))
        }
        FunctionArguments::List(_) => None,
    }
}

fn call_of(name: &str, arguments: Vec<Printed>, kind: Kind) -> Printed {
    let texts: Vec<&str> = arguments.iter().map(|argument| argument.text.as_str()).collect();
    let text = format!("{name}({})", texts.join(", "));
    Printed::tight(
        text,
        kind,
        arguments
            .into_iter()
            .flat_map(|argument| argument.columns)
            .collect(),
    )
}

/// COALESCE and NULLIF: any kind, but one.
fn same_kind(name: &str, arguments: &[Argument<'_>], scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let mut kind = Kind::Untyped;
    let mut all = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Argument::Expression(expression) = argument else {
            return Err(Untranslatable::new(format!("{name}(*)")));
        };
        let printed = print_expression(expression, scope)?;
        kind = kind
            .unify(printed.kind)
            .ok_or_else(|| Untranslatable::new(format!("{name} of {kind:?} and {:?}", printed.kind)))?;
        all.push(printed);
    }
    if name == "nullif" && !kind.equality_is_shared(kind) {
        return Err(Untranslatable::new(format!("nullif of {kind:?}")));
    }
    Ok(call_of(&name.to_uppercase(), all, kind))
}

fn aggregate(
    call: &Function,
    name: &str,
    arguments: &[Argument<'_>],
    treatment: Option<DuplicateTreatment>,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new(format!("the aggregate \"{call}\""));
    let words = scope.words();
    let distinct = match treatment {
        Some(DuplicateTreatment::Distinct) => "DISTINCT ",
        Some(DuplicateTreatment::All) | None => "",
    };
    let condition = match &call.filter {
        Some(filter) => {
            let filter = print_expression(filter, scope)?;
            want(&filter, Kind::Boolean, "FILTER")?;
            Some(filter.text)
        }
        None => None,
    };
    let filter = match &condition {
        Some(condition) if words != Words::MySql => format!(" FILTER (WHERE {condition})"),
        Some(_) | None => String::new(),
    };
    // MySQL has no FILTER; its aggregates leave NULL out as well.
    let chosen = |text: &str| match &condition {
        Some(condition) if words == Words::MySql => format!("CASE WHEN {condition} THEN {text} END"),
        Some(_) | None => text.to_owned(),
    };
    let (text, kind) = match (name, arguments) {
        ("count", [Argument::Everything]) if words == Words::MySql && condition.is_some() => {
            (format!("COUNT({})", chosen("1")), Kind::Integer)
        }
        ("count", [Argument::Everything]) => ("COUNT(*)".to_owned(), Kind::Integer),
        ("count", [Argument::Expression(counted)]) => (
            format!(
                "COUNT({distinct}{})",
                chosen(&print_expression(counted, scope)?.text)
            ),
            Kind::Integer,
        ),
        ("min" | "max", [Argument::Expression(inner)]) => {
            let inner = print_expression(inner, scope)?;
            if !inner.kind.order_is_shared(inner.kind) {
                return Err(refuse());
            }
            (
                format!("{}({})", name.to_uppercase(), chosen(&inner.text)),
                inner.kind,
            )
        }
        ("sum", [Argument::Expression(inner)]) => {
            let inner = print_expression(inner, scope)?;
            match inner.kind {
                Kind::Integer | Kind::Exact => {
                    (format!("SUM({distinct}{})", chosen(&inner.text)), inner.kind)
                }
                _ => return Err(refuse()),
            }
        }
        // Which order the pieces come in is said by neither side.
        ("string_agg" | "listagg", [Argument::Expression(inner), separator @ ..]) => {
            let inner = print_expression(inner, scope)?;
            let inner = match (inner.kind, words) {
                (Kind::Text | Kind::Untyped, _) | (Kind::CaseBlind, Words::MySql) => inner.text,
                // Which of those that differ in case alone would be left?
                (Kind::CaseBlind, Words::H2 | Words::Postgres) if !distinct.is_empty() => {
                    return Err(refuse());
                }
                (Kind::CaseBlind, Words::H2) => format!("CAST({} AS CHARACTER VARYING)", inner.text),
                (Kind::CaseBlind, Words::Postgres) => format!("{}::text", inner.operand()),
                _ => return Err(refuse()),
            };
            let separator = match separator {
                [] => ",",
                [Argument::Expression(separator)] => text_constant(separator).ok_or_else(refuse)?,
                _ => return Err(refuse()),
            };
            let separator = words.literal(separator);
            let text = match words {
                Words::H2 => format!("LISTAGG({distinct}{inner}, {separator}) WITHIN GROUP (ORDER BY NULL)"),
                Words::Postgres => format!("string_agg({distinct}{inner}, {separator})"),
                Words::MySql => format!("group_concat({distinct}{} SEPARATOR {separator})", chosen(&inner)),
            };
            (text, Kind::Text)
        }
        _ => return Err(refuse()),
    };
    Ok(Printed::tight(format!("{text}{filter}"), kind, Vec::new()))
}
