//! Generated schemas with generated rows: what real H2 reads is what was written, through every index too.

use metaferry_h2_file::definition::{Definition, TableDefinition, Uniqueness};
use metaferry_h2_file::{Compression, Database, Health, SqlType, Text, Value, WriteOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::h2_text::text;
use crate::harness::Oracle;
use crate::schema::{column, index, primary_key, required, table};
use crate::values::{any_value, can_be_key, cell, every_type};
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
            row.push(Value::Varchar(Text::Utf8(
                format!("{:x}", number * 7919 % 10007).into(),
            )));
            row
        })
        .collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Some tables, each in a schema of its own, so that names need to be unique in a table only.
fn definitions(runner: &mut TestRunner) -> Definition {
    let made = prop::collection::vec(tables(), 1..4)
        .new_tree(runner)
        .unwrap()
        .current();
    let mut definition = Definition::default();
    for (n, mut table) in made.into_iter().enumerate() {
        table.schema = format!("S{n}");
        definition.schemas.push(table.schema.clone());
        definition.tables.push(table);
    }
    definition
}

/// What is read of a table, as the oracle would print it.
fn read(database: &Database, table: &TableDefinition) -> Vec<String> {
    let found = database.table(&table.schema, &table.name).unwrap();
    assert_eq!(found.definition(), table);
    let mut rows = database.rows(found);
    let mut read = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        let types = table.columns.iter().zip(&row.values);
        let row: Vec<_> = types
            .map(|(column, value)| cell(&column.sql_type, value))
            .collect();
        read.push(row.join("\t"));
    }
    assert_eq!(database.row_count(found).unwrap(), read.len() as u64);
    read
}

/// The entries of each index are the rows' own values.
fn indexes_are_of_the_rows(database: &Database, table: &TableDefinition, rows: &Rows) {
    let id = database.table(&table.schema, &table.name).unwrap().id();
    for index in database.indexes().iter().filter(|index| index.table == id) {
        let Some(mut entries) = database.index_entries(index).unwrap() else {
            continue;
        };
        let places: Vec<_> = index
            .columns
            .iter()
            .map(|key| {
                table
                    .columns
                    .iter()
                    .position(|column| column.name == key.name)
                    .unwrap()
            })
            .collect();
        let key = |values: Vec<&Value<'_>>| {
            let cells = places.iter().zip(values);
            let cells: Vec<_> = cells
                .map(|(place, value)| cell(&table.columns[*place].sql_type, value))
                .collect();
            cells.join("\t")
        };
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().unwrap() {
            found.push(key(entry.values.iter().collect()));
        }
        let mut expected: Vec<_> = rows
            .iter()
            .map(|row| key(places.iter().map(|place| &row[*place]).collect()))
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert!(found == expected, "index {} of {}", index.name, table.name);
    }
}

/// Cases of each of these properties.
const CASES: u32 = 1000;
/// Of those in which H2 itself writes so many end in a shutdown of each kind, where H2 waits a fifth of a second for
/// other sessions; the rest end with their last connection.
const SHUTDOWN_EVERY: u32 = 25;
/// H2 gives each closing up to a fifth of a second to tidy up; of one file in three we ask that by name.
const NO_COMPACTING: &str = ";MAX_COMPACT_TIME=0";

/// Thousands of files that H2 syncs, each with its wait for a disk; memory where the system has such a folder.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Every so often one with many rows.
const LARGE_EVERY: u32 = 25;

/// Rows of each table, and what they are made of.
fn size_and_seed(case: u32) -> (usize, u8) {
    let rows = if case.is_multiple_of(LARGE_EVERY) {
        10 * (case / LARGE_EVERY)
    } else {
        case % 7
    };
    let [seed, ..] = case.to_le_bytes();
    (rows as usize, seed)
}

