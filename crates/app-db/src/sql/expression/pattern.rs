//! Patterns: LIKE, regular expressions, and the fields of a text that they find.

use sqlparser::ast::{AccessExpr, Expr, Subscript};

use super::super::query::Scope;
use super::super::regular_expression::Missing;
use super::super::{Kind, Untranslatable, Words, regular_expression};
use super::function::{self, Argument};
use super::{Printed, Sense, print, text_constant, want};

/// Postgres' `~` and `!~`.
pub(super) fn regular(
    left: &Expr,
    right: &Expr,
    sense: Sense,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let subject = print(left, scope)?;
    want(&subject, Kind::Text, "~")?;
    let java = regular_expression::to_java(constant_pattern(right)?)?;
    searched(subject, &java, sense, scope.words())
}

fn constant_pattern(pattern: &Expr) -> Result<&str, Untranslatable> {
    text_constant(pattern).ok_or_else(|| Untranslatable::new("a regular expression that is not constant"))
}

/// Is the pattern found somewhere in the text? MySQL's libraries read what Java reads.
fn searched(subject: Printed, java: &str, sense: Sense, words: Words) -> Result<Printed, Untranslatable> {
    let text = match words {
        Words::MySql => {
            let operator = sense.words("REGEXP", "NOT REGEXP");
            format!("{} {operator} {}", subject.operand(), words.literal(java))
        }
        Words::Postgres => {
            let pattern = words.literal(&regular_expression::to_postgres(java)?);
            format!("{} {} {pattern}", subject.operand(), sense.words("~", "!~"))
        }
        Words::H2 => {
            let call = format!("REGEXP_LIKE({}, {})", subject.text, words.literal(java));
            match sense {
                Sense::Plain => return Ok(Printed::tight(call, Kind::Boolean, subject.columns)),
                Sense::Negated => format!("NOT {call}"),
            }
        }
    };
    Ok(Printed::loose(text, Kind::Boolean, subject.columns))
}

