//! An H2 file as the target of a copy.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::ports::{FinishedTarget, RowOrder, TableWriter, Target};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::{
    self as h2_file, DatabaseWriter, PublishGate, SqlType, Value, WriteError, WriteOptions,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{calendar, convert, error, off_thread, schema};
use crate::sql::{Computed, Program};

/// Longest key that an error message quotes, in characters.
const KEY_CHARACTERS_MAX: usize = 80;

/// Writes a new H2 file. It appears under its name when [`Target::finish`] has synced it; an existing file is
/// refused and never touched.
#[derive(Debug)]
pub struct H2Target {
    path: PathBuf,
    options: WriteOptions,
    prepared: Option<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    writer: DatabaseWriter,
    tables: Vec<TablePlan>,
}

/// What a table's writers need to know.
#[derive(Debug)]
struct TablePlan {
    key: String,
    columns: Vec<ColumnPlan>,
    /// Positions of the primary key's columns.
    primary_key: Vec<usize>,
    generated: Vec<(usize, Program)>,
}

#[derive(Debug, Clone)]
struct ColumnPlan {
    key: String,
    sql_type: SqlType,
}

impl H2Target {
    /// A target for a file that does not exist yet, usually named `….mv.db`, to be opened by the user with no
    /// name and no password, as Metabase does.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_options(path, WriteOptions::default())
    }

    /// The same with the file crate's own options: memory, folder for temporary files, user.
    #[must_use]
    pub fn with_options(path: impl Into<PathBuf>, options: WriteOptions) -> Self {
        Self {
            path: path.into(),
            options,
            prepared: None,
        }
    }

    fn prepared(&self) -> Result<&Prepared, PortError> {
        self.prepared.as_ref().ok_or_else(|| unprepared(&self.path))
    }
}

fn unprepared(path: &std::path::Path) -> PortError {
    PortError::new(
        ErrorKind::Precondition,
        format!("{} has not been prepared yet", path.display()),
    )
}

#[async_trait]
impl Target for H2Target {
    /// A table with a whole number for its key is a tree by that key: in order nothing is sorted, and ids are row keys.
    fn row_order(&self) -> RowOrder {
        RowOrder::PrimaryKey
    }

    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
        let translation = schema::translate(catalogue)?;
        let tables = catalogue
            .tables
            .iter()
            .zip(&translation.definition.tables)
            .zip(translation.tables)
            .map(|((table, definition), translated)| TablePlan {
                key: table.name.key(),
                columns: table
                    .columns
                    .iter()
                    .zip(&definition.columns)
                    .map(|(column, definition)| ColumnPlan {
                        key: column.name.key(),
                        sql_type: definition.sql_type.clone(),
                    })
                    .collect(),
                primary_key: table
                    .primary_key
                    .iter()
                    .flat_map(|key| &key.columns)
                    .filter_map(|name| table.columns.iter().position(|column| column.name == *name))
                    .collect(),
                generated: translated.generated,
            })
            .collect();
        let (path, options) = (self.path.clone(), self.options.clone());
        let definition = translation.definition;
        let writer =
            off_thread(move || DatabaseWriter::create(&path, definition, options).map_err(error::write))
                .await?;
        self.prepared = Some(Prepared { writer, tables });
        Ok(translation.notes)
    }

    async fn table(&self, table: &str, columns: &[usize]) -> Result<Box<dyn TableWriter>, PortError> {
        let prepared = self.prepared()?;
        let key = table.to_lowercase();
        let position = prepared.tables.iter().position(|plan| plan.key == key);
        let position = position.ok_or_else(|| {
            PortError::new(
                ErrorKind::NotFound,
                format!("table {key} is not among those prepared"),
            )
        })?;
        let plan = &prepared.tables[position];
        let rows = RowMaker::new(plan, columns)?;
        let writer = prepared.writer.table(position).map_err(error::write)?;
        Ok(Box::new(H2TableWriter { writer, rows }))
    }

    async fn finish(self: Box<Self>) -> Result<FinishedTarget, PortError> {
        let prepared = self.prepared.ok_or_else(|| unprepared(&self.path))?;
        let writer = prepared.writer;
        // Syncing may take long. Whoever stops waiting for it may remove what is there: nothing may come after.
        let unwanted = CloseOnDrop(Arc::default());
        let gate = Arc::clone(&unwanted.0);
        let summary = off_thread(move || writer.finish_through(&gate).map_err(error::write)).await?;
        Ok(FinishedTarget {
            bytes: summary.file_bytes,
            notes: Vec::new(),
        })
    }
}