#[test]
fn generated_databases_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.mv.db");
    let mut runner = runner(1);
    let (mut rows_read, mut compressed) = (0, 0);
    for case in 0..CASES {
        let definition = definitions(&mut runner);
        let [seed, ..] = case.to_le_bytes();
        let count = (case % 23) as usize;
        let rows: Vec<Rows> = definition
            .tables
            .iter()
            .map(|table| rows_of(table, count, seed))
            .collect();
        let options = WriteOptions {
            inline_lob_bytes_max: if case % 2 == 0 { 3 } else { 10_000 },
            chunk_bytes: if case % 3 == 0 { 8192 } else { 1 << 20 },
            sort_memory_bytes: 1,
            compression: if case % 5 < 2 {
                Compression::Lzf
            } else {
                Compression::None
            },
            ..WriteOptions::default()
        };
        compressed += u32::from(options.compression == Compression::Lzf);
        write(&file, &definition, &rows, options);
        let database = Database::open(&file).unwrap();
        assert_eq!(database.facts().health, Health::Closed);
        assert_eq!(database.definition(), &definition, "case {case}");
        for (table, rows) in definition.tables.iter().zip(&rows) {
            assert_same(&read(&database, table), &cells(table, rows));
            indexes_are_of_the_rows(&database, table, rows);
            rows_read += rows.len();
        }
        drop(database);
        std::fs::remove_file(&file).unwrap();
    }
    assert!(
        rows_read > 15_000 && compressed == 400,
        "{rows_read} {compressed}"
    );
}

/// A literal of H2's SQL; `None` for what none gives.
fn literal(sql_type: &SqlType, value: &Value<'_>) -> Option<String> {
    let escaped = |units: Vec<u16>| -> String { units.iter().map(|unit| format!("\\{unit:04x}")).collect() };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::TinyInt(number) => number.to_string(),
        Value::SmallInt(number) => number.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::BigInt(number) => format!("CAST('{number}' AS BIGINT)"),
        Value::Real(number) => format!("CAST('{number:?}' AS REAL)").replace("inf", "Infinity"),
        Value::Double(number) => format!("CAST('{number:?}' AS DOUBLE PRECISION)").replace("inf", "Infinity"),
        Value::Char(text) | Value::Varchar(text) | Value::VarcharIgnoreCase(text) | Value::Clob(text) => {
            let units = match text {
                Text::Utf8(text) => text.encode_utf16().collect(),
                Text::Units(units) => units.clone(),
            };
            format!("U&'{}'", escaped(units))
        }
        Value::Binary(bytes) | Value::Varbinary(bytes) | Value::Blob(bytes) => format!("X'{}'", hex(bytes)),
        Value::Uuid(bytes) => format!("UUID '{}'", hex(bytes)),
        Value::Enum(ordinal) => match sql_type {
            SqlType::Enum(labels) => format!("'{}'", labels[*ordinal as usize - 1].replace('\'', "''")),
            _ => return None,
        },
        Value::Numeric(_)
        | Value::DecFloat(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(..)
        | Value::TimestampTz(..)
        | Value::TimeTz(..) => {
            format!("CAST('{}' AS {})", text(value, sql_type)?, type_name(sql_type)?)
        }
        Value::Interval(_) => text(value, sql_type)?,
        Value::Json(_) | Value::JavaObject(_) | Value::Geometry(_) | Value::Array(_) | Value::Row(_) => {
            return None;
        }
    })
}

fn type_name(sql_type: &SqlType) -> Option<String> {
    Some(match sql_type {
        SqlType::Numeric { precision, scale } => format!("NUMERIC({precision}, {scale})"),
        SqlType::DecFloat(precision) => format!("DECFLOAT({precision})"),
        SqlType::Date => "DATE".to_owned(),
        SqlType::Time(digits) => format!("TIME({digits})"),
        SqlType::TimeTz(digits) => format!("TIME({digits}) WITH TIME ZONE"),
        SqlType::Timestamp(digits) => format!("TIMESTAMP({digits})"),
        SqlType::TimestampTz(digits) => format!("TIMESTAMP({digits}) WITH TIME ZONE"),
        _ => return None,
    })
}

