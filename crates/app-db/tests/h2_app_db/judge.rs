//! A whole copy of an app DB in an H2 file, and what H2 must show of it.

use std::path::{Path, PathBuf};

use metaferry_app_db::h2::H2Target;
use metaferry_domain::ports::{RowOrder, Snapshot, Source, TableRead, Target as _};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Catalogue;
use sha2::{Digest as _, Sha256};

use crate::oracle::Oracle;

/// Columns whose text lists come in an order that neither database promises.
pub(crate) const LISTS: [&str; 2] = ["recipients", "recipient_external"];

/// Rows of a batch, in bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// What a copy has made.
pub(crate) struct Copied {
    /// Removed when this is dropped.
    _folder: tempfile::TempDir,
    pub(crate) file: PathBuf,
    pub(crate) catalogue: Catalogue,
    pub(crate) notes: Vec<String>,
}

/// The folder of the app DB fixtures.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn fixtures() -> Option<PathBuf> {
    let shared = std::env::var_os("METAFERRY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("fixtures/appdb");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no fixtures in {} (METAFERRY_SHARED)", folder.display());
        return None;
    }
    Some(folder)
}

/// Everything but generated columns into a new H2 file.
pub(crate) async fn copy(source: &dyn Source) -> Copied {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app-db.mv.db");
    let snapshot = source.snapshot().await.unwrap();
    let mut target = Box::new(H2Target::new(&file));
    let catalogue = snapshot.catalogue().clone();
    let notes = target.prepare(&catalogue).await.unwrap();
    for table in &catalogue.tables {
        let columns: Vec<usize> = (0..table.columns.len())
            .filter(|at| !table.columns[*at].is_generated())
            .collect();
        copy_table(snapshot.as_ref(), &target, &table.name.key(), columns).await;
    }
    target.finish().await.unwrap();
    snapshot.close().await.unwrap();
    Copied {
        _folder: folder,
        file,
        catalogue,
        notes,
    }
}

async fn copy_table(snapshot: &dyn Snapshot, target: &H2Target, table: &str, columns: Vec<usize>) {
    let read = TableRead {
        table: table.to_owned(),
        columns,
        order: RowOrder::Any,
    };
    let mut reader = snapshot.read(&read).await.unwrap();
    let mut writer = target.table(table, &read.columns).await.unwrap();
    let mut batch = RowBatch::default();
    loop {
        reader.next(&mut batch, BATCH_BYTES).await.unwrap();
        if batch.rows() == 0 {
            break;
        }
        writer.write(&batch).await.unwrap();
    }
    writer.finish().await.unwrap();
}

/// Is every table of the file what the generator of the fixture says it is?
pub(crate) fn assert_rows(file: &Path, catalogue: &Catalogue) {
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixtures().unwrap().join("expected-s001.json")).unwrap())
            .unwrap();
    let expected = expected["tables"].as_object().unwrap();
    let queries: Vec<(String, String)> = catalogue
        .tables
        .iter()
        .filter(|table| expected.contains_key(&table.name.key()))
        .map(|table| {
            let mut columns: Vec<_> = table
                .columns
                .iter()
                .filter(|column| !column.is_generated())
                .collect();
            columns.sort_by_key(|column| column.name.key());
            let columns: Vec<String> = columns
                .iter()
                .map(|column| format!("\"{}\"", column.name.as_str().to_uppercase()))
                .collect();
            let (key, name) = (table.name.key(), table.name.as_str().to_uppercase());
            (key, format!("SELECT {} FROM \"{name}\"", columns.join(", ")))
        })
        .collect();
    assert_eq!(queries.len(), expected.len());
    let rows = Oracle::of_h2(file).unwrap().rows(&queries);
    for (table, mut rows) in rows {
        assert_eq!(
            rows.len() as u64,
            expected[&table]["rows"].as_u64().unwrap(),
            "rows of {table}"
        );
        rows.sort_unstable();
        let mut hash = Sha256::new();
        for row in &rows {
            hash.update(row);
            hash.update("\n");
        }
        let sum = hex::encode(hash.finalize());
        assert_eq!(
            sum,
            expected[&table]["sha256"].as_str().unwrap(),
            "content of {table}"
        );
    }
}

/// Rows without their order, and lists in cells without theirs.
pub(crate) fn sorted(rows: &[String], lists: &[usize]) -> Vec<String> {
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut cells: Vec<String> = row.split('\t').map(str::to_owned).collect();
            for list in lists {
                let mut pieces: Vec<&str> = cells[*list].split(',').collect();
                pieces.sort_unstable();
                cells[*list] = pieces.join(",");
            }
            cells.join("\t")
        })
        .collect();
    rows.sort_unstable();
    rows
}
