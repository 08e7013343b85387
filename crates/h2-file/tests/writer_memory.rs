//! The writer's memory does not grow with what is written. Alone in its process, because the peak is the process's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "oracle/schema.rs"]
#[expect(dead_code, reason = "other tests define more")]
mod schema;

use metaferry_h2_file::definition::{Definition, Uniqueness};
use metaferry_h2_file::{Database, DatabaseWriter, SqlType, Text, Value, WriteOptions};
use schema::{column, index, keyed};

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_hundred_open_tables_and_a_large_one_fit_in_60_mib() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.mv.db");
    let tables = (0..100)
        .map(|n| {
            let mut table = keyed(
                &format!("T{n}"),
                vec![
                    column("NAME", SqlType::Varchar(200)),
                    column("BODY", SqlType::Clob),
                ],
            );
            table
                .indexes
                .push(index(&format!("IX{n}"), Uniqueness::NonUnique, &[("NAME", 2)]));
            table.indexes.push(index(
                &format!("IY{n}"),
                Uniqueness::NonUnique,
                &[("NAME", 5), ("ID", 2)],
            ));
            table
        })
        .collect();
    let definition = Definition {
        tables,
        ..Definition::default()
    };
    let db = DatabaseWriter::create(&file, definition, WriteOptions::default()).unwrap();
    let mut writers: Vec<_> = (0..100).map(|position| db.table(position).unwrap()).collect();
    let body = "0123456789".repeat(100);
    let mut push = |position: usize, id: i32| {
        let name = format!("{:0100}", id.wrapping_mul(-1_640_531_527));
        let row = [
            Value::Integer(id),
            Value::Varchar(Text::Utf8(name.into())),
            Value::Clob(Text::Utf8(body.as_str().into())),
        ];
        writers[position].push(&row).unwrap();
    };
    // Out of order, so that the primary keys are sorted too; then one table alone.
    for id in (1..=500).rev() {
        (0..100).for_each(|position| push(position, id));
    }
    (501..60_000).for_each(|id| push(7, id));
    writers.into_iter().for_each(|writer| writer.finish().unwrap());
    let summary = db.finish().unwrap();
    let peak = peak_kib();
    assert!(summary.file_bytes > 120_000_000, "{}", summary.file_bytes);
    assert!(peak < 60 * 1024, "{peak} KiB");
    let database = Database::open(&file).unwrap();
    assert_eq!(database.row_count(&database.tables()[7]).unwrap(), 59_999);
}
