//! Files of the writer, read back by the crate's own reader; and what the writer refuses.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "oracle/schema.rs"]
mod schema;
#[path = "oracle/values.rs"]
mod values;

use std::fs;
use std::path::Path;

use metaferry_h2_file::definition::{Definition, TableDefinition, Uniqueness};
use metaferry_h2_file::{
    Database, DatabaseWriter, PublishGate, SqlType, Text, Value, WriteError, WriteOptions,
};
use proptest::prelude::*;
use proptest::sample::Index;
use schema::{column, index, keyed, primary_key, required, table, unique};
use values::{any_value, cell, every_type};

type Rows = Vec<Vec<Value<'static>>>;

fn one_table(table: TableDefinition) -> Definition {
    Definition {
        tables: vec![table],
        ..Definition::default()
    }
}

fn text(text: String) -> Value<'static> {
    Value::Varchar(Text::Utf8(text.into()))
}

fn create(file: &Path, definition: &Definition) -> DatabaseWriter {
    let options = WriteOptions {
        sort_memory_bytes: 1,
        chunk_bytes: 64 * 1024,
        ..WriteOptions::default()
    };
    DatabaseWriter::create(file, definition.clone(), options).unwrap()
}

/// Writes one table and returns the error, if there is one.
fn write_one(folder: &Path, table: TableDefinition, rows: &Rows) -> Result<Database, WriteError> {
    let file = folder.join("one.mv.db");
    let _ = fs::remove_file(&file);
    let db = create(&file, &one_table(table));
    let mut writer = db.table(0)?;
    for row in rows {
        writer.push(row)?;
    }
    writer.finish()?;
    let summary = db.finish()?;
    assert_eq!(summary.file_bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(summary.tables[0].rows, rows.len() as u64);
    Ok(Database::open(&file).unwrap())
}

/// All rows of a table as text, with their keys, in row key order.
fn read(database: &Database, position: usize) -> Vec<(i64, String)> {
    let table = &database.tables()[position];
    let mut rows = database.rows(table);
    let mut all = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        all.push((row.key, line(table.definition(), &row.values)));
    }
    all
}

fn line(table: &TableDefinition, row: &[Value<'_>]) -> String {
    assert_eq!(row.len(), table.columns.len());
    let cells: Vec<String> = table
        .columns
        .iter()
        .zip(row)
        .map(|(column, value)| cell(&column.sql_type, value))
        .collect();
    cells.join("\t")
}

/// Row keys of an index in its order; `None` if it has no map.
fn entries(database: &Database, name: &str) -> Option<Vec<i64>> {
    let index = database
        .indexes()
        .iter()
        .find(|index| index.name.starts_with(name))
        .unwrap();
    let mut entries = database.index_entries(index).unwrap()?;
    let mut keys = Vec::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        keys.push(entry.row_key);
    }
    Some(keys)
}

