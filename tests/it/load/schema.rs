//! The schema that a load makes of H2's or Postgres' own, beside the one that Metabase's own migrations make on Postgres,
//! object by object, as the server's catalogue tells them.

use std::collections::BTreeSet;
use std::process::Command;

use super::{copy, done, leftovers, load};
use crate::app_db::{AppDb, psql, told};

/// Every difference with its reason: `-` before what only Metabase's has, `+` before what only ours has, `*` for anything.
const DIFFERENCES: &str = include_str!("../../data/postgres_schema_differences.txt");

#[test]
fn a_schema_from_h2_is_metabases_own_on_postgres_but_for_what_the_list_explains() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.empty_beside();
    let json = done(&load(&app_db.h2_fixture(), &target, &[]));
    assert_eq!(
        json["notes"],
        serde_json::json!([]),
        "nothing is left untranslated"
    );
    the_list_explains(&app_db, &target, DIFFERENCES);
    the_history_is_complete(&app_db, &target);
}

/// Refuses a difference without a reason, and a reason without a difference.
pub(crate) fn the_list_explains(app_db: &AppDb, target: &AppDb, list: &str) {
    let (theirs, ours) = (facts(app_db), facts(target));
    let explained: Vec<&str> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let differences = differences(&theirs, &ours);
    let unexplained: Vec<&String> = differences
        .iter()
        .filter(|difference| !explained.iter().any(|pattern| matches(pattern, difference)))
        .collect();
    let stale: Vec<&&str> = explained
        .iter()
        .filter(|pattern| !differences.iter().any(|difference| matches(pattern, difference)))
        .collect();
    assert!(
        unexplained.is_empty() && stale.is_empty(),
        "{unexplained:#?} {stale:#?}"
    );
}

#[test]
fn a_schema_from_postgres_is_the_same_to_the_last_object() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.empty_beside();
    done(&copy(&app_db.url, &target.url, &[]));
    assert_eq!(
        differences(&facts(&app_db), &facts(&target)),
        BTreeSet::<String>::new()
    );
    assert_eq!(leftovers(&target), "0");
    the_history_is_complete(&app_db, &target);
}

/// Every change is there, without a checksum: Liquibase fills in what is empty and compares what is not.
fn the_history_is_complete(app_db: &AppDb, target: &AppDb) {
    let history =
        "SELECT string_agg(id || ' ' || author || ' ' || filename, ',' ORDER BY id) FROM databasechangelog";
    assert_eq!(psql(&target.url, history), psql(&app_db.url, history));
    let checksums = "SELECT count(*) FROM databasechangelog WHERE md5sum IS NOT NULL";
    assert_eq!(psql(&target.url, checksums), "0");
    assert_ne!(psql(&app_db.url, checksums), "0");
    let places = "SELECT count(*) - count(DISTINCT orderexecuted) FROM databasechangelog";
    assert_eq!(psql(&target.url, places), psql(&app_db.url, places));
}

pub(super) fn facts(database: &AppDb) -> BTreeSet<String> {
    let output = Command::new("psql")
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &database.url, "-f"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/data/facts_of_postgres.sql"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let facts: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    facts
}

fn differences(theirs: &BTreeSet<String>, ours: &BTreeSet<String>) -> BTreeSet<String> {
    let only = |sign: char, one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other)
            .map(|fact| format!("{sign} {fact}"))
            .collect::<Vec<_>>()
    };
    only('-', theirs, ours)
        .into_iter()
        .chain(only('+', ours, theirs))
        .collect()
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