#[test]
fn rows_that_h2_writes_are_what_is_read() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = in_memory();
    let mut runner = runner(11);
    let (mut by_literal, mut by_copy) = (0, 0);
    for case in 0..CASES {
        let definition = definitions(&mut runner);
        let (count, seed) = size_and_seed(case);
        let rows: Vec<Rows> = definition
            .tables
            .iter()
            .map(|table| rows_of(table, count.min(30), seed))
            .collect();
        // The same tables twice: one file with the rows, for H2 to copy from, and one without them, for H2 to fill.
        let (filled, empty) = (
            folder.path().join(format!("f{case}.mv.db")),
            folder.path().join(format!("e{case}.mv.db")),
        );
        write(&filled, &definition, &rows, WriteOptions::default());
        let none: Vec<Rows> = rows.iter().map(|_| Rows::new()).collect();
        write(&empty, &definition, &none, WriteOptions::default());
        let last = definition.tables.len();

        h2.connect(&empty, NO_COMPACTING);
        let mut expected = Vec::new();
        for (table, rows) in definition.tables.iter().zip(&rows) {
            let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
            let mut written = Rows::new();
            for row in rows {
                let types = table.columns.iter().zip(row);
                let literals: Option<Vec<_>> = types
                    .map(|(column, value)| literal(&column.sql_type, value))
                    .collect();
                if let Some(literals) = literals {
                    h2.run(&format!("INSERT INTO {name} VALUES({})", literals.join(", ")));
                    by_literal += 1;
                    written.push(row.clone());
                }
            }
            // Some rows go again, some twice: what is dead must not be read.
            if case % 2 == 0 {
                h2.run(&format!("DELETE FROM {name} WHERE MOD(N, 2) = 0"));
                written.retain(|row| !matches!(row[row.len() - 2], Value::BigInt(n) if n % 2 == 0));
            }
            expected.push(written);
        }
        // Killed it would lose what it has not written yet.
        h2.run("CHECKPOINT SYNC");
        if case.is_multiple_of(SHUTDOWN_EVERY) {
            let kind = case / SHUTDOWN_EVERY % 3;
            h2.run(["SHUTDOWN", "SHUTDOWN COMPACT", "SHUTDOWN IMMEDIATELY"][kind as usize]);
        } else {
            h2.run("!close");
        }
        let database = Database::open(&empty).unwrap();
        for (table, rows) in definition.tables.iter().zip(&expected) {
            let mut found = read(&database, table);
            let mut rows = cells(table, rows);
            found.sort_unstable();
            rows.sort_unstable();
            assert_same(&found, &rows);
        }

        h2.connect(&filled, NO_COMPACTING);
        for table in &definition.tables {
            let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
            h2.run(&format!(
                "CREATE TABLE {}.{} AS SELECT * FROM {name}",
                quoted(&table.schema),
                quoted("the copy")
            ));
        }
        h2.run("!close");
        let database = Database::open(&filled).unwrap();
        assert_eq!(database.tables().len(), 2 * last);
        for (table, rows) in definition.tables.iter().zip(&rows) {
            let copy = database.table(&table.schema, "the copy").unwrap();
            let mut rows_of_copy = database.rows(copy);
            let mut found = Vec::new();
            while let Some(row) = rows_of_copy.next_row().unwrap() {
                let types = copy.definition().columns.iter().zip(&row.values);
                let row: Vec<_> = types
                    .map(|(column, value)| cell(&column.sql_type, value))
                    .collect();
                found.push(row.join("\t"));
            }
            let mut rows = cells(table, rows);
            found.sort_unstable();
            rows.sort_unstable();
            assert_same(&found, &rows);
            by_copy += rows.len();
        }
        drop(database);
        std::fs::remove_file(&filled).unwrap();
        std::fs::remove_file(&empty).unwrap();
    }
    assert!(by_literal > 200 && by_copy > 600, "{by_literal} {by_copy}");
}

#[test]
fn generated_databases_are_what_h2_reads() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = in_memory();
    let mut runner = runner(7);
    for case in 0..CASES {
        let definition = definitions(&mut runner);
        let (count, seed) = size_and_seed(case);
        let rows: Vec<Rows> = definition
            .tables
            .iter()
            .map(|table| rows_of(table, count, seed))
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
        h2.connect(
            &file,
            if case % 2 == 0 {
                ";ACCESS_MODE_DATA=r"
            } else {
                NO_COMPACTING
            },
        );
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
        std::fs::remove_file(&file).unwrap();
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
