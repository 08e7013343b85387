//! A Metabase application database in H2: every table has the rows that were computed from it independently.

use std::io::Read;
use std::path::PathBuf;

use metaferry_h2_file::definition::{ColumnDefinition, ValueSource};
use metaferry_h2_file::{Database, Date, OpenOptions, Row, TimeOfDay, Value};
use sha2::{Digest, Sha256};

use crate::h2_text;
use crate::support::read_everything;

/// The folder of shared fixtures, or a loud word about its absence.
fn shared(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("METAFERRY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = folder.join("fixtures/appdb").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there; set METAFERRY_SHARED", path.display());
    None
}

fn open_compressed(file: &str) -> Option<Database> {
    let packed = std::fs::File::open(shared(file)?).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap();
    Some(OpenOptions::default().open_bytes(bytes).unwrap())
}

#[test]
fn every_table_of_a_dump_has_the_expected_digest() {
    let Some(database) = open_compressed("appdb-s001.h2.mv.db.gz") else {
        return;
    };
    let Some(expected) = shared("expected-s001-h2.json") else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let expected = expected["tables"].as_object().unwrap();
    assert_eq!(database.tables().len(), 94);
    assert_eq!(database.definition().views.len(), 13);
    let mut compared = 0;
    for table in database.tables() {
        let name = table.definition().name.to_lowercase();
        let Some(expected) = expected.get(&name) else {
            continue;
        };
        let columns = &table.definition().columns;
        let mut order: Vec<_> = (0..columns.len())
            .filter(|place| !matches!(columns[*place].value_source, ValueSource::Generated(_)))
            .collect();
        order.sort_by_key(|place| columns[*place].name.to_lowercase());
        let mut lines = Vec::new();
        let mut rows = database.rows(table);
        while let Some(Row { values, .. }) = rows.next_row().unwrap() {
            let fields: Vec<_> = order
                .iter()
                .map(|place| canonical(&values[*place], &columns[*place]))
                .collect();
            lines.push(fields.join("\t") + "\n");
        }
        lines.sort();
        assert_eq!(lines.len() as u64, expected["rows"].as_u64().unwrap(), "{name}");
        assert_eq!(
            hex::encode(Sha256::digest(lines.concat())),
            expected["sha256"].as_str().unwrap(),
            "{name}"
        );
        compared += 1;
    }
    assert_eq!(compared, expected.len());
}

#[test]
fn a_freshly_migrated_file_reads_whole() {
    let Some(database) = open_compressed("h2-empty.mv.db.gz") else {
        return;
    };
    assert_eq!(database.tables().len(), 94);
    assert!(read_everything(&database).unwrap() > 1000);
}

fn canonical(value: &Value<'_>, column: &ColumnDefinition) -> String {
    match value {
        Value::Null => "\\N".to_owned(),
        Value::Boolean(value) => if *value { "t" } else { "f" }.to_owned(),
        Value::Timestamp(date, time) => utc(*date, *time, 0),
        Value::TimestampTz(date, time, offset) => utc(*date, *time, *offset),
        Value::Blob(bytes) | Value::Binary(bytes) | Value::Varbinary(bytes) => hex::encode(bytes),
        Value::Real(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        _ => {
            let text = h2_text::text(value, &column.sql_type).unwrap();
            text.replace('\\', "\\\\")
                .replace('\t', "\\t")
                .replace('\n', "\\n")
                .replace('\r', "\\r")
        }
    }
}

fn utc(date: Date, time: TimeOfDay, offset: i32) -> String {
    let second_of_day = i64::try_from(time.nanos / 1_000_000_000).unwrap();
    let seconds = days_since_epoch(date) * 86_400 + second_of_day - i64::from(offset);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let Date { year, month, day } = date_of(days);
    let micros = time.nanos % 1_000_000_000 / 1000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Counts in years that begin on 1 March, so that the leap day is the last of its year.
fn days_since_epoch(date: Date) -> i64 {
    let (year, month) = (
        i64::from(date.year) - i64::from(date.month < 3),
        (i64::from(date.month) + 9) % 12,
    );
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + i64::from(date.day) - 1 - 719_468
}

fn date_of(days: i64) -> Date {
    let year = i32::try_from((days + 719_468).div_euclid(365) / 1000 * 1000).unwrap();
    let years = (year - 3..).map(|year| Date {
        year,
        month: 1,
        day: 1,
    });
    let year = years
        .take_while(|first| days_since_epoch(*first) <= days)
        .last()
        .unwrap()
        .year;
    let months = (1..=12).map(|month| Date { year, month, day: 1 });
    let first = months
        .take_while(|first| days_since_epoch(*first) <= days)
        .last()
        .unwrap();
    Date {
        day: u8::try_from(days - days_since_epoch(first) + 1).unwrap(),
        ..first
    }
}
