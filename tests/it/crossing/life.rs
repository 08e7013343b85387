//! What H2 does with a dump afterwards is what Postgres would have done: deletes that cascade, updates, new rows,
//! refusals, compaction, a new start, and H2's own recovery tool.

use std::collections::BTreeMap;
use std::process::Command;

use super::rows;
use super::shape::Shape;
use crate::app_db::{AppDb, told};

/// Changes that both databases are asked for.
const CHANGES: [&str; 5] = [
    "DELETE FROM report_dashboard WHERE id % 2 = 0",
    "DELETE FROM collection WHERE id % 5 = 0",
    "DELETE FROM permissions_group WHERE id = 1",
    "DELETE FROM pulse WHERE id % 2 = 1",
    "UPDATE report_card SET name = name || ' (moved)', archived = NOT archived, description = NULL WHERE id % 3 = 0",
];
/// No row has it.
const NOBODY: i64 = 987_654_321;
// Codes of H2's: a unique index or primary key, and a parent that is missing.
const TAKEN: &str = "23505";
const NO_PARENT: &str = "23506";

pub(crate) fn goes_on(app_db: &AppDb, name: &str, shape: &Shape) {
    let h2 = app_db.h2_url(name);
    let numbered: Vec<(String, &str)> = CHANGES
        .iter()
        .enumerate()
        .map(|(number, sql)| (format!("change {number}"), *sql))
        .collect();
    let changes: Vec<(&str, &str)> = numbered.iter().map(|(name, sql)| (&**name, *sql)).collect();
    let highest = highest(app_db, shape);
    let in_postgres = app_db.postgres(&changes);
    let mut in_h2 = changes.clone();
    in_h2.push(("shutdown", "SHUTDOWN DEFRAG"));
    for answers in [in_postgres, app_db.java(&h2, &in_h2)] {
        for (what, answer) in answers {
            assert_eq!(answer, [""; 0], "{what}");
        }
    }
    let (in_h2, in_postgres) = (rows::of_h2(app_db, name, shape), rows::of_postgres(app_db, shape));
    rows::are_those_of_postgres(app_db, &in_h2, &in_postgres);

    new_rows_are_numbered_on(app_db, &h2, shape, &highest);
    what_is_wrong_is_refused(app_db, &h2, shape);
    recovers(app_db, name);
}

/// The highest number in each table that numbers its rows, asked before anything is deleted.
fn highest(app_db: &AppDb, shape: &Shape) -> BTreeMap<String, Vec<String>> {
    let queries: Vec<(&str, String)> = shape
        .identities
        .iter()
        .map(|(table, id)| {
            let (name, id) = (table.to_lowercase(), id.to_lowercase());
            (&**table, format!("SELECT max(\"{id}\") FROM \"{name}\""))
        })
        .collect();
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (*name, &**sql)).collect();
    app_db.postgres(&queries)
}

/// The first row of each table once more, under the number after the highest that there ever was.
fn new_rows_are_numbered_on(
    app_db: &AppDb,
    h2: &str,
    shape: &Shape,
    highest: &BTreeMap<String, Vec<String>>,
) {
    let mut statements: Vec<(String, String)> = Vec::new();
    for (table, id) in &shape.identities {
        let columns: Vec<String> = shape.tables[table]
            .iter()
            .filter(|column| *column != id)
            .map(|column| format!("\"{column}\""))
            .collect();
        let columns = columns.join(", ");
        let stands = format!("SELECT MAX(\"{id}\") FROM \"{table}\"");
        statements.push((format!("{table} before"), stands.clone()));
        statements.push((
            format!("{table} insert"),
            format!("INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM \"{table}\" ORDER BY \"{id}\" LIMIT 1"),
        ));
        statements.push((format!("{table} after"), stands));
    }
    let named: Vec<(&str, &str)> = statements.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let mut answers = app_db.java(h2, &named);
    let (mut inserted, mut taken) = (0, 0);
    for table in shape.identities.keys() {
        let mut answer = |what: &str| answers.remove(&format!("{table} {what}")).unwrap().join("\n");
        let (before, insert, after) = (answer("before"), answer("insert"), answer("after"));
        if before == "\\N" {
            assert_eq!((&*insert, &*after), ("", "\\N"), "{table} is empty");
        } else if insert.is_empty() {
            let next = highest[table][0].parse::<i64>().unwrap() + 1;
            assert_eq!(after, next.to_string(), "the number of a new row of {table}");
            inserted += 1;
        } else {
            assert!(insert.contains(TAKEN), "{table}: {insert}");
            taken += 1;
        }
    }
    assert!(inserted > 20 && taken > 5, "{inserted} inserted, {taken} refused");
}

/// A row that is there already, and a child of nobody, in every table and by every foreign key over numbers.
fn what_is_wrong_is_refused(app_db: &AppDb, h2: &str, shape: &Shape) {
    let mut statements: Vec<(String, String)> = Vec::new();
    for table in &shape.with_primary_key {
        let columns: Vec<String> = shape.tables[table]
            .iter()
            .map(|column| format!("\"{column}\""))
            .collect();
        let columns = columns.join(", ");
        statements.push((
            format!("rows of {table}"),
            format!("SELECT COUNT(*) FROM \"{table}\""),
        ));
        statements.push((
            format!("{TAKEN} {table}"),
            format!("INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM \"{table}\" LIMIT 1"),
        ));
    }
    for key in &shape.foreign_keys {
        let (child, column) = (&key.child, &key.column);
        statements.push((format!("orphans of {child} by {column}"), key.orphans()));
        if key.data_type == "INTEGER" {
            statements.push((
                format!("{NO_PARENT} {child} {column}"),
                format!(
                    "UPDATE \"{child}\" SET \"{column}\" = {NOBODY} WHERE _ROWID_ = (SELECT MIN(_ROWID_) FROM \"{child}\")"
                ),
            ));
        }
    }
    let named: Vec<(&str, &str)> = statements.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let answers = app_db.java(h2, &named);
    let (mut taken, mut no_parent) = (0, 0);
    for (what, _) in &statements {
        let answer = answers[what].join("\n");
        let (kind, of) = what.split_once(' ').unwrap();
        let table = of.split(' ').next().unwrap();
        let is_empty = answers
            .get(&format!("rows of {table}"))
            .is_some_and(|rows| rows == &["0"]);
        match kind {
            "rows" => {}
            "orphans" => assert_eq!(answer, "0", "{what}"),
            _ if is_empty => assert_eq!(answer, "", "{what}"),
            code => {
                assert!(
                    answer.starts_with("!ERROR") && answer.contains(code),
                    "{what}: {answer}"
                );
                *if code == TAKEN { &mut taken } else { &mut no_parent } += 1;
            }
        }
    }
    assert!(
        taken > 40 && no_parent > 40,
        "{taken} taken, {no_parent} without a parent"
    );
}

fn recovers(app_db: &AppDb, name: &str) {
    let recovered = Command::new("java")
        .args(["-ea:org.h2...", "-cp"])
        .arg(&app_db.jar)
        .args(["org.h2.tools.Recover", "-db", name, "-dir"])
        .arg(app_db.folder.path())
        .output()
        .unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{}", told(&recovered));
    let script = std::fs::read_to_string(app_db.folder.path().join(format!("{name}.h2.sql"))).unwrap();
    assert!(
        script.contains(" (moved)"),
        "what was changed is in what was recovered"
    );
    assert!(
        !script.contains("// error: "),
        "what was recovered tells of errors"
    );
}
