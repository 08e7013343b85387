//! There and back: H2 to Postgres to H2, Postgres to H2 to Postgres. Digests are equal at every station, and so are the
//! rows as JDBC reads them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{copy, done, load};
use crate::app_db::{AppDb, Scale};
use crate::crossing::rows;
use crate::crossing::shape::Shape;

#[test]
fn small_from_h2_to_postgres_and_back() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let between = app_db.empty_beside();
    let there = done(&load(&file, &between, &[]));
    let back = done(&copy(
        &between.url,
        &format!("h2:{}", between.file().display()),
        &["--include-logs"],
    ));
    are_equal(&there, &back);
    let shape = Shape::of(&app_db, "fixture");
    let (before, after) = (
        rows::of_h2(&app_db, "fixture", &shape),
        rows::of_h2(&between, "app-db", &Shape::of(&between, "app-db")),
    );
    rows::are_as_expected(&app_db, &before);
    // The schema history is no part of what is expected: Postgres' has a change that H2's has not.
    rows::are_as_expected(&between, &after);
    rows::are_as_expected(&between, &rows::of_postgres(&between, &shape));
}

#[test]
fn small_from_postgres_to_h2_and_back() {
    from_postgres_and_back(Scale::Hundredth);
}

#[test]
fn large_from_postgres_to_h2_and_back() {
    from_postgres_and_back(Scale::One);
}

fn from_postgres_and_back(scale: Scale) {
    let Some(app_db) = AppDb::load_at(scale) else {
        return;
    };
    let target = app_db.empty_beside();
    let there = app_db.dump_to(&app_db.file());
    let back = done(&load(&app_db.file(), &target, &[]));
    are_equal(&there, &back);
    let shape = Shape::of(&app_db, "app-db");
    let (before, after) = (
        rows::of_postgres(&app_db, &shape),
        rows::of_postgres(&target, &shape),
    );
    // What stays behind is empty at the target: the same rule as for a file.
    rows::are_those_of_postgres(&app_db, &after, &before);
    if scale == Scale::Hundredth {
        rows::are_as_expected(&app_db, &after);
    }
}

#[test]
fn from_h2_to_h2() {
    let Some(app_db) = AppDb::load() else { return };
    let from = format!("h2:{}", app_db.h2_fixture().display());
    let to = format!("h2:{}", app_db.file().display());
    done(&copy(&from, &to, &["--include-logs"]));
    let shape = Shape::of(&app_db, "app-db");
    rows::are_as_expected(&app_db, &rows::of_h2(&app_db, "app-db", &shape));
    rows::views_answer(&app_db, "app-db", &shape);
}

/// Every table that the first carried has the same rows and digest in the second.
pub(crate) fn are_equal(first: &Value, second: &Value) {
    let tables = |json: &Value| -> BTreeMap<String, (Value, Value)> {
        json["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| {
                let name = table["name"].as_str().unwrap().to_owned();
                (name, (table["rows"].clone(), table["digest"].clone()))
            })
            .collect()
    };
    let (first, second) = (tables(first), tables(second));
    for (name, content) in second.iter().filter(|(name, _)| *name != "databasechangelog") {
        let there = first.get(name);
        assert!(
            there == Some(content) || (there.is_none() && content.0 == 0),
            "{name}: {there:?}, then {content:?}"
        );
    }
    for (name, content) in &first {
        assert!(second.contains_key(name) || content.0 == 0, "{name} is missing");
    }
    assert!(first.len() > 50, "{} tables", first.len());
}
