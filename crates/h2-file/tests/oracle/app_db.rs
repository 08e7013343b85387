//! Real databases of H2's own, read by the crate's reader and written again: H2 must see no difference.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use metaferry_h2_file::{Database, DatabaseWriter, OpenOptions, WriteOptions};

use crate::harness::{self, Oracle};

/// A shared fixture, unpacked, or `None` with a loud word.
fn shared(file: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("METAFERRY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = folder.join("fixtures/appdb").join(file);
    let Ok(packed) = fs::File::open(&path) else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {} is not there; set METAFERRY_SHARED",
            path.display()
        );
        return None;
    };
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap();
    Some(bytes)
}

/// Writes everything in `source` to `file`, with rows in the order that they are found.
pub(crate) fn rewrite(source: &Database, file: &Path, options: WriteOptions) {
    let db = DatabaseWriter::create(file, source.definition().clone(), options).unwrap();
    for (position, table) in source.tables().iter().enumerate() {
        assert_eq!(table.definition(), &source.definition().tables[position]);
        let mut writer = db.table(position).unwrap();
        let mut rows = source.rows(table);
        while let Some(row) = rows.next_row().unwrap() {
            writer.push(&row.values).unwrap();
        }
        writer.finish().unwrap();
    }
    db.finish().unwrap();
}

/// The statements of a SCRIPT, without the estimates of row counts.
fn script(h2: &mut Oracle, command: &str) -> BTreeSet<String> {
    h2.run(command)
        .into_iter()
        .filter(|line| !line.starts_with("text:-- "))
        .collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[test]
fn a_real_application_database_written_again_is_the_same_to_h2() {
    let Some(mut h2) = Oracle::start() else { return };
    let Some(bytes) = shared("appdb-s001.h2.mv.db.gz") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original.mv.db");
    fs::write(&original, &bytes).unwrap();
    let copy = folder.path().join("copy.mv.db");
    let source = OpenOptions::default().open_bytes(bytes).unwrap();
    rewrite(&source, &copy, WriteOptions::default());
    let written = fs::read(&copy).unwrap();

    // The database says DB_CLOSE_DELAY -1, so only SHUTDOWN closes it.
    h2.connect(&original, ";ACCESS_MODE_DATA=r");
    let (schema, everything) = (script(&mut h2, "SCRIPT NODATA"), script(&mut h2, "SCRIPT"));
    h2.run("SHUTDOWN");
    h2.connect(&copy, ";ACCESS_MODE_DATA=r");
    let copied = script(&mut h2, "SCRIPT NODATA");
    let differing: Vec<_> = schema.symmetric_difference(&copied).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(script(&mut h2, "SCRIPT") == everything);
    h2.run("SHUTDOWN");
    assert!(fs::read(&copy).unwrap() == written);

    // Opening it for writing rebuilds and rewrites nothing.
    h2.connect(&copy, "");
    h2.run("SHUTDOWN");
    let grown = fs::metadata(&copy).unwrap().len() - written.len() as u64;
    assert!(grown < 64 * 1024, "{grown}");

    every_index_gives_every_row(&mut h2, &copy);
    h2.connect(&copy, "");
    let highest = h2.run("SELECT MAX(ID) + 1 FROM COLLECTION");
    h2.run("INSERT INTO COLLECTION(NAME, SLUG) VALUES('new', 'new')");
    assert_eq!(h2.run("SELECT ID FROM COLLECTION WHERE SLUG = 'new'"), highest);
    h2.refuse("DELETE FROM CORE_USER", "23503");
    h2.refuse("INSERT INTO CORE_USER(ID, EMAIL, PASSWORD, DATE_JOINED, IS_SUPERUSER, IS_ACTIVE) SELECT MIN(ID), 'a', 'b', NOW(), TRUE, TRUE FROM CORE_USER", "23505");
    h2.run("UPDATE REPORT_CARD SET NAME = NAME || 'x', DESCRIPTION = REPEAT('d', 100000)");
    h2.run("DELETE FROM DATA_PERMISSIONS");
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&copy, "");
    assert_eq!(h2.run("SELECT COUNT(*) FROM DATA_PERMISSIONS"), ["0"]);
    assert_eq!(
        h2.run("SELECT MIN(LENGTH(DESCRIPTION)) FROM REPORT_CARD"),
        ["100000"]
    );
    h2.run("SHUTDOWN");
    assert!(harness::recover(&copy) > 100_000);
}

/// Each index has the rows of a full scan, in the order that H2 sorts them.
fn every_index_gives_every_row(h2: &mut Oracle, file: &Path) {
    let database = Database::open(file).unwrap();
    h2.connect(file, ";ACCESS_MODE_DATA=r");
    let (mut compared, mut taken) = (0, 0);
    for table in database.tables() {
        let definition = table.definition();
        let name = format!("{}.{}", quoted(&definition.schema), quoted(&definition.name));
        for index in database
            .indexes()
            .iter()
            .filter(|index| index.table == table.id())
        {
            let columns: Vec<String> = index
                .columns
                .iter()
                .map(|column| {
                    let order = match column.sort_type {
                        0 | 2 => "NULLS FIRST",
                        1 | 5 => "DESC NULLS LAST",
                        3 => "DESC NULLS FIRST",
                        _ => "NULLS LAST",
                    };
                    format!("{} {order}", quoted(&column.name))
                })
                .collect();
            let order = columns.join(", ");
            let by_sort = h2.run(&format!(
                "SELECT _ROWID_ FROM {name} USE INDEX() ORDER BY {order}, _ROWID_"
            ));
            // What is in the file, and what H2 makes of it where it takes this index.
            if let Some(mut entries) = database.index_entries(index).unwrap() {
                let mut in_file = Vec::new();
                while let Some(entry) = entries.next_entry().unwrap() {
                    in_file.push(entry.row_key.to_string());
                }
                assert!(in_file == by_sort, "{} of {name}", index.name);
            }
            let select = format!(
                "SELECT _ROWID_ FROM {name} USE INDEX({}) ORDER BY {order}",
                quoted(&index.name)
            );
            let plan = h2.run(&format!("EXPLAIN {select}")).join("");
            if plan.contains(&format!(".{} */", index.name)) && plan.contains("index sorted") {
                assert!(h2.run(&select) == by_sort, "{} of {name}", index.name);
                taken += 1;
            }
            compared += 1;
        }
    }
    assert!(compared > 200 && taken > 150, "{compared} {taken}");
    h2.run("SHUTDOWN");
}
