//! Files of the writer, judged by real H2 2.1.214 with assertions on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "reader/h2_text.rs"]
mod h2_text;
#[path = "oracle/harness.rs"]
mod harness;
#[path = "oracle/schema.rs"]
mod schema;
#[path = "oracle/values.rs"]
mod values;

#[path = "oracle/app_db.rs"]
mod app_db;
#[path = "oracle/catalogue.rs"]
mod catalogue;
#[path = "oracle/cuts.rs"]
mod cuts;
#[path = "oracle/damage.rs"]
mod damage;
#[path = "oracle/fixtures.rs"]
mod fixtures;
#[path = "oracle/generated.rs"]
mod generated;
#[path = "oracle/types.rs"]
mod types;

use std::path::Path;

use metaferry_h2_file::definition::{Definition, Nullability, TableDefinition};
use metaferry_h2_file::{DatabaseWriter, Summary, Value, WriteOptions};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use values::{any_value, cell};

type Rows = Vec<Vec<Value<'static>>>;

/// Writes a database whose tables have these rows.
fn write(file: &Path, definition: &Definition, rows: &[Rows], options: WriteOptions) -> Summary {
    let db = DatabaseWriter::create(file, definition.clone(), options).unwrap();
    for (position, rows) in rows.iter().enumerate() {
        let mut table = db.table(position).unwrap();
        for row in rows {
            table.push(row).unwrap();
        }
        table.finish().unwrap();
    }
    db.finish().unwrap()
}

/// Every row as the oracle must show it.
fn cells(table: &TableDefinition, rows: &Rows) -> Vec<String> {
    let row = |row: &Vec<Value<'static>>| {
        let cells: Vec<String> = table
            .columns
            .iter()
            .zip(row)
            .map(|(column, value)| cell(&column.sql_type, value))
            .collect();
        cells.join("\t")
    };
    rows.iter().map(row).collect()
}

fn runner(seed: u8) -> TestRunner {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

/// `count` rows of a table whose first column counts from 1.
fn numbered_rows(table: &TableDefinition, count: i32, seed: u8) -> Rows {
    let mut runner = runner(seed);
    let strategies: Vec<_> = table.columns[1..]
        .iter()
        .map(|column| any_value(&column.sql_type, Nullability::Nullable))
        .collect();
    (1..=count)
        .map(|id| {
            let mut row = vec![Value::Integer(id)];
            row.extend(
                strategies
                    .iter()
                    .map(|values| values.new_tree(&mut runner).unwrap().current()),
            );
            row
        })
        .collect()
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String]) {
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            let cells = found.split('\t').zip(expected.split('\t')).enumerate();
            let differing: Vec<_> = cells.filter(|(_, (found, expected))| found != expected).collect();
            panic!("row {row}: (column, (found, expected)) {differing:?}");
        }
    }
}
