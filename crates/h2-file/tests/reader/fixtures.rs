//! Every table, row, column, key and index of every fixture equals what H2 read back from it.

use std::io::Read as _;

use metaferry_h2_file::definition::Visibility;
use metaferry_h2_file::{Database, OpenOptions, Rows, SqlType, Text, Value};
use serde_json::Value as Json;
use sha2::Digest as _;
use sha2::Sha256;

use crate::h2_text::text;
use crate::support::{FIXTURES, data, expected, open};

#[test]
fn every_value_of_every_fixture_equals_what_h2_read() {
    let mut values = 0;
    for name in FIXTURES {
        let database = open(name);
        let json = expected(name);
        let tables = json["tables"].as_array().unwrap();
        let base_tables: Vec<_> = tables.iter().filter(|table| is_base_table(table)).collect();
        assert_eq!(database.tables().len(), base_tables.len(), "{name}");
        for table in base_tables {
            values += compare_rows(name, &database, table);
        }
    }
    // A comparison that compares nothing would pass as well.
    assert!(values > 40_000, "{values}");
}

/// 1.4 calls it a TABLE.
fn is_base_table(json: &Json) -> bool {
    json["kind"] == "BASE TABLE" || json["kind"] == "TABLE"
}

fn compare_rows(fixture: &str, database: &Database, json: &Json) -> usize {
    let (schema, name) = (json["schema"].as_str().unwrap(), json["name"].as_str().unwrap());
    let table = database
        .table(schema, name)
        .unwrap_or_else(|| panic!("{fixture}: {schema}.{name} is missing"));
    let row_count = json["row_count"].as_u64().unwrap();
    assert_eq!(database.row_count(table).unwrap(), row_count, "{fixture}.{name}");
    let expected = json["rows"].as_array().unwrap();
    if json.get("rows_truncated_to").is_none() {
        assert_eq!(expected.len() as u64, row_count, "{fixture}.{name}");
    }
    let mut rows = database.rows(table);
    let (mut read, mut compared) = (0, 0);
    while let Some(row) = rows.next_row().unwrap() {
        assert_eq!(row.values.len(), table.definition().columns.len());
        if let Some(expected) = expected.get(read) {
            let place = format!("{fixture}.{name} row {}", row.key);
            let visible = table.definition().columns.iter().zip(&row.values);
            let visible: Vec<_> = visible
                .filter(|(column, _)| column.visibility == Visibility::Visible)
                .collect();
            let expected = expected.as_array().unwrap();
            assert_eq!(visible.len(), expected.len(), "{place}");
            for ((column, value), expected) in visible.into_iter().zip(expected) {
                compare_value(
                    &format!("{place}.{}", column.name),
                    value,
                    &column.sql_type,
                    expected,
                );
                compared += 1;
            }
            let found = database
                .row_by_key(table, row.key)
                .unwrap()
                .unwrap_or_else(|| panic!("{place}"));
            // By their text, because NaN does not equal itself.
            assert_eq!(
                format!("{:?}", found.row().unwrap().values),
                format!("{:?}", row.values),
                "{place}"
            );
        }
        read += 1;
    }
    assert_eq!(read as u64, row_count, "{fixture}.{name}");
    compared
}

