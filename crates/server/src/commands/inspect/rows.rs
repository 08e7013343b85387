//! Rows of one table, as `inspect --table` shows them.

use metaferry_domain::ports::{RowOrder, Snapshot, TableRead};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::{ErrorKind, PortError};

/// Longest text of a cell that is shown.
const SHOWN_CHARS: usize = 60;

/// The first rows of a table.
pub(super) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<serde_json::Value>>,
}

pub(super) async fn rows(snapshot: &dyn Snapshot, table: &str, limit: u64) -> Result<Rows, PortError> {
    let Some(found) = snapshot.catalogue().table(table) else {
        return Err(PortError::new(
            ErrorKind::NotFound,
            format!("there is no table {table}"),
        ));
    };
    let read = TableRead {
        table: found.name.key(),
        columns: (0..found.columns.len()).collect(),
        order: RowOrder::PrimaryKey,
    };
    let mut reader = snapshot.read(&read).await?;
    let mut batch = RowBatch::new(found.columns.len());
    let mut rows = Vec::new();
    loop {
        reader.next(&mut batch, 1 << 16).await?;
        if batch.rows() == 0 {
            break;
        }
        for row in 0..batch.rows() {
            if rows.len() as u64 == limit {
                return Ok(Rows {
                    columns: names(found),
                    rows,
                });
            }
            rows.push(batch.row(row).map(value).collect());
        }
    }
    Ok(Rows {
        columns: names(found),
        rows,
    })
}

fn names(table: &metaferry_domain::schema::Table) -> Vec<String> {
    table.columns.iter().map(|column| column.name.key()).collect()
}

fn value(cell: Cell<'_>) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Boolean(value) => value.into(),
        Cell::Int(value) => value.into(),
        Cell::Real(value) => value.into(),
        Cell::Double(value) => value.into(),
        Cell::Decimal(text) | Cell::Text(text) => text.into(),
        Cell::Bytes(bytes) => format!("{} bytes", bytes.len()).into(),
        Cell::Date(days) => format!("{days} days since 1970-01-01").into(),
        Cell::Time(time) => format!("{} ns of the day", time.nanos).into(),
        Cell::TimeTz(time, seconds) => format!("{} ns of the day, {seconds} s east", time.nanos).into(),
        Cell::Timestamp(instant) | Cell::TimestampTz(instant, _) => iso(instant.micros).into(),
        Cell::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).to_string().into(),
    }
}

fn iso(micros: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| format!("{micros} microseconds since 1970"))
}

impl Rows {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("row {}\n", index + 1));
            for (column, value) in self.columns.iter().zip(row) {
                let shown: String = value.to_string().chars().take(SHOWN_CHARS).collect();
                text.push_str(&format!("  {column}: {shown}\n"));
            }
        }
        text
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({"columns": self.columns, "rows": self.rows})
    }
}