fn generated() -> impl Strategy<Value = (TableDefinition, Rows)> {
    let columns = prop::collection::vec((prop::sample::select(every_type()), any::<bool>()), 1..7);
    columns
        .prop_flat_map(|columns| {
            let mut made = table("T");
            for (n, (sql_type, nullable)) in columns.into_iter().enumerate() {
                let name = format!("C{n}");
                made.columns.push(if nullable {
                    column(&name, sql_type)
                } else {
                    required(&name, sql_type)
                });
            }
            let row: Vec<_> = made
                .columns
                .iter()
                .map(|column| any_value(&column.sql_type, column.nullability))
                .collect();
            (Just(made), prop::collection::vec(row, 0..40), any::<Index>())
        })
        .prop_map(|(mut made, rows, place)| {
            let key = place.get(&made.columns);
            if values::can_be_key(&key.sql_type) {
                made.indexes
                    .push(index("IX", Uniqueness::NonUnique, &[(&key.name, 2)]));
            }
            (made, rows)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_types_read_back_as_written((table, rows) in generated()) {
        let folder = tempfile::tempdir().unwrap();
        let expected: Vec<_> = rows.iter().zip(1..).map(|(row, key)| (key, line(&table, row))).collect();
        let indexed = !table.indexes.is_empty();
        let database = write_one(folder.path(), table.clone(), &rows).unwrap();
        prop_assert_eq!(&database.definition().tables[0], &table);
        prop_assert_eq!(read(&database, 0), expected);
        if indexed {
            let mut keys = entries(&database, "IX").unwrap();
            keys.sort_unstable();
            prop_assert_eq!(keys, (1..=i64::try_from(rows.len()).unwrap()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_in_any_order_of_their_key_are_all_there(keys in prop::collection::hash_set(any::<i16>(), 1..300), sorted in 0_usize..300) {
        let folder = tempfile::tempdir().unwrap();
        let mut keys: Vec<i32> = keys.into_iter().map(i32::from).collect();
        let sorted = sorted.min(keys.len());
        keys[..sorted].sort_unstable();
        let mut definition = keyed("T", vec![column("NAME", SqlType::Varchar(20))]);
        definition.indexes.push(index("IX", Uniqueness::NonUnique, &[("NAME", 2)]));
        let rows: Rows = keys.iter().map(|key| vec![Value::Integer(*key), text(format!("n{}", key / 10))]).collect();
        let database = write_one(folder.path(), definition.clone(), &rows).unwrap();
        // In the order of the key the key is the row key, and needs no index.
        let found = read(&database, 0);
        let pushed: Vec<String> = rows.iter().map(|row| line(&definition, row)).collect();
        prop_assert_eq!(found.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(), pushed);
        match entries(&database, "PRIMARY_KEY") {
            None => {
                prop_assert!(keys.is_sorted());
                prop_assert!(found.iter().map(|(key, _)| *key).eq(keys.iter().map(|key| i64::from(*key))));
            }
            Some(entries) => {
                prop_assert!(!keys.is_sorted());
                let id_of = |row_key| keys[found.binary_search_by_key(&row_key, |(key, _)| *key).unwrap()];
                let by_index: Vec<i32> = entries.into_iter().map(id_of).collect();
                keys.sort_unstable();
                prop_assert_eq!(by_index, keys);
            }
        }
        prop_assert_eq!(entries(&database, "IX").unwrap().len(), rows.len());
    }
}

#[test]
fn several_tables_are_written_at_once_by_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("threads.mv.db");
    let tables = (0..8)
        .map(|n| {
            let mut table = keyed(
                &format!("T{n}"),
                vec![
                    column("NAME", SqlType::Varchar(100)),
                    column("BODY", SqlType::Clob),
                ],
            );
            table
                .indexes
                .push(index(&format!("IX{n}"), Uniqueness::NonUnique, &[("NAME", 5)]));
            table
        })
        .collect();
    let definition = Definition {
        tables,
        ..Definition::default()
    };
    let options = WriteOptions {
        sort_memory_bytes: 1 << 20,
        chunk_bytes: 128 * 1024,
        inline_lob_bytes_max: 500,
        ..WriteOptions::default()
    };
    let db = DatabaseWriter::create(&file, definition.clone(), options).unwrap();
    let row = |table: usize, id: i32| {
        let body = "é".repeat(usize::try_from(id % 20).unwrap() * 30);
        vec![
            Value::Integer(id),
            text(format!("{}", id.wrapping_mul(-1_640_531_527))),
            Value::Clob(Text::Utf8(format!("{table}{body}").into())),
        ]
    };
    std::thread::scope(|scope| {
        for position in 0..8 {
            let db = &db;
            scope.spawn(move || {
                let mut writer = db.table(position).unwrap();
                (1..=800).for_each(|id| writer.push(&row(position, id)).unwrap());
                writer.finish().unwrap();
            });
        }
    });
    db.finish().unwrap();
    let database = Database::open(&file).unwrap();
    for position in 0..8 {
        let expected: Vec<_> = (1..=800)
            .map(|id| {
                (
                    i64::from(id),
                    line(&definition.tables[position], &row(position, id)),
                )
            })
            .collect();
        assert!(read(&database, position) == expected, "{position}");
        let order = entries(&database, &format!("IX{position}")).unwrap();
        let name = |key: i64| {
            (i32::try_from(key).unwrap())
                .wrapping_mul(-1_640_531_527)
                .to_string()
        };
        assert!(order.is_sorted_by(|left, right| name(*left) >= name(*right)));
        assert_eq!(order.len(), 800);
    }
}

#[test]
fn a_row_that_does_not_fit_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.mv.db");
    let mut table = keyed(
        "T",
        vec![
            required("NAME", SqlType::Varchar(3)),
            column(
                "AMOUNT",
                SqlType::Numeric {
                    precision: 4,
                    scale: 2,
                },
            ),
        ],
    );
    table.columns.push(column("AT", SqlType::Timestamp(0)));
    let db = create(&file, &one_table(table));
    let mut writer = db.table(0).unwrap();
    let name = |name: &str| text(name.to_owned());
    let amount = |scale, unscaled| {
        Value::Numeric(metaferry_h2_file::Decimal {
            scale,
            unscaled: metaferry_h2_file::Unscaled::Small(unscaled),
        })
    };
    let good = [Value::Integer(1), name("a"), amount(2, 9999), Value::Null];
    writer.push(&good).unwrap();
    let day = metaferry_h2_file::Date {
        year: 2024,
        month: 1,
        day: 1,
    };
    let at = Value::Timestamp(day, metaferry_h2_file::TimeOfDay { nanos: 1 });
    let bad: [(Vec<Value<'_>>, &str, &str); 7] = [
        (
            vec![Value::Integer(2), Value::Null, Value::Null, Value::Null],
            "NAME",
            "NOT NULL",
        ),
        (
            vec![Value::Integer(2), name("a\u{1F600}b"), Value::Null, Value::Null],
            "NAME",
            "4 UTF-16 units",
        ),
        (
            vec![Value::BigInt(2), name("a"), Value::Null, Value::Null],
            "ID",
            "INTEGER",
        ),
        (
            vec![Value::Integer(2), name("a"), amount(1, 5), Value::Null],
            "AMOUNT",
            "scale 1",
        ),
        (
            vec![Value::Integer(2), name("a"), amount(2, 10_000), Value::Null],
            "AMOUNT",
            "4 digits",
        ),
        (
            vec![Value::Integer(2), name("a"), Value::Null, at],
            "AT",
            "fraction digits",
        ),
        (vec![Value::Integer(2)], "*", "1 values"),
    ];
    for (row, named, said) in &bad {
        match writer.push(row) {
            Err(WriteError::Row {
                table,
                row: 2,
                column,
                problem,
            }) => {
                assert_eq!((table.as_str(), column.as_str()), ("PUBLIC.T", *named));
                assert!(problem.contains(said), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
    writer
        .push(&[Value::Integer(2), name("b"), Value::Null, Value::Null])
        .unwrap();
    writer.finish().unwrap();
    db.finish().unwrap();
    let rows = read(&Database::open(&file).unwrap(), 0);
    assert_eq!(
        rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>(),
        ["1\ttext:a\tnumeric:9999 e2\tnull", "2\ttext:b\tnull\tnull"]
    );
}

#[test]
fn two_rows_with_one_key_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let duplicate = |table: TableDefinition, rows: &Rows| match write_one(folder.path(), table, rows) {
        Err(WriteError::DuplicateKey {
            table,
            index,
            first,
            second,
        }) => (table, index, first, second),
        other => panic!("{other:?}"),
    };
    let named = |id: i32, name: Option<&str>| {
        vec![
            Value::Integer(id),
            name.map_or(Value::Null, |name| text(name.to_owned())),
        ]
    };
    let plain = keyed("T", vec![column("NAME", SqlType::Varchar(20))]);
    // At once, and after the rows have lost their order.
    let key = duplicate(
        plain.clone(),
        &vec![named(1, None), named(5, None), named(5, None)],
    );
    assert_eq!((key.0.as_str(), key.2, key.3), ("PUBLIC.T", 5, 5));
    let key = duplicate(
        plain.clone(),
        &vec![named(1, None), named(5, None), named(3, None), named(1, None)],
    );
    assert_eq!((key.0.as_str(), key.2, key.3), ("PUBLIC.T", 1, 7));
    assert!(key.1.starts_with("PRIMARY_KEY"));
    let mut unique_name = plain;
    unique_name.uniques.push(unique("UQ", &["NAME"]));
    let key = duplicate(
        unique_name.clone(),
        &vec![named(1, Some("x")), named(2, Some("y")), named(3, Some("x"))],
    );
    assert_eq!((key.2, key.3), (1, 3));
    assert!(key.1.starts_with("UQ_INDEX"));
    // NULLs are not the same key.
    write_one(folder.path(), unique_name, &vec![named(1, None), named(2, None)]).unwrap();
    let mut two = table("T");
    two.columns = vec![required("A", SqlType::SmallInt), required("B", SqlType::Char(4))];
    two.primary_key = Some(primary_key("PK", &["B", "A"]));
    let row = |b: &'static str| vec![Value::SmallInt(1), Value::Char(Text::Utf8(b.into()))];
    let key = duplicate(two, &vec![row("x"), row("y"), row("x ")]);
    assert_eq!((key.2, key.3), (1, 3));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left of any attempt"
    );
}

#[test]
fn targets_are_never_overwritten_and_leftovers_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.mv.db");
    let definition = one_table(keyed("T", vec![]));
    fs::write(folder.path().join("t.mv.db.partial"), "left by a killed writer").unwrap();
    // Killed between giving the file its name and taking the other away; then the file was moved.
    fs::hard_link(
        folder.path().join("t.mv.db.partial"),
        folder.path().join("moved.mv.db"),
    )
    .unwrap();
    let db = create(&file, &definition);
    assert_eq!(
        fs::read(folder.path().join("moved.mv.db")).unwrap(),
        b"left by a killed writer"
    );
    fs::remove_file(folder.path().join("moved.mv.db")).unwrap();
    let second = DatabaseWriter::create(&file, definition.clone(), WriteOptions::default());
    assert!(matches!(second, Err(WriteError::TargetBusy { .. })), "{second:?}");
    fs::write(&file, "came meanwhile").unwrap();
    assert!(matches!(db.finish(), Err(WriteError::TargetExists { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"came meanwhile");
    let third = DatabaseWriter::create(&file, definition.clone(), WriteOptions::default());
    assert!(matches!(third, Err(WriteError::TargetExists { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::remove_file(&file).unwrap();
    let db = create(&file, &definition);
    let abandoned = db.table(0).unwrap();
    drop(abandoned);
    assert!(matches!(db.table(0), Err(WriteError::TableState { .. })));
    assert!(matches!(db.finish(), Err(WriteError::TableState { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn definitions_that_h2_would_refuse_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |definition: Definition| match DatabaseWriter::create(
        &folder.path().join("d.mv.db"),
        definition,
        WriteOptions::default(),
    ) {
        Err(WriteError::Definition { object, problem }) => format!("{object}: {problem}"),
        other => panic!("{other:?}"),
    };
    let mut missing = keyed("T", vec![]);
    missing.primary_key = Some(primary_key("PK", &["NO"]));
    assert!(refused(one_table(missing)).contains("PUBLIC.T: a key names column NO"));
    let mut lob = keyed("T", vec![column("C", SqlType::Clob)]);
    lob.indexes.push(index("IX", Uniqueness::NonUnique, &[("C", 2)]));
    assert!(refused(one_table(lob)).contains("column C"));
    let mut orphan = keyed("T", vec![column("P", SqlType::Integer)]);
    let action = metaferry_h2_file::definition::ReferentialAction::Restrict;
    orphan
        .foreign_keys
        .push(schema::foreign_key("FK", "P", "NOWHERE", action));
    assert!(refused(one_table(orphan)).contains("FK leads to no table"));
    let twice = Definition {
        tables: vec![keyed("T", vec![]), keyed("T", vec![])],
        ..Definition::default()
    };
    assert!(refused(twice).contains("occurs twice"));
    let mut long = keyed("T", vec![column("C", SqlType::Varchar(1_000_000_001))]);
    assert!(refused(one_table(long.clone())).contains("column C: length 1000000001 is not 1 to 1000000000"));
    long.columns[1] = column(&"n".repeat(257), SqlType::Boolean);
    assert!(refused(one_table(long)).contains("longer than H2's 256"));
    let mut elsewhere = keyed("T", vec![]);
    elsewhere.schema = "S".to_owned();
    assert!(refused(one_table(elsewhere)).contains("schema"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The writer goes on syncing when nobody waits any more; then its file came back after it had been removed.
#[test]
fn a_file_that_nobody_waits_for_never_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unwanted.mv.db");
    let definition = Definition::default();
    let writer = DatabaseWriter::create(&path, definition.clone(), WriteOptions::default()).unwrap();
    let gate = PublishGate::default();
    gate.close();
    assert!(matches!(writer.finish_through(&gate), Err(WriteError::Unwanted)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let writer = DatabaseWriter::create(&path, definition, WriteOptions::default()).unwrap();
    writer.finish_through(&PublishGate::default()).unwrap();
    assert!(path.exists());
}
