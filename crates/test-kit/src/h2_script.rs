//! The schema that H2's `SCRIPT NODATA` tells, as a set of facts, and what two of them do not share.

use std::collections::BTreeSet;

use crate::unlike::{self, Unlike};

/// Compares two scripts. Each line of `explained` is `- FACT` or `+ FACT`, where a `*` stands for anything; reasons are
/// lines that begin with `#`.
///
/// # Panics
///
/// On a script that is none of H2's.
#[must_use]
pub fn compare(theirs: &str, ours: &str, explained: &str) -> Unlike {
    unlike::compare(&facts(theirs), &facts(ours), explained)
}

/// What a script says, one fact a piece, without what differs from file to file: counters and the order of
/// statements.
fn facts(script: &str) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    let statements = script.split(";\n").flat_map(|part| part.split("; \n"));
    let text: String = statements.collect::<Vec<_>>().join(";\n");
    let mut statement = String::new();
    for line in text.lines() {
        let line = line.trim_end();
        if statement.is_empty() && (line.starts_with("--") || line.is_empty() || line == ";") {
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') {
            fact(statement.trim().trim_end_matches(';'), &mut facts);
            statement.clear();
        }
    }
    assert!(statement.is_empty(), "unfinished: {statement}");
    facts
}

fn fact(statement: &str, facts: &mut BTreeSet<String>) {
    if let Some(table) = statement.strip_prefix("CREATE CACHED TABLE \"PUBLIC\".") {
        let (head, columns) = table.split_once("(\n").unwrap();
        let (name, comment) = head.split_once(' ').unwrap_or((head, ""));
        facts.insert(format!("table {name}"));
        if !comment.is_empty() {
            facts.insert(format!("comment on {name} {comment}"));
        }
        let mut order = Vec::new();
        for column in columns
            .trim_end_matches(')')
            .lines()
            .map(|line| line.trim().trim_end_matches(','))
        {
            let Some((column, definition)) = column.split_once(' ') else {
                continue;
            };
            order.push(column.trim_matches('"').to_owned());
            let (definition, comment) = without_comment(definition);
            facts.insert(format!("column {name}.{column} {definition}"));
            if let Some(comment) = comment {
                facts.insert(format!("comment on {name}.{column} {comment}"));
            }
        }
        facts.insert(format!("order of {name} {}", order.join(" ")));
    } else if let Some(view) = statement.strip_prefix("CREATE FORCE VIEW \"PUBLIC\".") {
        let (head, query) = view.split_once(" AS\n").unwrap();
        facts.insert(format!("view {head}"));
        let (name, _) = head.split_once('(').unwrap();
        facts.insert(format!(
            "query of {name} {}",
            query.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    } else if !statement.starts_with("SET ") {
        let statement = statement
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("\"PUBLIC\".", "");
        facts.insert(without_made_up_name(&statement));
    }
}

/// A unique constraint that nobody named: H2 calls it `CONSTRAINT_…` by its id, Postgres `TABLE_COLUMNS_key`.
fn without_made_up_name(statement: &str) -> String {
    let parts = statement
        .split_once(" ADD CONSTRAINT \"")
        .and_then(|(table, rest)| {
            let (name, definition) = rest.split_once("\" ")?;
            let made_up = name.starts_with("CONSTRAINT_") || name.ends_with("_KEY");
            (made_up && definition.starts_with("UNIQUE")).then(|| format!("{table} ADD {definition}"))
        });
    parts.unwrap_or_else(|| statement.to_owned())
}

/// A column's definition without its comment, and without where its identity stands.
fn without_comment(definition: &str) -> (String, Option<String>) {
    let mut definition = definition.to_owned();
    if let Some(at) = definition.find(" RESTART WITH ") {
        let end = definition[at..].find(')').unwrap() + at;
        definition.replace_range(at..end, "");
    }
    let Some(at) = definition
        .find(" COMMENT '")
        .or_else(|| definition.find(" COMMENT U&'"))
    else {
        return (definition, None);
    };
    let quote = at + definition[at..].find('\'').unwrap();
    let bytes = definition.as_bytes();
    let mut end = quote + 1;
    while bytes[end] != b'\'' || bytes.get(end + 1) == Some(&b'\'') {
        end += if bytes[end] == b'\'' { 2 } else { 1 };
    }
    let comment = definition[at + 1..=end].to_owned();
    definition.replace_range(at..=end, "");
    (definition, Some(comment))
}

/// The text of a cell in the form that the tests' JDBC program prints.
///
/// # Panics
///
/// On a backslash at the end.
#[must_use]
pub fn unescaped(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut letters = cell.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                other => other.unwrap(),
            }),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn facts_say_what_they_should() {
        let facts = facts(
            "-- H2;\nSET X 1;   \n;  \nCREATE CACHED TABLE \"PUBLIC\".\"T\" COMMENT 'it''s'(\n    \"A\" INTEGER \
             GENERATED BY DEFAULT AS IDENTITY(START WITH 1 RESTART WITH 7) COMMENT 'x, y''s' NOT NULL,\n    \"B\" \
             BOOLEAN\n);  \n-- 0 rows;\nCREATE INDEX \"PUBLIC\".\"I\" ON \"PUBLIC\".\"T\"(\"A\");\n",
        );
        let expected = [
            "CREATE INDEX \"I\" ON \"T\"(\"A\")",
            "column \"T\".\"A\" INTEGER GENERATED BY DEFAULT AS IDENTITY(START WITH 1) NOT NULL",
            "column \"T\".\"B\" BOOLEAN",
            "comment on \"T\" COMMENT 'it''s'",
            "comment on \"T\".\"A\" COMMENT 'x, y''s'",
            "order of \"T\" A B",
            "table \"T\"",
        ];
        assert_eq!(facts.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
