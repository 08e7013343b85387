//! A real app DB: 94 tables and 13 views, every row compared with sums that another program made.

use std::path::PathBuf;
use std::process::Command;

use metaferry_domain::ports::{RowOrder, Snapshot};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Table;
use sha2::{Digest as _, Sha256};

use crate::database::{TestDatabase, whole};

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

/// Rows and sum in the fixtures' canonical form (their README).
async fn sum_of(snapshot: &dyn Snapshot, table: &Table) -> (u64, String) {
    let mut read = whole(snapshot, &table.name.key(), RowOrder::Any);
    read.columns.retain(|&at| !table.columns[at].is_generated());
    read.columns.sort_by_key(|&at| table.columns[at].name.key());
    let mut reader = snapshot.read(&read).await.unwrap();
    let mut batch = RowBatch::default();
    let mut lines = Vec::new();
    loop {
        reader.next(&mut batch, 1 << 16).await.unwrap();
        if batch.rows() == 0 {
            break;
        }
        lines.extend(
            (0..batch.rows()).map(|row| batch.row(row).map(canonical).collect::<Vec<_>>().join("\t") + "\n"),
        );
    }
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line);
    }
    (lines.len() as u64, hex::encode(hash.finalize()))
}

fn canonical(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "\\N".to_owned(),
        Cell::Boolean(value) => if value { "t" } else { "f" }.to_owned(),
        Cell::Int(value) => value.to_string(),
        Cell::Decimal(text) => text.to_owned(),
        Cell::Text(text) => text
            .replace('\\', "\\\\")
            .replace('\t', "\\t")
            .replace('\n', "\\n")
            .replace('\r', "\\r"),
        Cell::Bytes(bytes) => hex::encode(bytes),
        Cell::Timestamp(instant) | Cell::TimestampTz(instant, _) => utc(instant.micros),
        other => panic!("the fixture has no such type: {other:?}"),
    }
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`, for the years since 1970.
fn utc(micros: i64) -> String {
    let (mut days, rest) = (
        micros.div_euclid(86_400_000_000),
        micros.rem_euclid(86_400_000_000),
    );
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z",
        days + 1
    )
}
