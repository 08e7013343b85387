//! Files of H2's own that were cut: what is still read of them is what H2 itself would go back to.

use std::path::Path;

use metaferry_h2_file::{Database, OlderVersion, OpenOptions};

use crate::harness::Oracle;
use crate::values::cell;

/// Files in format 2 that H2 can be asked about, encrypted ones apart.
const FIXTURES: [&str; 8] = [
    "churn",
    "compressed",
    "unclean",
    "uncommitted",
    "compressed_lobs",
    "lobs",
    "all_types",
    "compacted",
];
const BLOCK: usize = 4096;

/// All visible columns of all tables, as the oracle prints them.
fn everything(database: &Database) -> Vec<String> {
    let mut tables: Vec<_> = database.tables().iter().collect();
    tables.sort_by_key(|table| (table.definition().schema.clone(), table.definition().name.clone()));
    let mut all = Vec::new();
    for table in tables {
        let definition = table.definition();
        all.push(format!("text:{}\ttext:{}", definition.schema, definition.name));
        let mut found = Vec::new();
        let mut rows = database.rows(table);
        while let Some(row) = rows.next_row().unwrap() {
            let visible = definition.columns.iter().zip(&row.values).filter(|(column, _)| {
                column.visibility == metaferry_h2_file::definition::Visibility::Visible
            });
            let cells: Vec<_> = visible
                .map(|(column, value)| cell(&column.sql_type, value))
                .collect();
            found.push(cells.join("\t"));
        }
        found.sort_unstable();
        all.extend(found);
    }
    all
}

#[test]
fn what_is_read_of_a_cut_file_is_what_h2_goes_back_to() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.mv.db");
    let mut compared = 0;
    for name in FIXTURES {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.mv.db"));
        let whole = std::fs::read(original).unwrap();
        for length in (BLOCK..=whole.len()).step_by(BLOCK) {
            let salvage = OpenOptions {
                older_version: OlderVersion::Accept,
                ..OpenOptions::default()
            };
            let Ok(database) = salvage.open_bytes(whole[..length].to_vec()) else {
                continue;
            };
            if database.tables().is_empty() {
                // A version from before the first user was made: there is no way to log in.
                continue;
            }
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(
                everything(&database) == crate::fixtures::everything(&mut h2, &file, ""),
                "{name} cut to {length} bytes: {:?}",
                database.facts().health
            );
            compared += 1;
        }
    }
    assert!(
        compared > FIXTURES.len() + 5,
        "only {compared} cuts were compared"
    );
}
