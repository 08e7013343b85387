//! A real app DB: 94 tables and 13 views, every row compared with sums that another program made.

use std::path::PathBuf;
use std::process::Command;

use crate::database::TestDatabase;
use crate::reading::sum_of;

fn fixtures() -> Option<PathBuf> {
    let shared = std::env::var_os("METAFERRY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    Some(shared.join("fixtures/appdb")).filter(|folder| folder.is_dir())
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
async fn every_row_of_a_real_app_db_is_read() {
    let Some(folder) = fixtures() else {
        eprintln!("SKIPPED: no fixtures (METAFERRY_SHARED)");
        return;
    };
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    let loaded = Command::new("sh")
        .args([
            "-c",
            "gunzip -c \"$0\" | psql -q -v ON_ERROR_STOP=1 -d \"$1\" >/dev/null",
        ])
        .arg(folder.join("appdb-s001.postgres.sql.gz"))
        .arg(&database.url)
        .status();
    if !loaded.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: psql could not load the fixture");
        return database.drop().await;
    }
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected-s001.json")).unwrap()).unwrap();
    let expected = expected["tables"].as_object().unwrap();
    let snapshot = database.snapshot().await;
    let catalogue = snapshot.catalogue();
    assert_eq!(catalogue.tables.len(), 94);
    assert_eq!(
        catalogue
            .tables
            .iter()
            .map(|table| table.columns.len())
            .sum::<usize>(),
        818
    );
    assert_eq!(catalogue.views.len(), 13);
    assert!(
        catalogue.table("databasechangelog").is_some() && catalogue.table("databasechangeloglock").is_some()
    );
    assert!(
        catalogue
            .table("metabase_field")
            .unwrap()
            .column("unique_field_helper")
            .unwrap()
            .is_generated()
    );
    for (name, expected) in expected {
        let table = catalogue.table(name).unwrap();
        let (rows, sum) = sum_of(&*snapshot, table).await;
        assert_eq!(rows, expected["rows"].as_u64().unwrap(), "rows of {name}");
        assert_eq!(sum, expected["sha256"].as_str().unwrap(), "content of {name}");
        assert_eq!(snapshot.count(name).await.unwrap(), rows);
    }
    snapshot.close().await.unwrap();
    database.drop().await;
}
