//! What became of the writes to every table of the app DB: updates, and rows that are taken out and put in again. In each
//! transaction a table has as many rows afterwards as before, so that a dump of one instant has them too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Strength;
use super::place::Place;
use super::record::{Kind, Record, Write};
use crate::app_db::AppDb;
use crate::crossing::shape::Shape;

/// What stays writable while it is on, as Metabase's source has it; the history belongs to nodes that start.
const EXEMPT: [&str; 10] = [
    "audit_log",
    "cloud_migration",
    "core_session",
    "core_user",
    "databasechangelog",
    "databasechangeloglock",
    "login_history",
    "setting",
    "user_parameter_value",
    "view_log",
];

/// It goes along in dumps of later versions, and is kept still in all.
const GUARDED_BESIDE: &str = "api_key";

/// Was everything tried since that moment?
pub(super) fn all_were_tried(place: &impl Place, since: i64) -> bool {
    let (op, record) = (place.theirs("op"), place.theirs("record"));
    place.count(&format!(
        "SELECT count(*) FROM {op} o WHERE NOT EXISTS (SELECT 1 FROM {record} r
             WHERE r.table_name = o.table_name AND r.op = o.op AND r.began > {since})"
    )) == 0
}

/// Operations on tables, as `TABLE OP`, of which that is so.
fn operations(record: &Record, is_so: impl Fn(&Write) -> bool) -> BTreeSet<&str> {
    let writes = record.of_kind(Kind::Table).filter(|write| is_so(write));
    writes.map(|write| write.operation.as_str()).collect()
}

/// Other refusals than ours.
fn others(record: &Record) -> BTreeSet<(&str, &str)> {
    let writes = record
        .of_kind(Kind::Table)
        .filter(|write| !write.is_refused_by_us());
    writes
        .filter_map(|write| Some((write.operation.as_str(), write.refusal.as_deref()?)))
        .collect()
}

/// Names of the tables whose rows went along, in lower case.
fn carried(json: &Value) -> BTreeSet<String> {
    let tables = json["tables"].as_array().unwrap().iter();
    tables
        .map(|table| table["name"].as_str().unwrap().to_lowercase())
        .collect()
}

/// What was blocked and what passed, table by table.
pub(super) fn are_held_off_as_they_should(record: &Record, strength: Strength, json: &Value) {
    let carried = carried(json);
    let is_guarded = |operation: &&str| {
        let (table, _) = operation.split_once(' ').unwrap();
        let table = table.to_lowercase();
        (carried.contains(&table) && !EXEMPT.contains(&table.as_str())) || table == GUARDED_BESIDE
    };
    let tried = operations(record, |write| record.while_still(write));
    let refused = operations(record, |write| write.refusal.is_some());
    let passed = operations(record, |write| {
        write.refusal.is_none() && record.while_still(write)
    });
    let (guarded, free): (BTreeSet<&str>, BTreeSet<&str>) = tried.into_iter().partition(is_guarded);
    for op in ["update", "delete", "insert"] {
        let of = |set: &BTreeSet<&str>| set.iter().filter(|one| one.ends_with(op)).count();
        assert!(of(&guarded) > 20 && of(&free) > 5, "{op}: {guarded:?}, {free:?}");
    }
    let held_off: BTreeSet<_> = free.difference(&passed).collect();
    assert!(held_off.is_empty(), "{held_off:?}: {:?}", others(record));
    match strength {
        Strength::Enforced => {
            assert_eq!(
                refused,
                guarded,
                "what must be still, and nothing else: {:?}",
                others(record)
            );
            assert!(
                passed.is_disjoint(&guarded),
                "passed: {:?}",
                passed.intersection(&guarded)
            );
        }
        Strength::Flag | Strength::None => {
            assert!(refused.is_empty(), "{refused:?}: {:?}", others(record));
        }
    }
}

/// Every table has as many rows as in each of the writers' transactions, and all foreign keys hold.
pub(super) fn are_one_snapshot(judge: &AppDb, place: &impl Place, json: &Value) {
    let carried = carried(json);
    let shape = Shape::of(judge, "arrived");
    let mut queries: Vec<(String, String)> = Vec::new();
    for (number, key) in shape.foreign_keys.iter().enumerate() {
        queries.push((format!("orphans of key {number}, {}", key.child), key.orphans()));
    }
    let mut wanted = BTreeMap::new();
    for line in place.ask(&format!(
        "SELECT table_name, rows_kept FROM {} WHERE table_name <> 'view_log'",
        place.theirs("job")
    )) {
        let (table, rows) = line.split_once('|').unwrap();
        let name = format!("rows of {table}");
        queries.push((
            name.clone(),
            format!("SELECT COUNT(*) FROM \"{}\"", table.to_uppercase()),
        ));
        wanted.insert(name, rows.to_owned());
    }
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let mut as_wanted = 0;
    for (name, found) in judge.java(&judge.h2_url("arrived"), &queries) {
        match wanted.get(&name) {
            Some(rows) if *rows == found[0] => as_wanted += 1,
            Some(rows) => {
                let stays = !carried.contains(name.trim_start_matches("rows of ").to_lowercase().as_str());
                assert!(stays && found == ["0"], "{name}: {found:?}, and not {rows}");
            }
            None => assert_eq!(found, ["0"], "{name}"),
        }
    }
    assert!(
        as_wanted > 40 && shape.foreign_keys.len() > 50,
        "{as_wanted} tables prove little"
    );
}