/// Closes the gate when nobody waits any more.
struct CloseOnDrop(Arc<PublishGate>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs work on borrowed rows on this thread. On a runtime with several, its other tasks move away first.
fn here<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Writes one table.
#[derive(Debug)]
struct H2TableWriter {
    writer: h2_file::TableWriter,
    rows: RowMaker,
}

#[async_trait]
impl TableWriter for H2TableWriter {
    async fn write(&mut self, batch: &RowBatch) -> Result<(), PortError> {
        here(|| self.rows.push_all(batch, &mut self.writer))
    }

    async fn finish(self: Box<Self>) -> Result<u64, PortError> {
        let rows = self.rows.written;
        let writer = self.writer;
        off_thread(move || writer.finish().map_err(error::write)).await?;
        Ok(rows)
    }
}

/// Where a column's value comes from.
#[derive(Debug)]
enum Origin {
    /// A cell of the batch.
    Cell(usize),
    /// Computed from the row's other cells.
    Computed(Program),
    /// Nothing: NULL.
    Nothing,
}

/// Makes H2 rows of a table out of batches.
#[derive(Debug)]
struct RowMaker {
    table: String,
    columns: Vec<ColumnPlan>,
    origins: Vec<Origin>,
    /// For each column of the table, where its cell is in a batch.
    cells: Vec<Option<usize>>,
    /// Cells that make up the primary key, to name a row in an error.
    key_cells: Vec<usize>,
    /// Cells in a batch's row.
    width: usize,
    written: u64,
}

impl RowMaker {
    fn new(plan: &TablePlan, columns: &[usize]) -> Result<Self, PortError> {
        let mut cells: Vec<Option<usize>> = vec![None; plan.columns.len()];
        for (cell, column) in columns.iter().enumerate() {
            match cells.get_mut(*column) {
                Some(place @ None) => *place = Some(cell),
                _ => {
                    return Err(PortError::new(
                        ErrorKind::Precondition,
                        format!(
                            "table {}: column number {column} is not there, or named twice",
                            plan.key
                        ),
                    ));
                }
            }
        }
        let origins = cells.iter().enumerate().map(|(position, cell)| {
            let program = plan
                .generated
                .iter()
                .find(|(generated, _)| *generated == position);
            match (cell, program) {
                (Some(cell), _) => Ok(Origin::Cell(*cell)),
                (None, Some((_, program))) => {
                    match program.columns().iter().find(|used| cells[**used].is_none()) {
                        None => Ok(Origin::Computed(program.clone())),
                        Some(missing) => Err(PortError::new(
                            ErrorKind::Precondition,
                            format!(
                                "table {}: column {} is computed from column {}, which is not copied",
                                plan.key, plan.columns[position].key, plan.columns[*missing].key
                            ),
                        )),
                    }
                }
                (None, None) => Ok(Origin::Nothing),
            }
        });
        let origins = origins.collect::<Result<_, _>>()?;
        Ok(Self {
            table: plan.key.clone(),
            columns: plan.columns.clone(),
            origins,
            key_cells: plan
                .primary_key
                .iter()
                .filter_map(|column| cells[*column])
                .collect(),
            cells,
            width: columns.len(),
            written: 0,
        })
    }

    fn push_all(&mut self, batch: &RowBatch, writer: &mut h2_file::TableWriter) -> Result<(), PortError> {
        if batch.rows() > 0 && batch.columns() != self.width {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "table {}: rows of {} cells came where {} were named",
                    self.table,
                    batch.columns(),
                    self.width
                ),
            ));
        }
        // Kept from row to row: no row allocates unless one of its values must.
        let mut row: Vec<Value<'_>> = Vec::with_capacity(self.columns.len());
        for number in 0..batch.rows() {
            row.clear();
            for (position, (column, origin)) in self.columns.iter().zip(&self.origins).enumerate() {
                let value = match origin {
                    Origin::Cell(cell) => convert::value(batch.cell(number, *cell), &column.sql_type),
                    Origin::Computed(program) => self.compute(program, batch, number, &column.sql_type),
                    Origin::Nothing => Ok(Value::Null),
                };
                match value {
                    Ok(value) => row.push(value),
                    Err(problem) => {
                        return Err(self.unfit(batch, number, &self.columns[position].key, &problem));
                    }
                }
            }
            match writer.push(&row) {
                Ok(()) => self.written += 1,
                Err(WriteError::Row { column, problem, .. }) => {
                    return Err(self.unfit(batch, number, &column.to_lowercase(), &problem));
                }
                Err(other) => return Err(error::write(other)),
            }
        }
        Ok(())
    }

    fn compute<'a>(
        &self,
        program: &'a Program,
        batch: &'a RowBatch,
        number: usize,
        sql_type: &SqlType,
    ) -> Result<Value<'a>, String> {
        let cell = |position: usize| match self.cells[position] {
            Some(cell) => batch.cell(number, cell),
            None => Cell::Null,
        };
        match program.run(&cell)? {
            Computed::Null => Ok(Value::Null),
            Computed::Boolean(value) => convert::value(Cell::Boolean(value), sql_type),
            Computed::Integer(number) => convert::value(Cell::Int(number), sql_type),
            Computed::Text(std::borrow::Cow::Borrowed(text)) => convert::value(Cell::Text(text), sql_type),
            Computed::Text(std::borrow::Cow::Owned(text)) => owned_text(text, sql_type),
        }
    }

    fn unfit(&self, batch: &RowBatch, number: usize, column: &str, problem: &str) -> PortError {
        let mut what = format!("table {}, column {column}", self.table);
        if self.key_cells.is_empty() {
            let _ = write!(what, ", row {}", self.written + 1);
        } else {
            let key: Vec<String> = self
                .key_cells
                .iter()
                .map(|cell| key_text(batch.cell(number, *cell)))
                .collect();
            let _ = write!(what, ", key {}", key.join(", "));
        }
        PortError::new(ErrorKind::Unsupported, format!("{what}: {problem}"))
    }
}

