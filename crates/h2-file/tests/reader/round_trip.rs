//! What was read, written by this crate's writer and read again, is the same.

use metaferry_h2_file::definition::{Definition, ValueSource};
use metaferry_h2_file::{Closure, Database, DatabaseWriter, Row, Text, Value, WriteOptions};

use crate::support::{FIXTURES, open, read_everything};

#[test]
fn definitions_and_rows_survive_writing_and_reading() {
    let folder = tempfile::tempdir().unwrap();
    for name in FIXTURES {
        let source = open(name);
        let path = folder.path().join(format!("{name}.mv.db"));
        let writer = DatabaseWriter::create(&path, source.definition().clone(), WriteOptions::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for (position, table) in source.tables().iter().enumerate() {
            let mut target = writer.table(position).unwrap();
            let mut rows = source.rows(table);
            while let Some(row) = rows.next_row().unwrap() {
                target
                    .push(&row.values)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            target.finish().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        writer.finish().unwrap_or_else(|error| panic!("{name}: {error}"));

        let copy = Database::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(copy.facts().closure, Closure::Clean);
        assert_eq!(
            comparable(copy.definition()),
            comparable(source.definition()),
            "{name}"
        );
        for table in source.tables() {
            let place = format!("{name}.{}", table.definition().name);
            let twin = copy
                .table(&table.definition().schema, &table.definition().name)
                .unwrap();
            let (mut rows, mut twins) = (source.rows(table), copy.rows(twin));
            loop {
                let (row, twin) = (rows.next_row().unwrap(), twins.next_row().unwrap());
                // By their text, because NaN does not equal itself.
                let text = |row: &Option<Row<'_>>| {
                    row.as_ref()
                        .map(|row| format!("{:?}", row.values.iter().map(padding_apart).collect::<Vec<_>>()))
                };
                assert_eq!(text(&row), text(&twin), "{place}");
                if row.is_none() {
                    break;
                }
            }
        }
        read_everything(&copy).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Format 1 holds CHAR values without the spaces at their end; the writer pads them.
fn padding_apart<'v>(value: &'v Value<'v>) -> Value<'v> {
    match value {
        Value::Char(Text::Utf8(text)) => Value::Char(Text::Utf8(text.trim_end_matches(' ').into())),
        other => other.clone(),
    }
}

/// The writer raises identities above the highest value written, and orders catalogue rows its own way.
fn comparable(definition: &Definition) -> Definition {
    let mut definition = definition.clone();
    for table in &mut definition.tables {
        for column in &mut table.columns {
            if let ValueSource::Identity(identity) = &mut column.value_source {
                identity.next = 0;
            }
        }
    }
    definition.other.sort();
    definition
}