pub(super) fn like(
    left: &Expr,
    right: &Expr,
    sense: Sense,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
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

/// H2's and MySQL's `REGEXP_LIKE`, which searches, as `~` does.
pub(super) fn regexp_like(
    subject: &Expr,
    pattern: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let subject = print(subject, scope)?;
    want(&subject, Kind::Text, "REGEXP_LIKE")?;
    let java = regular_expression::shared(constant_pattern(pattern)?)?;
    searched(subject, java, Sense::Plain, scope.words())
}

/// H2's `REGEXP_SUBSTR` from the first letter on, first match, one of its groups. NULL where there is no match.
pub(super) fn regexp_substr(
    subject: &Expr,
    pattern: &Expr,
    rest: &[Argument<'_>],
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new("REGEXP_SUBSTR with other than the first match's group");
    let subject = print(subject, scope)?;
    want(&subject, Kind::Text, "REGEXP_SUBSTR")?;
    let java = regular_expression::shared(text_constant(pattern).ok_or_else(refuse)?)?;
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
    matched(subject, java, group, scope.words())
}

/// Postgres' `(regexp_match(SUBJECT, PATTERN))[GROUP]`.
pub(super) fn element(
    array: &Expr,
    access: &[AccessExpr],
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new(format!("an element of \"{array}\""));
    let mut call = array;
    while let Expr::Nested(inner) = call {
        call = inner;
    }
    let [AccessExpr::Subscript(Subscript::Index { index })] = access else {
        return Err(refuse());
    };
    let group = index.to_string().parse::<u8>().map_err(|_| refuse())?;
    match call {
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("regexp_match") => {
            match function::arguments(call) {
                Some((arguments, None)) => match arguments.as_slice() {
                    [Argument::Expression(subject), Argument::Expression(pattern)] => {
                        field(subject, pattern, group, scope)
                    }
                    _ => Err(refuse()),
                },
                _ => Err(refuse()),
            }
        }
        _ => Err(refuse()),
    }
}

/// Postgres' `substring(SUBJECT from PATTERN)`, which gives the first group of a pattern that has one.
pub(super) fn substring(
    subject: &Expr,
    pattern: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    field(subject, pattern, 1, scope)
}

/// A group of a pattern that finds a field: such are the same in every dialect.
fn field(subject: &Expr, pattern: &Expr, group: u8, scope: &Scope<'_>) -> Result<Printed, Untranslatable> {
    let subject = print(subject, scope)?;
    want(&subject, Kind::Text, "a field")?;
    let pattern = constant_pattern(pattern)?;
    match regular_expression::field(pattern) {
        Some(found) if found.group == group => matched(subject, pattern, group, scope.words()),
        _ => Err(Untranslatable::new(format!(
            "a group of the regular expression '{pattern}'"
        ))),
    }
}

/// What a group of a pattern matched; NULL where there is no match.
fn matched(subject: Printed, java: &str, group: u8, words: Words) -> Result<Printed, Untranslatable> {
    let text = match words {
        Words::Postgres => {
            let pattern = words.literal(&regular_expression::to_postgres(java)?);
            format!("(regexp_match({}, {pattern}))[{group}]", subject.text)
        }
        Words::H2 => {
            let pattern = words.literal(java);
            format!("REGEXP_SUBSTR({}, {pattern}, 1, 1, '', {group})", subject.text)
        }
        // No function there gives a group, but the one that counts fields gives the same field of what matches.
        Words::MySql => {
            let field = regular_expression::field(java).filter(|field| field.group == group);
            let field = field
                .ok_or_else(|| Untranslatable::new(format!("a group of the regular expression '{java}'")))?;
            let found = field_or_last(&subject.text, field.delimiter, field.number);
            match field.missing {
                Missing::Last => found,
                Missing::Null => {
                    let pattern = words.literal(java);
                    format!(
                        "CASE WHEN {} REGEXP {pattern} THEN {found} END",
                        subject.operand()
                    )
                }
            }
        }
    };
    Ok(Printed::tight(text, Kind::Text, subject.columns))
}

/// In MySQL's words: the n-th field, or the last if there are fewer. `substring_index` gives all fields up to one, and of
/// those the last.
fn field_or_last(subject: &str, delimiter: char, number: u8) -> String {
    let delimiter = Words::MySql.literal(&delimiter.to_string());
    format!("substring_index(substring_index({subject}, {delimiter}, {number}), {delimiter}, -1)")
}

/// The n-th field of a text: empty if there are fewer, NULL of NULL. H2 has no such function, but its
/// `REGEXP_SUBSTR` finds the field once enough delimiters stand at the end for any n.
pub(super) fn split_part(
    subject: &Expr,
    delimiter: &Expr,
    field: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse =
        || Untranslatable::new("split_part with other than one plain delimiter and a small constant");
    let subject = print(subject, scope)?;
    want(&subject, Kind::Text, "split_part")?;
    let delimiter = text_constant(delimiter).ok_or_else(refuse)?;
    let mut letters = delimiter.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(refuse());
    };
    let others = regular_expression::anything_but(letter).ok_or_else(refuse)?;
    let field = print(field, scope)?;
    let skipped = match field.text.parse::<u8>() {
        Ok(field @ 1..=100) => field - 1,
        _ => return Err(refuse()),
    };
    if scope.words() == Words::MySql {
        return Ok(mysql_field(&subject, letter, skipped));
    }
    let padded = format!(
        "{} || {}",
        subject.operand(),
        scope.words().literal(&delimiter.repeat(usize::from(skipped)))
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

/// The same for MySQL.
fn mysql_field(subject: &Printed, delimiter: char, skipped: u8) -> Printed {
    let text = if skipped == 0 {
        let delimiter = Words::MySql.literal(&delimiter.to_string());
        format!("substring_index({}, {delimiter}, 1)", subject.text)
    } else {
        let more = delimiter.to_string().repeat(usize::from(skipped));
        let padded = format!("concat({}, {})", subject.text, Words::MySql.literal(&more));
        field_or_last(&padded, delimiter, skipped + 1)
    };
    Printed::tight(text, Kind::Text, subject.columns.clone())
}

/// The n-th field of a text, or its last if there are fewer: as many fields as there are, up to n - 1, are skipped.
pub(super) fn nth_or_last(
    subject: &Expr,
    delimiter: &Expr,
    field: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new("a field by other than one plain delimiter");
    let subject = print(subject, scope)?;
    want(&subject, Kind::Text, "substring_index")?;
    let mut letters = text_constant(delimiter).ok_or_else(refuse)?.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(refuse());
    };
    let others = regular_expression::anything_but(letter).ok_or_else(refuse)?;
    let one = regular_expression::exactly(letter);
    let skipped = match print(field, scope)?.text.parse::<u8>() {
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
        Words::MySql => field_or_last(&subject.text, letter, skipped + 1),
    };
    Ok(Printed::tight(text, Kind::Text, subject.columns))
}
