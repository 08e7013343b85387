//! Every index of a dump has the rows of its table, in the order that a full scan and a sort give.

use std::collections::BTreeMap;

use metaferry_h2_file::Database;

use super::shape::Shape;
use crate::app_db::AppDb;

pub(crate) fn give_what_full_scans_give(app_db: &AppDb, name: &str, shape: &Shape) {
    let mut statements: BTreeMap<String, String> = BTreeMap::new();
    for ((table, index), columns) in &shape.indexes {
        let order: Vec<String> = columns
            .iter()
            .map(|(column, order)| format!("\"{column}\" {order}"))
            .collect();
        let order = order.join(", ");
        let key = format!("{table} {index}");
        let by_index = format!("SELECT _ROWID_ FROM \"{table}\" USE INDEX (\"{index}\") ORDER BY {order}");
        statements.insert(
            format!("{key} by sort"),
            format!("SELECT _ROWID_ FROM \"{table}\" USE INDEX () ORDER BY {order}, _ROWID_"),
        );
        statements.insert(format!("{key} plan"), format!("EXPLAIN {by_index}"));
        statements.insert(format!("{key} by index"), by_index);
    }
    let statements: Vec<(&str, &str)> = statements.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url(name));
    let answers = app_db.java(&h2, &statements);
    let file = Database::open(app_db.folder.path().join(format!("{name}.mv.db"))).unwrap();
    let (mut rows, mut taken) = (0, 0);
    for (table, index) in shape.indexes.keys() {
        let answer = |what: &str| &answers[&format!("{table} {index} {what}")];
        let (by_sort, by_index) = (answer("by sort"), answer("by index"));
        let plan = answer("plan").join("\n");
        rows += by_sort.len();
        if plan.contains(&format!("PUBLIC.{index}")) && plan.contains("index sorted") {
            assert!(by_sort == by_index, "{index} of {table}");
            taken += 1;
        } else {
            // H2 takes another one that begins with the same columns: what this one holds is read without H2.
            assert!(*by_sort == entries(&file, index), "{index} of {table}");
        }
    }
    let all = shape.indexes.len();
    assert!(taken * 10 > all * 9, "H2 took {taken} of {all}");
    assert!(rows > 1000, "{rows} rows prove little");
}

/// The rows that an index in a file names, in its order.
fn entries(file: &Database, name: &str) -> Vec<String> {
    let index = file.indexes().iter().find(|index| index.name == name).unwrap();
    let mut entries = file.index_entries(index).unwrap().unwrap();
    let mut rows = Vec::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        rows.push(entry.row_key.to_string());
    }
    rows
}
