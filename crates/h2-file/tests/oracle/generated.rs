//! Generated schemas with generated rows: what real H2 reads is what was written, through every index too.

use metaferry_h2_file::definition::{Definition, TableDefinition, Uniqueness};
use metaferry_h2_file::{Compression, SqlType, Value, WriteOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::harness::Oracle;
use crate::schema::{column, index, primary_key, required, table};
use crate::values::{any_value, can_be_key, every_type};
use crate::{Rows, assert_same, cells, runner, write};

/// A table of any columns; the last one numbers the rows, so that they can be compared in order.
fn tables() -> impl Strategy<Value = TableDefinition> {
    let columns = prop::collection::vec((prop::sample::select(every_type()), any::<bool>()), 0..6);
    let indexes = prop::collection::vec(
        (0_usize..6, 0_usize..6, prop::sample::select(vec![2_u8, 3, 4, 5])),
        0..4,
    );
    let names = "[A-Za-z\"'é日 ,_]{1,8}";
    (names, columns, indexes, 0..4_u8).prop_map(|(name, columns, indexes, key)| {
        let mut made = table(&name);
        for (n, (sql_type, nullable)) in columns.into_iter().enumerate() {
            let name = format!("{name} {n}");
            made.columns.push(if nullable {
                column(&name, sql_type)
            } else {
                required(&name, sql_type)
            });
        }
        made.columns.push(required("N", SqlType::BigInt));
        match key {
            0 => {}
            1 => made.primary_key = Some(primary_key("PK", &["N"])),
            2 => made.primary_key = Some(primary_key("PK", &["N", "M"])),
            _ => made.primary_key = Some(primary_key("PK", &["M"])),
        }
        made.columns.push(required("M", SqlType::Varchar(20)));
        for (n, (first, second, sort_type)) in indexes.into_iter().enumerate() {
            let mut keys: Vec<(String, u8)> = Vec::new();
            for place in [first, second] {
                if let Some(column) = made.columns.get(place)
                    && can_be_key(&column.sql_type)
                    && keys.iter().all(|(name, _)| *name != column.name)
                {
                    keys.push((column.name.clone(), sort_type));
                }
            }
            if !keys.is_empty() {
                let keys: Vec<(&str, u8)> = keys.iter().map(|(name, sort)| (name.as_str(), *sort)).collect();
                made.indexes
                    .push(index(&format!("IX {n}"), Uniqueness::NonUnique, &keys));
            }
        }
        made
    })
}

fn rows_of(table: &TableDefinition, count: usize, seed: u8) -> Rows {
    let mut runner = runner(seed);
    let last = table.columns.len() - 2;
    let values: Vec<_> = table.columns[..last]
        .iter()
        .map(|column| any_value(&column.sql_type, column.nullability))
        .collect();
    (0..count)
        .map(|n| {
            let mut row: Vec<_> = values
                .iter()
                .map(|one| one.new_tree(&mut runner).unwrap().current())
                .collect();
            let number = i64::try_from(n).unwrap() * 3 - 50;
            row.push(Value::BigInt(number));
            row.push(Value::Varchar(metaferry_h2_file::Text::Utf8(
                format!("{:x}", number * 7919 % 10007).into(),
            )));
            row
        })
        .collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[test]
fn generated_databases_are_what_h2_reads() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut runner = runner(7);
    for case in 0..40_u8 {
        let made = prop::collection::vec(tables(), 1..4)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut definition = Definition::default();
        for (n, mut table) in made.into_iter().enumerate() {
            // Names are unique in a schema, so each table gets one of its own.
            table.schema = format!("S{n}");
            definition.schemas.push(table.schema.clone());
            definition.tables.push(table);
        }
        let rows: Vec<Rows> = definition
            .tables
            .iter()
            .map(|table| rows_of(table, 10 * usize::from(case), case))
            .collect();
        let file = folder.path().join(format!("case{case}.mv.db"));
        let options = WriteOptions {
            inline_lob_bytes_max: if case % 2 == 0 { 100 } else { 10_000 },
            chunk_bytes: if case % 3 == 0 { 20_000 } else { 1 << 20 },
            sort_memory_bytes: 1,
            compression: if case % 5 < 2 {
                Compression::Lzf
            } else {
                Compression::None
            },
            ..WriteOptions::default()
        };
        write(&file, &definition, &rows, options);
        h2.connect(&file, if case % 2 == 0 { ";ACCESS_MODE_DATA=r" } else { "" });
        for (table, rows) in definition.tables.iter().zip(&rows) {
            let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
            assert_same(
                &h2.run(&format!("SELECT * FROM {name} ORDER BY N")),
                &cells(table, rows),
            );
            for index in &table.indexes {
                let hint = format!("{name} USE INDEX({})", quoted(&index.name));
                let by_index = h2.run(&format!("SELECT N FROM {hint} ORDER BY {}", order(index, "")));
                let by_sort = h2.run(&format!(
                    "SELECT N FROM {name} USE INDEX() ORDER BY {}",
                    order(index, ", N")
                ));
                assert!(by_index == by_sort, "case {case}: {} of {name}", index.name);
            }
        }
        h2.run("!close");
    }
}

fn order(index: &metaferry_h2_file::definition::IndexDefinition, rest: &str) -> String {
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| {
            let order = match column.sort_type {
                2 => "NULLS FIRST",
                3 => "DESC NULLS FIRST",
                4 => "NULLS LAST",
                _ => "DESC NULLS LAST",
            };
            format!("{} {order}", quoted(&column.name))
        })
        .collect();
    columns.join(", ") + rest
}
