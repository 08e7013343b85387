//! Files that were not finished, or that lost their end: H2 must refuse them, and above all never take them for an
//! empty database.

use std::fs;
use std::path::Path;

use metaferry_h2_file::definition::{Definition, Uniqueness};
use metaferry_h2_file::{DatabaseWriter, SqlType, Text, Value, WriteOptions};

use crate::harness::{Oracle, url};
use crate::schema::{column, index, keyed};
use crate::{Rows, write};

fn definition() -> Definition {
    let mut table = keyed(
        "T",
        vec![
            column("NAME", SqlType::Varchar(200)),
            column("BODY", SqlType::Clob),
        ],
    );
    table
        .indexes
        .push(index("IX", Uniqueness::NonUnique, &[("NAME", 2)]));
    Definition {
        tables: vec![table],
        ..Definition::default()
    }
}

fn rows(count: i32) -> Rows {
    (1..=count)
        .map(|id| {
            let text = |length| Text::Utf8(format!("{id:0length$}").into());
            vec![
                Value::Integer(id),
                Value::Varchar(text(50)),
                Value::Clob(text(2000)),
            ]
        })
        .collect()
}

/// Opens a damaged file; an error is right, and so is every row, but nothing in between.
#[track_caller]
fn refused_or_whole(h2: &mut Oracle, file: &Path, count: i32) -> bool {
    match h2.ask(&format!("!connect {}", url(file, ";ACCESS_MODE_DATA=r"))) {
        Err(_) => true,
        Ok(_) => {
            let found = h2.ask("SELECT COUNT(*), COUNT(NAME), COUNT(BODY) FROM T");
            assert!(
                found
                    .as_ref()
                    .is_ok_and(|answer| answer.rows == [format!("{count}\t{count}\t{count}")]),
                "opened as something else: {found:?}"
            );
            h2.run("!close");
            false
        }
    }
}

#[test]
fn a_truncated_file_is_never_another_database() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, count, chunk_bytes) in [("many", 300, 64 * 1024), ("one", 20, 4 << 20)] {
        let file = folder.path().join(format!("{name}.mv.db"));
        write(
            &file,
            &definition(),
            &[rows(count)],
            WriteOptions {
                chunk_bytes,
                ..WriteOptions::default()
            },
        );
        let whole = fs::read(&file).unwrap();
        let cut = folder.path().join("cut.mv.db");
        let mut refused = 0;
        let mut cuts = 0;
        // Block by block near the end, where the last two chunks are, and coarser before; and odd lengths.
        let blocks = whole.len() / 4096;
        let lengths = (2..blocks).filter(|block| *block < 6 || blocks - block < 40 || block % 8 == 0);
        for length in lengths
            .map(|block| block * 4096)
            .chain([8193, whole.len() - 1, whole.len() - 4095])
        {
            fs::write(&cut, &whole[..length]).unwrap();
            cuts += 1;
            refused += i32::from(refused_or_whole(&mut h2, &cut, count));
        }
        assert_eq!(
            refused, cuts,
            "{name}: a file without its end must not open at all"
        );
    }
}

#[test]
fn an_unfinished_file_is_no_database() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unfinished.mv.db");
    let options = WriteOptions {
        chunk_bytes: 64 * 1024,
        ..WriteOptions::default()
    };
    let db = DatabaseWriter::create(&file, definition(), options).unwrap();
    let mut table = db.table(0).unwrap();
    rows(300).iter().for_each(|row| table.push(row).unwrap());
    let killed = folder.path().join("killed.mv.db");
    let partial = folder.path().join("unfinished.mv.db.partial");
    fs::copy(&partial, &killed).unwrap();
    assert!(
        fs::metadata(&killed).unwrap().len() > 300_000,
        "chunks are in the file"
    );
    assert!(refused_or_whole(&mut h2, &killed, -1));
    table.finish().unwrap();
    fs::copy(&partial, &killed).unwrap();
    assert!(refused_or_whole(&mut h2, &killed, -1));
    assert!(!file.exists());
    drop(db);
    assert!(!partial.exists());
}

#[test]
fn a_lost_header_block_does_no_harm_and_both_lost_are_refused() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("header.mv.db");
    write(&file, &definition(), &[rows(50)], WriteOptions::default());
    let mut bytes = fs::read(&file).unwrap();
    bytes[..4096].fill(0);
    fs::write(&file, &bytes).unwrap();
    assert!(!refused_or_whole(&mut h2, &file, 50));
    bytes[..8192].fill(0);
    fs::write(&file, &bytes).unwrap();
    assert!(refused_or_whole(&mut h2, &file, 50));
}
