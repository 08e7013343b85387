//! Patterns: LIKE, regular expressions, and the fields of a text that they find.

use sqlparser::ast::Expr;

use super::super::query::Scope;
use super::super::{Kind, Untranslatable, Words, regular_expression};
use super::function::Argument;
use super::{Printed, Sense, print, text_constant, want};

pub(super) fn regular(
    left: &Expr,
    right: &Expr,
    sense: Sense,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
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

/// H2's `REGEXP_LIKE`, which searches, as `~` does.
pub(super) fn regexp_like(
    subject: &Expr,
    pattern: &Expr,
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let subject = print(subject, scope)?;
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
pub(super) fn regexp_substr(
    subject: &Expr,
    pattern: &Expr,
    rest: &[Argument<'_>],
    scope: &Scope<'_>,
) -> Result<Printed, Untranslatable> {
    let refuse = || Untranslatable::new("REGEXP_SUBSTR with other than the first match's group");
    let subject = print(subject, scope)?;
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