fn owned_text(text: String, sql_type: &SqlType) -> Result<Value<'static>, String> {
    let text = h2_file::Text::Utf8(std::borrow::Cow::Owned(text));
    match sql_type {
        SqlType::Varchar(_) => Ok(Value::Varchar(text)),
        SqlType::VarcharIgnoreCase(_) => Ok(Value::VarcharIgnoreCase(text)),
        SqlType::Char(_) => Ok(Value::Char(text)),
        SqlType::Clob => Ok(Value::Clob(text)),
        other => Err(format!("text in a {} column", super::types::spelled(other))),
    }
}

/// A key's cell, short.
fn key_text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => format!("{:?}", text.chars().take(KEY_CHARACTERS_MAX).collect::<String>()),
        other => plain(other).chars().take(KEY_CHARACTERS_MAX).collect(),
    }
}

/// A cell as a person would write it.
fn plain(cell: Cell<'_>) -> String {
    let time = |nanos| h2_file::TimeOfDay { nanos }.to_string();
    let day = |date: h2_file::Date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    let moment = |instant| match calendar::moment_of(instant) {
        Some((date, of_day)) => format!("{} {of_day}", day(date)),
        None => format!("{} microseconds since 1970", instant.micros),
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Int(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Double(number) => number.to_string(),
        Cell::Decimal(text) | Cell::Text(text) => text.to_owned(),
        Cell::Bytes(bytes) => format!("\\x{}", hex(bytes)),
        Cell::Date(days) => match calendar::date_of(days) {
            Some(date) => day(date),
            None => format!("{days} days since 1970"),
        },
        Cell::Time(of_day) => time(of_day.nanos),
        Cell::TimeTz(of_day, offset) => format!("{}{}", time(of_day.nanos), zone(offset)),
        Cell::Timestamp(instant) => moment(instant),
        Cell::TimestampTz(instant, _) => format!("{}+00", moment(instant)),
        Cell::Uuid(bytes) => {
            let digits = hex(&bytes);
            let [a, b, c, d, e] = [
                &digits[..8],
                &digits[8..12],
                &digits[12..16],
                &digits[16..20],
                &digits[20..],
            ];
            format!("{a}-{b}-{c}-{d}-{e}")
        }
    }
}

/// `+05:30`, east of UTC.
fn zone(offset_seconds: i32) -> String {
    let (sign, seconds) = (
        if offset_seconds < 0 { '-' } else { '+' },
        offset_seconds.unsigned_abs(),
    );
    format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use metaferry_domain::row_batch::{Cell, Instant, TimeOfDay};

    use super::plain;

    #[test]
    fn a_key_is_shown_as_a_person_would_write_it() {
        let nanos = 86_400_000_000_000;
        for (cell, shown) in [
            (Cell::Time(TimeOfDay { nanos }), "24:00:00"),
            (Cell::Time(TimeOfDay { nanos: 1_500_000_000 }), "00:00:01.5"),
            (Cell::TimeTz(TimeOfDay { nanos: 0 }, -12_600), "00:00:00-03:30"),
            (Cell::Date(-1), "1969-12-31"),
            (
                Cell::TimestampTz(
                    Instant {
                        micros: 1_000_001,
                        nanos: 0,
                    },
                    3600,
                ),
                "1970-01-01 00:00:01.000001+00",
            ),
            (Cell::Bytes(&[0, 255]), "\\x00ff"),
            (Cell::Boolean(true), "true"),
            (Cell::Uuid([0x11; 16]), "11111111-1111-1111-1111-111111111111"),
        ] {
            assert_eq!(plain(cell), shown);
        }
    }
}
