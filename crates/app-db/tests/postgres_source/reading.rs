//! Rows in forms that are easily compared: a cell with its kind, and the sums of the fixtures.

use metaferry_domain::PortError;
use metaferry_domain::ports::{RowOrder, Snapshot, TableRead};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Table;
use sha2::{Digest as _, Sha256};

/// All columns of a table.
pub(crate) fn whole(snapshot: &dyn Snapshot, table: &str, order: RowOrder) -> TableRead {
    let columns = (0..snapshot.catalogue().table(table).unwrap().columns.len()).collect();
    TableRead {
        table: table.to_owned(),
        columns,
        order,
    }
}

/// Reads a table in small batches.
pub(crate) async fn rows(
    snapshot: &dyn Snapshot,
    table: &str,
    order: RowOrder,
) -> Result<Vec<Vec<String>>, PortError> {
    let mut reader = snapshot.read(&whole(snapshot, table, order)).await?;
    let mut batch = RowBatch::default();
    let mut rows = Vec::new();
    loop {
        reader.next(&mut batch, 1000).await?;
        if batch.rows() == 0 {
            return Ok(rows);
        }
        rows.extend((0..batch.rows()).map(|row| batch.row(row).map(show).collect::<Vec<_>>()));
    }
}

/// A cell with its kind.
pub(crate) fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Boolean(value) => format!("boolean {value}"),
        Cell::Int(value) => format!("int {value}"),
        Cell::Real(value) => format!("real {value:?}"),
        Cell::Double(value) => format!("double {value:?}"),
        Cell::Decimal(value) => format!("decimal {value}"),
        Cell::Text(value) => format!("text {value}"),
        Cell::Bytes(value) => format!("bytes {}", hex::encode(value)),
        Cell::Date(days) => format!("date {days}"),
        Cell::Time(time) => format!("time {}", time.nanos),
        Cell::TimeTz(time, east) => format!("timetz {} {east}", time.nanos),
        Cell::Timestamp(instant) => format!("timestamp {}", instant.micros),
        Cell::TimestampTz(instant, east) => format!("timestamptz {} {east}", instant.micros),
        Cell::Uuid(bytes) => format!("uuid {}", hex::encode(bytes)),
    }
}

/// Rows and sum in the fixtures' canonical form (their README).
pub(crate) async fn sum_of(snapshot: &dyn Snapshot, table: &Table) -> (u64, String) {
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
