//! `inspect`: what is in an H2 file.

use std::path::Path;

use metaferry_app_db::h2::{H2Source, file_of};
use metaferry_domain::ports::{RowOrder, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::Database;

use crate::cli::InspectArgs;
use crate::exit::CommandError;
use crate::exit::Ending;
use crate::output::Output;
use crate::policy;

/// Longest text of a cell that is shown.
const SHOWN_CHARS: usize = 60;

pub(super) async fn run(args: InspectArgs, output: Output) -> Result<Ending, CommandError> {
    // A file that a store received has no ending at all.
    let file = if args.file.is_file() {
        args.file.clone()
    } else {
        file_of(&args.file.to_string_lossy())
    };
    let facts = facts(&file)?;
    let snapshot = H2Source::new(&file).snapshot().await?;
    if let Some(table) = &args.table {
        let rows = rows(&*snapshot, table, args.rows).await?;
        output.result(&rows.text(), &rows.json());
        return Ok(Ending::Done);
    }
    let major = policy::major(&*snapshot).await?;
    let mut tables = Vec::new();
    for table in &snapshot.catalogue().tables {
        let key = table.name.key();
        let rows = snapshot.count(&key).await?;
        tables.push((key, rows));
    }
    let views: Vec<String> = snapshot
        .catalogue()
        .views
        .iter()
        .map(|view| view.name.key())
        .collect();
    let total: u64 = tables.iter().map(|(_, rows)| rows).sum();
    let version = major.map_or_else(|| "unknown".to_owned(), |major| format!("v{major}"));
    let mut text = format!(
        "{}: H2 format {}, {}, Metabase {version}, {} tables, {total} rows, {} views",
        file.display(),
        text_of(&facts["format"]),
        text_of(&facts["closed"]),
        tables.len(),
        views.len()
    );
    for (name, rows) in &tables {
        text.push_str(&format!("\n{rows:>10}  {name}"));
    }
    let json = serde_json::json!({
        "file": file,
        "h2": facts,
        "metabase_major": major,
        "tables": tables.iter().map(|(name, rows)| serde_json::json!({"name": name, "rows": rows})).collect::<Vec<_>>(),
        "views": views,
        "rows": total,
    });
    output.result(&text, &json);
    Ok(Ending::Done)
}

/// What the file says of itself.
fn facts(file: &Path) -> Result<serde_json::Value, CommandError> {
    let database = Database::open(file).map_err(|error| {
        let kind = if file.exists() {
            ErrorKind::Corrupt
        } else {
            ErrorKind::NotFound
        };
        PortError::new(kind, format!("open {}", file.display())).because(error)
    })?;
    let facts = database.facts();
    Ok(serde_json::json!({
        "format": format!("{:?}", facts.format),
        "closed": format!("{:?}", facts.closure),
        "version": facts.version,
        "chunk": facts.chunk,
        "created_ms": facts.created_ms,
    }))
}

/// A JSON text without its quotes.
fn text_of(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<serde_json::Value>>,
}

async fn rows(snapshot: &dyn Snapshot, table: &str, limit: u64) -> Result<Rows, CommandError> {
    let Some(found) = snapshot.catalogue().table(table) else {
        return Err(PortError::new(
            ErrorKind::NotFound,
            format!("there is no table {table} in the file"),
        )
        .into());
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
    fn text(&self) -> String {
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

    fn json(&self) -> serde_json::Value {
        serde_json::json!({"columns": self.columns, "rows": self.rows})
    }
}
