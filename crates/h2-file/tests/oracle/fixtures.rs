//! The fixture databases that H2 wrote, written again.

use std::path::Path;

use metaferry_h2_file::{Compression, Database, WriteOptions, WriteUser};

use crate::app_db::rewrite;
use crate::harness::Oracle;

/// Files whose definitions and rows a writer can take over as they are read.
const FIXTURES: [&str; 7] = [
    "all_types",
    "lobs",
    "lob_indirect",
    "churn",
    "index_order",
    "compressed_lobs",
    "compacted",
];

/// All rows, by real H2. `options` are of its URL.
pub(crate) fn everything(h2: &mut Oracle, file: &Path, options: &str) -> Vec<String> {
    h2.run(&format!("!connect {} SA", crate::harness::url(file, options)));
    let mut rows = Vec::new();
    for table in h2.run("SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA <> 'INFORMATION_SCHEMA' ORDER BY 1, 2") {
        let (schema, name) = table.split_once('\t').unwrap();
        let quoted = |cell: &str| format!("\"{}\"", cell.strip_prefix("text:").unwrap());
        rows.push(table.clone());
        let mut found = h2.run(&format!("SELECT * FROM {}.{}", quoted(schema), quoted(name)));
        found.sort_unstable();
        rows.extend(found);
    }
    h2.run("!close");
    rows
}

#[test]
fn databases_of_h2s_own_written_again_have_the_same_rows() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in FIXTURES {
        let original = folder.path().join(format!("{name}.mv.db"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(format!("{name}.mv.db"));
        std::fs::copy(&source, &original).unwrap();
        let copy = folder.path().join(format!("{name}-copy.mv.db"));
        let source = Database::open(&source).unwrap();
        // The user that the oracle comes with.
        let user = WriteUser::with_password("SA", "", [9; 8]);
        let expected = everything(&mut h2, &original, ";ACCESS_MODE_DATA=r");
        assert!(expected.len() > 1, "{name}");
        for compression in [Compression::None, Compression::Lzf] {
            let options = WriteOptions {
                user: user.clone(),
                compression,
                ..WriteOptions::default()
            };
            rewrite(&source, &copy, options);
            let place = format!("{name}, {compression:?}");
            assert!(
                everything(&mut h2, &copy, ";ACCESS_MODE_DATA=r") == expected,
                "{place}"
            );
            // H2 opens it to write, packs it anew, and closes it.
            h2.run(&format!("!connect {} SA", crate::harness::url(&copy, "")));
            h2.run("SHUTDOWN COMPACT");
            assert!(
                everything(&mut h2, &copy, "") == expected,
                "{place}, compacted by H2"
            );
            std::fs::remove_file(&copy).unwrap();
        }
    }
}
