//! The fixture files: each `NAME.mv.db` was written by H2, `NAME.json` is what H2 then read back.

use std::path::PathBuf;

use metaferry_h2_file::{Database, FilePassword, OpenOptions, Row, Value};

/// Fixtures that lie beside the tests: formats 1, 2 and 3, one encrypted.
pub(crate) const FIXTURES: [&str; 16] = [
    "all_types",
    "lobs",
    "compressed_lobs",
    "lob_indirect",
    "churn",
    "compressed",
    "compacted",
    "schema",
    "index_order",
    "unclean",
    "uncommitted",
    "encrypted",
    "v1_4_200",
    "v2_2_224",
    "v2_3_232",
    "v2_4_240",
];

pub(crate) fn data(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(file)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(&format!("{name}.mv.db"))).unwrap()
}

/// With the password of the encrypted fixture, which the others do not ask for.
pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        password: Some(FilePassword::new("filepw")),
        ..OpenOptions::default()
    }
}

pub(crate) fn open(name: &str) -> Database {
    options()
        .open(data(&format!("{name}.mv.db")))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn expected(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(data(&format!("{name}.json"))).unwrap()).unwrap()
}

/// Reads everything there is: all rows, counts, indexes.
pub(crate) fn read_everything(database: &Database) -> Result<usize, metaferry_h2_file::ReadError> {
    let mut values = 0;
    for table in database.tables() {
        let mut rows = database.rows(table);
        let mut count = 0;
        let mut last_key = None;
        while let Some(Row { key, values: row }) = rows.next_row()? {
            values += row.iter().filter(|value| **value != Value::Null).count();
            count += 1;
            last_key = Some(key);
        }
        assert_eq!(database.row_count(table)?, count);
        if let Some(key) = last_key {
            let found = database
                .row_by_key(table, key)?
                .expect("a row that was just read");
            assert_eq!(found.row()?.key, key);
        }
    }
    for index in database.indexes() {
        if let Some(mut entries) = database.index_entries(index)? {
            while let Some(entry) = entries.next_entry()? {
                values += entry.values.len();
            }
        }
    }
    database.map_types()?;
    Ok(values)
}
