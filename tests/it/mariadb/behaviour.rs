//! What the original H2 database accepts and refuses, one translated from it to MariaDB accepts and refuses too: the same
//! statements on both, over JDBC.

use std::collections::BTreeMap;

use super::{Maria, With};
use crate::app_db::AppDb;
use crate::load::behaviour::{Ending, STATEMENTS, ending as ending_elsewhere};
use crate::load::{done, load_into};

/// Words of the standard that the two spell differently.
fn spelled(sql: &str) -> String {
    sql.replace("AS VARCHAR(100)", "AS CHAR(100)")
        .replace("CAST('many' AS INTEGER)", "'many'")
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn what_h2_accepts_and_refuses_mariadb_accepts_and_refuses() {
    if std::env::var_os("METAFERRY_TEST_MARIADB_JDBC_JAR").is_none() {
        eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_JDBC_JAR names no jar");
        return;
    }
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let target = maria.database(With::Nothing);
    done(&load_into(&app_db.h2_fixture(), &target.url(), &[]));
    let original = app_db.java(&app_db.h2_url("fixture"), STATEMENTS);
    let statements: Vec<(&str, String)> = STATEMENTS
        .iter()
        .map(|(what, sql)| (*what, spelled(sql)))
        .collect();
    let statements: Vec<(&str, &str)> = statements.iter().map(|(what, sql)| (*what, &**sql)).collect();
    let (user, place) = maria
        .server
        .trim_start_matches("mysql://")
        .split_once('@')
        .unwrap();
    // The standard's quotes and its operator between texts.
    let jdbc = format!(
        "jdbc:mariadb://{place}/{}?sessionVariables=time_zone='+00:00',\
         sql_mode='STRICT_ALL_TABLES,ANSI_QUOTES,PIPES_AS_CONCAT'",
        target.name
    );
    let translated = app_db.ask(&jdbc, user.split(':').next().unwrap(), &statements);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (what, _) in STATEMENTS {
        let original = ending_elsewhere(what, &original[*what]);
        let translated = ending(what, &translated[*what], &original);
        assert_eq!(translated, original, "{what}");
        let kind = format!("{original:?}");
        *seen
            .entry(kind.split('(').next().unwrap().to_owned())
            .or_default() += 1;
    }
    for kind in [
        "Rows",
        "Duplicate",
        "NoParent",
        "NotNull",
        "TooLong",
        "Generated",
        "NotThisType",
    ] {
        assert!(seen.contains_key(kind), "{kind} was not met: {seen:?}");
    }
}

fn ending(what: &str, answer: &[String], original: &Ending) -> Ending {
    let Some(error) = answer.iter().find(|row| row.starts_with("!ERROR")) else {
        let Ending::Rows(originals) = original else {
            return Ending::Rows(answer.to_vec());
        };
        return Ending::Rows(truths(answer, originals));
    };
    for (words, ending) in [
        ("Duplicate entry", Ending::Duplicate),
        ("Cannot add or update a child row", Ending::NoParent),
        ("Cannot delete or update a parent row", Ending::HasChildren),
        ("cannot be null", Ending::NotNull),
        ("Data too long", Ending::TooLong),
        ("generated column", Ending::Generated),
        ("Incorrect integer value", Ending::NotThisType),
    ] {
        if error.contains(words) {
            return ending;
        }
    }
    panic!("{what}: {error}");
}

/// The numbers 0 and 1 are all that MariaDB has for truth values; a UNION of a bit and a number makes bytes of both.
fn truths(answer: &[String], originals: &[String]) -> Vec<String> {
    let is_truth = |at: usize| {
        originals
            .iter()
            .any(|row| matches!(row.split('\t').nth(at), Some("t" | "f")))
    };
    answer
        .iter()
        .map(|row| {
            let cells = row
                .split('\t')
                .enumerate()
                .map(|(at, cell)| match (is_truth(at), cell) {
                    (true, "1" | "01" | "31") => "t",
                    (true, "0" | "00" | "30") => "f",
                    (_, cell) => cell,
                });
            cells.collect::<Vec<_>>().join("\t")
        })
        .collect()
}
