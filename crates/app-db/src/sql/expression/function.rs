//! Function calls and aggregates.

use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::super::mysql::NTH_OR_LAST;
use super::super::query::Scope;
use super::super::{Kind, Untranslatable, Words, regular_expression};
use super::{Printed, print as print_expression, text_constant, want};

pub(super) fn print(call: &Function, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let name = call.name.to_string().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
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
        ("regexp_like", [Argument::Expression(subject), Argument::Expression(pattern)])
            if words != Words::H2 =>
        {
            regexp_like(subject, pattern, scope)
        }
        (
            "regexp_substr",
            [
                Argument::Expression(subject),
                Argument::Expression(pattern),
                rest @ ..,
            ],
        ) if words != Words::H2 => regexp_substr(subject, pattern, rest, scope),
        (
            "split_part",
            [
                Argument::Expression(subject),
                Argument::Expression(delimiter),
                Argument::Expression(field),
            ],
        ) if words != Words::Postgres => split_part(subject, delimiter, field, scope),
        (
            NTH_OR_LAST,
            [
                Argument::Expression(subject),
                Argument::Expression(delimiter),
                Argument::Expression(field),
            ],
        ) => nth_or_last(subject, delimiter, field, scope),
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

/// H2's `REGEXP_LIKE`, which searches, as `~` does.
fn regexp_like(subject: &Expr, pattern: &Expr, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let subject = print_expression(subject, scope)?;
    want(&subject, Kind::Text, "REGEXP_LIKE")?;
    let pattern = text_constant(pattern)
        .ok_or_else(|| Untranslatable::new("a regular expression that is not constant"))?;
    let words = scope.words();
    let text = match words {
        Words::MySql => {
            let pattern = words.literal(regular_expression::to_mysql(pattern)?);
            format!("{} REGEXP {pattern}", subject.operand())
        }
        Words::H2 | Words::Postgres => {
            let pattern = words.literal(&regular_expression::to_postgres(pattern)?);
            format!("{} ~ {pattern}", subject.operand())
        }
    };
    Ok(Printed::loose(text, Kind::Boolean, subject.columns))
}

/// H2's `REGEXP_SUBSTR` from the first letter on, first match, one of its groups. NULL where there is no match.
fn regexp_substr(
    subject: &Expr,
    pattern: &Expr,
    rest: &[Argument<'_>],
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new("REGEXP_SUBSTR with other than the first match's group");
    let subject = print_expression(subject, scope)?;
    want(&subject, Kind::Text, "REGEXP_SUBSTR")?;
    let java = text_constant(pattern).ok_or_else(refuse)?;
    let pattern = regular_expression::to_postgres(java)?;
    let rest: Vec<String> = rest
        .iter()
        .map(|argument| match argument {
            Argument::Expression(expression) => Ok(expression.to_string()),
            Argument::Everything => Err(refuse()),
        })
        .collect::<Result<_, _>>()?;
    let group = match rest.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["1", "1", "''", group] => group.parse::<u8>().ok().filter(|group| (1..=9).contains(group)),
        _ => None,
    };
    let group = group.ok_or_else(refuse)?;
    if scope.words() == Words::MySql {
        // No function there gives a group, but the one that counts fields gives the same field of what matches.
        let field = regular_expression::filled_field(java).filter(|field| field.group == group);
        let field = field.ok_or_else(refuse)?;
        let (text, delimiter) = (&subject.text, scope.words().literal(&field.delimiter.to_string()));
        let text = format!(
            "CASE WHEN {} REGEXP {} THEN substring_index(substring_index({text}, {delimiter}, {}), {delimiter}, -1) END",
            subject.operand(),
            scope.words().literal(java),
            field.number
        );
        return Ok(Printed::tight(text, Kind::Text, subject.columns));
    }
    let pattern = scope.words().literal(&pattern);
    let text = format!("(regexp_match({}, {pattern}))[{group}]", subject.text);
    Ok(Printed::tight(text, Kind::Text, subject.columns))
}

enum Argument<'a> {
    Expression(&'a Expr),
    Everything,
}

fn arguments(call: &Function) -> Option<(Vec<Argument<'_>>, Option<DuplicateTreatment>)> {
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

/// The n-th field of a text: empty if there are fewer, NULL of NULL. H2 has no such function, but its
/// `REGEXP_SUBSTR` finds the field once enough delimiters stand at the end for any n.
fn split_part(
    subject: &Expr,
    delimiter: &Expr,
    field: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse =
        || Untranslatable::new("split_part with other than one plain delimiter and a small constant");
    let subject = print_expression(subject, scope)?;
    want(&subject, Kind::Text, "split_part")?;
    let delimiter = text_constant(delimiter).ok_or_else(refuse)?;
    let mut letters = delimiter.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(refuse());
    };
    let others = regular_expression::anything_but(letter).ok_or_else(refuse)?;
    let field = print_expression(field, scope)?;
    let skipped = match field.text.parse::<usize>() {
        Ok(field @ 1..=100) => field - 1,
        _ => return Err(refuse()),
    };
    if scope.words() == Words::MySql {
        return Ok(mysql_field(&subject, delimiter, skipped));
    }
    let padded = format!(
        "{} || {}",
        subject.operand(),
        scope.words().literal(&delimiter.repeat(skipped))
    );
    let (haystack, pattern) = if skipped == 0 {
        (subject.text.clone(), format!("^({others})"))
    } else {
        let one = regular_expression::exactly(letter);
        (padded, format!("^(?:{others}{one}){{{skipped}}}({others})"))
    };
    let text = format!(
        "REGEXP_SUBSTR({haystack}, {}, 1, 1, '', 1)",
        scope.words().literal(&pattern)
    );
    Ok(Printed::tight(text, Kind::Text, subject.columns))
}

/// The same for MySQL, whose `substring_index` gives all fields up to one, and of those the last.
fn mysql_field(subject: &Printed, delimiter: &str, skipped: usize) -> Printed {
    let quoted = Words::MySql.literal(delimiter);
    let text = if skipped == 0 {
        format!("substring_index({}, {quoted}, 1)", subject.text)
    } else {
        let more = Words::MySql.literal(&delimiter.repeat(skipped));
        format!(
            "substring_index(substring_index(concat({}, {more}), {quoted}, {}), {quoted}, -1)",
            subject.text,
            skipped + 1
        )
    };
    Printed::tight(text, Kind::Text, subject.columns.clone())
}

/// The n-th field of a text, or its last if there are fewer: as many fields as there are, up to n - 1, are skipped.
fn nth_or_last(
    subject: &Expr,
    delimiter: &Expr,
    field: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new("a field by other than one plain delimiter");
    let subject = print_expression(subject, scope)?;
    want(&subject, Kind::Text, "substring_index")?;
    let mut letters = text_constant(delimiter).ok_or_else(refuse)?.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(refuse());
    };
    let others = regular_expression::anything_but(letter).ok_or_else(refuse)?;
    let one = regular_expression::exactly(letter);
    let skipped = match print_expression(field, scope)?.text.parse::<u8>() {
        Ok(field @ 1..=100) => field - 1,
        _ => return Err(refuse()),
    };
    let pattern = format!("^(?:{others}{one}){{0,{skipped}}}({others})");
    let words = scope.words();
    let pattern = words.literal(&pattern);
    let text = match words {
        Words::H2 => format!("REGEXP_SUBSTR({}, {pattern}, 1, 1, '', 1)", subject.text),
        // Of a pattern with a group, SUBSTRING gives the group.
        Words::Postgres => format!("substring({} from {pattern})", subject.text),
        Words::MySql => {
            let delimiter = words.literal(&letter.to_string());
            let field = skipped + 1;
            format!(
                "substring_index(substring_index({}, {delimiter}, {field}), {delimiter}, -1)",
                subject.text
            )
        }
    };
    Ok(Printed::tight(text, Kind::Text, subject.columns))
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
        ("listagg", [Argument::Expression(inner), separator @ ..]) if words != Words::H2 => {
            let inner = print_expression(inner, scope)?;
            let inner = match inner.kind {
                Kind::Text | Kind::Untyped => inner.text,
                Kind::CaseBlind if words == Words::MySql => inner.text,
                Kind::CaseBlind => format!("{}::text", inner.operand()),
                _ => return Err(refuse()),
            };
            let separator = match separator {
                [] => ",",
                [Argument::Expression(separator)] => text_constant(separator).ok_or_else(refuse)?,
                _ => return Err(refuse()),
            };
            let separator = words.literal(separator);
            let text = match words {
                Words::MySql => format!("group_concat({distinct}{} SEPARATOR {separator})", chosen(&inner)),
                Words::H2 | Words::Postgres => format!("string_agg({distinct}{inner}, {separator})"),
            };
            (text, Kind::Text)
        }
        ("string_agg", [Argument::Expression(inner), Argument::Expression(separator)]) => {
            let inner = print_expression(inner, scope)?;
            want(&inner, Kind::Text, "string_agg")?;
            let separator = words.literal(text_constant(separator).ok_or_else(refuse)?);
            let text = match words {
                Words::H2 => {
                    format!(
                        "LISTAGG({distinct}{}, {separator}) WITHIN GROUP (ORDER BY NULL)",
                        inner.text
                    )
                }
                Words::Postgres => format!("string_agg({distinct}{}, {separator})", inner.text),
                Words::MySql => {
                    format!(
                        "group_concat({distinct}{} SEPARATOR {separator})",
                        chosen(&inner.text)
                    )
                }
            };
            (text, Kind::Text)
        }
        _ => return Err(refuse()),
    };
    Ok(Printed::tight(format!("{text}{filter}"), kind, Vec::new()))
}