fn compare_value(place: &str, value: &Value<'_>, sql_type: &SqlType, expected: &Json) {
    let binary = match value {
        Value::Binary(bytes)
        | Value::Varbinary(bytes)
        | Value::Blob(bytes)
        | Value::JavaObject(bytes)
        | Value::Geometry(bytes) => Some(bytes),
        _ => None,
    };
    if let Some(bytes) = binary {
        if let Some(hex) = expected.get("hex").or(expected.get("ewkb")) {
            assert_eq!(hex::encode(bytes), hex.as_str().unwrap(), "{place}");
        } else {
            assert_eq!(
                bytes.len() as u64,
                expected["length"].as_u64().unwrap(),
                "{place}"
            );
            assert_eq!(
                hex::encode(Sha256::digest(bytes)),
                expected["sha256"].as_str().unwrap(),
                "{place}"
            );
        }
        return;
    }
    match value {
        Value::Null => assert_eq!(expected, &Json::Null, "{place}"),
        Value::Boolean(value) => assert_eq!(expected, &Json::from(*value), "{place}"),
        Value::TinyInt(value) => assert_eq!(expected, &Json::from(*value), "{place}"),
        Value::SmallInt(value) => assert_eq!(expected, &Json::from(*value), "{place}"),
        Value::Integer(value) => assert_eq!(expected, &Json::from(*value), "{place}"),
        Value::BigInt(value) => assert_eq!(expected, &Json::from(*value), "{place}"),
        Value::Real(value) => assert_eq!(format!("{:08x}", value.to_bits()), expected["bits"], "{place}"),
        Value::Double(value) => assert_eq!(format!("{:016x}", value.to_bits()), expected["bits"], "{place}"),
        _ => {
            let text = text(value, sql_type).unwrap_or_else(|| panic!("{place}: no text form"));
            if expected.is_object() {
                assert_eq!(
                    text.encode_utf16().count() as u64,
                    expected["utf16_length"],
                    "{place}"
                );
                assert_eq!(text.len() as u64, expected["utf8_length"], "{place}");
                assert_eq!(
                    hex::encode(Sha256::digest(&text)),
                    expected["sha256_utf8"].as_str().unwrap(),
                    "{place}"
                );
            } else {
                assert_eq!(Some(text.as_str()), expected.as_str(), "{place}");
            }
        }
    }
}

#[test]
fn a_layout_map_that_lies_in_many_chunks_is_found() {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(data("many_chunks.mv.db.gz")).unwrap();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap();
    let database = OpenOptions::default().open_bytes(bytes).unwrap();
    assert!(database.facts().chunks > 200);
    assert_eq!(database.tables().len(), 200);
    for number in 0..200 {
        let table = database.table("PUBLIC", &format!("T{number}")).unwrap();
        let mut rows = database.rows(table);
        for row_number in 1..=number % 7 + 1 {
            let row = rows.next_row().unwrap().unwrap();
            let text = Text::Utf8(format!("row {row_number} of {number}").into());
            assert_eq!(row.values, [Value::BigInt(row_number), Value::Varchar(text)]);
        }
        assert!(rows.next_row().unwrap().is_none());
    }
}

#[test]
fn work_of_an_open_transaction_is_rolled_back() {
    use metaferry_h2_file::{Closure, OpenWork};
    let facts = open("uncommitted").facts().clone();
    assert_eq!(
        (facts.open_transactions, facts.closure),
        (OpenWork::RolledBack, Closure::Unclean)
    );
    let facts = open("unclean").facts().clone();
    assert_eq!(
        (facts.open_transactions, facts.closure),
        (OpenWork::None, Closure::Unclean)
    );
    let facts = open("churn").facts().clone();
    assert_eq!(
        (facts.open_transactions, facts.closure),
        (OpenWork::None, Closure::Clean)
    );
}

#[test]
fn iteration_goes_on_after_any_key() {
    for name in ["churn", "compressed", "uncommitted", "all_types"] {
        let database = open(name);
        for table in database.tables() {
            let keys = |mut rows: Rows<'_>| {
                let mut keys = Vec::new();
                while let Some(row) = rows.next_row().unwrap() {
                    keys.push(row.key);
                }
                keys
            };
            let all = keys(database.rows(table));
            assert_eq!(keys(database.rows_after(table, i64::MIN)), all);
            assert!(keys(database.rows_after(table, i64::MAX)).is_empty());
            for (place, key) in all.iter().enumerate().step_by(101) {
                assert_eq!(
                    keys(database.rows_after(table, *key)),
                    all[place + 1..],
                    "{name}: after {key}"
                );
                assert_eq!(
                    keys(database.rows_after(table, key - 1)),
                    all[place..],
                    "{name}: after {key} - 1"
                );
            }
        }
    }
}

#[test]
fn several_threads_read_one_database() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let database = open("compressed_lobs");
    is_send_and_sync(&database);
    is_send_and_sync(&database.rows(&database.tables()[0]));
    let counts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| crate::support::read_everything(&database).unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        counts[0] > 0 && counts.iter().all(|count| *count == counts[0]),
        "{counts:?}"
    );
}
