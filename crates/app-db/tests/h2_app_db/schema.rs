//! The schema that H2 reads out of the file, beside the one that Metabase's own migrations make on H2.

use std::collections::BTreeSet;

use metaferry_domain::schema::IndexPart;

use crate::app_db::{AppDb, fixtures};
use crate::oracle::Oracle;

/// Every difference with its reason: `- FACT` is only in Metabase's schema, `+ FACT` only in ours. A `*` stands for
/// anything. Reasons are the lines beginning with `#` above.
const DIFFERENCES: &str = include_str!("../data/h2_schema_differences.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_metabases_own_but_for_what_the_list_explains() {
    let Some(app_db) = AppDb::load().await else { return };
    let copied = app_db.copy().await;
    let untranslatable = copied
        .catalogue
        .tables
        .iter()
        .flat_map(|table| &table.indexes)
        .filter(|index| {
            index.predicate.is_some()
                || index
                    .parts
                    .iter()
                    .any(|part| matches!(part, IndexPart::Expression(_)))
        });
    assert_eq!(copied.notes.len(), untranslatable.count(), "{:#?}", copied.notes);
    let script = Oracle::of_h2(&copied.file)
        .unwrap()
        .rows(&[("s".to_owned(), "SCRIPT NODATA".to_owned())]);
    let script = script["s"]
        .iter()
        .map(|line| unescaped(line))
        .collect::<Vec<_>>()
        .join("\n");
    let ours = facts(&script);
    let theirs = facts(&std::fs::read_to_string(fixtures().unwrap().join("h2-schema.sql")).unwrap());
    let mut differences: Vec<String> = theirs.difference(&ours).map(|fact| format!("- {fact}")).collect();
    differences.extend(ours.difference(&theirs).map(|fact| format!("+ {fact}")));

    let explained: Vec<&str> = DIFFERENCES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let unexplained: Vec<_> = differences
        .iter()
        .filter(|difference| !explained.iter().any(|pattern| matches(pattern, difference)))
        .collect();
    assert!(unexplained.is_empty(), "not explained: {unexplained:#?}");
    let stale: Vec<_> = explained
        .iter()
        .filter(|pattern| !differences.iter().any(|difference| matches(pattern, difference)))
        .collect();
    assert!(stale.is_empty(), "explained but not there: {stale:#?}");
    app_db.drop().await;
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

/// The text of a cell in the oracle's form.
fn unescaped(cell: &str) -> String {
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

/// Does a pattern with `*` match the whole text?
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn patterns_and_facts_say_what_they_should() {
    assert!(
        matches("- a*c", "- abbc") && matches("x", "x") && !matches("x", "xy") && !matches("a*b*c", "acb")
    );
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
