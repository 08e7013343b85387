//! Metabase's own schema with rows, small and large, from Postgres to an H2 file by the program itself, judged by H2 over
//! JDBC beside Postgres over JDBC: shape, rows, indexes, and a life in H2 that goes on as it would have in Postgres.

mod indexes;
mod life;
pub(crate) mod rows;
pub(crate) mod shape;

use metaferry_test_kit::h2_script;
use serde_json::Value;
use shape::Shape;

use crate::app_db::{AppDb, Scale, ended, metaferry, psql};

/// Every difference with its reason.
const DIFFERENCES: &str = include_str!("../../crates/app-db/tests/data/h2_schema_differences.txt");
/// What the first opening for writing may add to a file: H2 notes its types and writes the 13 views in its own words. No
/// index is built and no row is moved.
const OPENING_ADDS_BYTES_AT_MOST: usize = 64 * 1024;

#[test]
fn the_small_app_db_crosses_and_lives_on_in_h2() {
    crosses(Scale::Hundredth);
}

#[test]
fn the_large_app_db_crosses_and_lives_on_in_h2() {
    crosses(Scale::One);
}

fn crosses(scale: Scale) {
    let Some(app_db) = AppDb::load_at(scale) else {
        return;
    };
    let json = app_db.dump_to(&app_db.file());
    let untouched = std::fs::read(app_db.file()).unwrap();
    let shape = Shape::of(&app_db, "app-db");
    assert_eq!((shape.tables.len(), shape.views.len()), (94, 13));
    let (in_h2, in_postgres) = (
        rows::of_h2(&app_db, "app-db", &shape),
        rows::of_postgres(&app_db, &shape),
    );
    rows::are_those_of_postgres(&app_db, &in_h2, &in_postgres);
    if scale == Scale::Hundredth {
        rows::are_as_expected(&app_db, &in_h2);
    }
    rows::are_told(&app_db, &in_postgres, &json);
    rows::views_answer(&app_db, "app-db", &shape);
    the_schema_is_metabases_own(&app_db);
    indexes::give_what_full_scans_give(&app_db, "app-db", &shape);
    assert!(
        std::fs::read(app_db.file()).unwrap() == untouched,
        "reading has changed the file"
    );
    verify_finds_what_differs(&app_db);

    std::fs::write(app_db.folder.path().join("life.mv.db"), &untouched).unwrap();
    app_db.java(&app_db.h2_url("life"), &[("shutdown", "SHUTDOWN")]);
    let opened = std::fs::read(app_db.folder.path().join("life.mv.db")).unwrap();
    let grown = opened.len() - untouched.len();
    assert!(grown < OPENING_ADDS_BYTES_AT_MOST, "opening adds {grown} bytes");
    life::goes_on(&app_db, "life", &shape);
}

fn the_schema_is_metabases_own(app_db: &AppDb) {
    let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url("app-db"));
    let script = app_db.java(&h2, &[("script", "SCRIPT NODATA")]);
    let ours: Vec<String> = script["script"]
        .iter()
        .map(|line| h2_script::unescaped(line))
        .collect();
    let theirs = std::fs::read_to_string(app_db.fixtures.join("h2-schema.sql")).unwrap();
    let unlike = h2_script::compare(&theirs, &ours.join("\n"), DIFFERENCES);
    assert!(
        unlike.unexplained.is_empty() && unlike.stale.is_empty(),
        "{unlike:#?}"
    );
}

/// Equal, exit 0; then one changed row in Postgres, exit 4 and its table's name. What was changed is put back.
fn verify_finds_what_differs(app_db: &AppDb) {
    let right = format!("h2:{}", app_db.file().display());
    let verify = || metaferry(&["--json", "verify", "--left", &app_db.url, "--right", &right]);
    let (json, code) = ended(&verify());
    assert_eq!((code, &json["equal"]), (0, &Value::Bool(true)), "{json}");
    // All that are carried but the two of the schema history, which each database has of its own.
    assert_eq!(json["tables"].as_array().unwrap().len(), 59);

    let one = "WHERE id = (SELECT max(id) FROM report_card)";
    let name = psql(&app_db.url, &format!("SELECT name FROM report_card {one}"));
    psql(
        &app_db.url,
        &format!("UPDATE report_card SET name = name || '.' {one}"),
    );
    let (json, code) = ended(&verify());
    assert_eq!((code, &json["equal"]), (4, &Value::Bool(false)), "{json}");
    let differing: Vec<&str> = json["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["equal"] != true)
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(differing, ["report_card"]);
    psql(
        &app_db.url,
        &format!("UPDATE report_card SET name = left(name, -1) {one}"),
    );
    assert_eq!(
        psql(&app_db.url, &format!("SELECT name FROM report_card {one}")),
        name
    );
}
