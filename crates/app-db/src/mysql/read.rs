//! A table's rows, streamed in the binary protocol. What a snapshot is, and which sessions it has, is the snapshot's.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use metaferry_domain::ports::{RowOrder, TableRead};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Table;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Decode, MySql, MySqlConnection, Row as _};

use super::connect::quoted;
use super::snapshot::Sessions;
use super::types::{Cast, Reading, Wire, push};
use crate::error::failed;
use crate::read_ahead::{self, Filled, ReadAhead, Wanted};
use crate::row_names::{Refusal, RowNames, show};

/// The query that reads a table, and what its rows and columns are called.
pub(super) struct Selection {
    statement: String,
    wires: Vec<Wire>,
    names: RowNames,
}

impl Selection {
    /// `from` is the table as FROM names it.
    pub(super) fn new(
        table: &Table,
        from: &str,
        readings: &[Reading],
        wanted: &TableRead,
    ) -> Result<Self, PortError> {
        let mut wires = Vec::with_capacity(wanted.columns.len());
        let mut selected = Vec::with_capacity(wanted.columns.len());
        for &position in &wanted.columns {
            let (Some(column), Some(reading)) = (table.columns.get(position), readings.get(position)) else {
                return Err(PortError::new(
                    ErrorKind::NotFound,
                    format!("table {} has no column at position {position}", table.name),
                ));
            };
            let name = quoted(column.name.as_str());
            wires.push(reading.wire);
            selected.push(match reading.cast {
                Cast::None => name,
                Cast::Text => format!("CAST({name} AS CHAR)"),
                Cast::Geometry => format!("ST_AsText({name})"),
            });
        }
        if selected.is_empty() {
            selected.push("1".to_owned());
        }
        let order = match (wanted.order, &table.primary_key) {
            (RowOrder::PrimaryKey, Some(key)) => {
                let columns: Vec<String> = key.columns.iter().map(|column| quoted(column.as_str())).collect();
                // In the order that InnoDB keeps them in, so that nothing is sorted.
                format!(" FORCE INDEX (PRIMARY) ORDER BY {}", columns.join(", "))
            }
            (RowOrder::PrimaryKey, None) => {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!("table {} has no primary key to be read in order of", table.name),
                ));
            }
            (RowOrder::Any, _) => String::new(),
        };
        let statement = format!("SELECT {} FROM {from}{order}", selected.join(", "));
        let names = RowNames::new(table, &wanted.columns);
        Ok(Self {
            statement,
            wires,
            names,
        })
    }

    /// Adds a row after `rows` others.
    fn push(
        &self,
        row: &MySqlRow,
        rows: u64,
        batch: &mut RowBatch,
        digits: &mut String,
    ) -> Result<(), PortError> {
        for (column, wire) in self.wires.iter().enumerate() {
            let pushed = match bytes(row, column) {
                None => {
                    batch.push(Cell::Null);
                    Ok(())
                }
                Some(bytes) => push(*wire, bytes, batch, digits),
            };
            pushed.map_err(|refusal| self.refused(row, column, refusal, rows))?;
        }
        batch.end_row();
        Ok(())
    }

    fn refused(&self, row: &MySqlRow, column: usize, refusal: Refusal, rows: u64) -> PortError {
        self.names.refused(column, refusal, rows, |column| {
            let mut batch = RowBatch::new(1);
            push(
                *self.wires.get(column)?,
                bytes(row, column)?,
                &mut batch,
                &mut String::new(),
            )
            .ok()?;
            batch.end_row();
            show(batch.cell(0, 0))
        })
    }
}

/// A value as it came; `None` for NULL. The driver itself takes a date of zeros for NULL, which it is not.
fn bytes(row: &MySqlRow, column: usize) -> Option<&[u8]> {
    let value = row.try_get_raw(column).ok()?;
    <&[u8] as Decode<'_, MySql>>::decode(value).ok()
}

/// Begins to read.
pub(super) fn start(
    selection: Selection,
    mut connection: MySqlConnection,
    sessions: Arc<Sessions>,
) -> ReadAhead {
    ReadAhead::start(selection.wires.len(), |mut wanted, fill| async move {
        let result = read_all(&selection, &mut connection, &mut wanted, &fill).await;
        read_ahead::end(
            result,
            connection,
            |connection| sessions.put_back(connection),
            &fill,
        )
        .await;
    })
}

/// Streams the rows; gives the last batch back, when the session is free again.
async fn read_all(
    selection: &Selection,
    connection: &mut MySqlConnection,
    wanted: &mut Wanted,
    fill: &Filled,
) -> Result<Option<RowBatch>, PortError> {
    let at_table = |error| failed(format!("read table {}", selection.names.table()), error);
    let mut digits = String::new();
    let mut count = 0;
    let mut rows = sqlx::query(AssertSqlSafe(selection.statement.clone())).fetch(connection);
    while let Some(mut want) = wanted.recv().await {
        want.batch.clear(selection.wires.len());
        while want.has_room() {
            let Some(row) = rows.try_next().await.map_err(at_table)? else {
                return Ok(Some(want.batch));
            };
            selection.push(&row, count, &mut want.batch, &mut digits)?;
            count += 1;
        }
        if fill.send(Ok(want.batch)).await.is_err() {
            break;
        }
    }
    Err(selection.names.abandoned())
}
