//! A table's rows by binary COPY. A task owns the session and fills batches ahead of its reader; batches go back and
//! forth, so that none is allocated while rows stream. What a snapshot is, and which sessions it has, is the
//! snapshot's.

mod naming;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use metaferry_domain::PortError;
use metaferry_domain::ports::{RowOrder, RowReader, TableRead};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Table;
use metaferry_domain::{ErrorKind, ErrorKind::Unsupported};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::connect::quoted;
use super::copy_binary::CopyDecoder;
use super::schema::{TableKind, TableReading};
use super::snapshot::{Session, Sessions, from_clause};
use super::types::{Cast, Wire};
use crate::error::failed;
use naming::RowNames;

/// Batches of a reader: one with its caller, one being filled ahead.
const BATCHES: usize = 2;
/// Rows of a batch, for tables whose rows have no bytes.
const ROWS_MAX: usize = 1 << 16;

/// The COPY that reads a table, and what its rows and columns are called.
pub(super) struct CopyOut {
    statement: String,
    wires: Vec<Wire>,
    names: RowNames,
}

impl CopyOut {
    pub(super) fn new(table: &Table, reading: &TableReading, wanted: &TableRead) -> Result<Self, PortError> {
        let mut wires = Vec::with_capacity(wanted.columns.len());
        let mut selected = Vec::with_capacity(wanted.columns.len());
        let mut is_stored = true;
        for &position in &wanted.columns {
            let (Some(column), Some(reading)) = (table.columns.get(position), reading.columns.get(position))
            else {
                return Err(PortError::new(
                    ErrorKind::NotFound,
                    format!("table {} has no column at position {position}", table.name),
                ));
            };
            let name = quoted(column.name.as_str());
            wires.push(reading.wire);
            selected.push(match reading.cast {
                Cast::None => name,
                Cast::BigInt => format!("{name}::int8"),
                Cast::Text => format!("{name}::text"),
            });
            // A plain COPY refuses generated columns.
            is_stored &= reading.cast == Cast::None && !column.is_generated();
        }
        let order = match (wanted.order, &table.primary_key) {
            (RowOrder::PrimaryKey, Some(key)) => {
                let columns: Vec<String> = key.columns.iter().map(|column| quoted(column.as_str())).collect();
                format!(" ORDER BY {}", columns.join(", "))
            }
            (RowOrder::PrimaryKey, None) => {
                return Err(PortError::new(
                    Unsupported,
                    format!("table {} has no primary key to be read in order of", table.name),
                ));
            }
            (RowOrder::Any, _) => String::new(),
        };
        let statement =
            if order.is_empty() && is_stored && !selected.is_empty() && reading.kind == TableKind::Ordinary {
                // A plain COPY does without the executor. It reads the named table only.
                let name = format!(
                    "{}.{}",
                    quoted(table.schema.as_str()),
                    quoted(table.name.as_str())
                );
                format!("COPY {name} ({}) TO STDOUT (FORMAT binary)", selected.join(", "))
            } else {
                let from = from_clause(table, reading.kind);
                format!(
                    "COPY (SELECT {} FROM {from}{order}) TO STDOUT (FORMAT binary)",
                    selected.join(", ")
                )
            };
        let names = RowNames::new(table, &wanted.columns, &wires);
        Ok(Self {
            statement,
            wires,
            names,
        })
    }
}

/// Begins to read.
pub(super) fn start(copy: CopyOut, session: Session, sessions: Arc<Sessions>) -> CopyReader {
    let (want, wanted) = mpsc::channel(BATCHES);
    let (fill, filled) = mpsc::channel(BATCHES);
    let columns = copy.wires.len();
    let task = tokio::spawn(stream(copy, session, sessions, wanted, fill));
    CopyReader {
        columns,
        want,
        filled,
        ahead: false,
        ended: false,
        _task: AbortOnDropHandle::new(task),
    }
}

/// An empty batch, and what to fill it up to.
struct Want {
    batch: RowBatch,
    bytes_max: usize,
}

/// The reading end. Dropping it ends the COPY by closing its session.
pub(super) struct CopyReader {
    columns: usize,
    want: mpsc::Sender<Want>,
    filled: mpsc::Receiver<Result<RowBatch, PortError>>,
    ahead: bool,
    ended: bool,
    _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl RowReader for CopyReader {
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError> {
        batch.clear(self.columns);
        if self.ended {
            return Ok(());
        }
        if !self.ahead {
            self.ahead = true;
            self.send(RowBatch::new(self.columns), bytes_max).await;
        }
        self.send(std::mem::take(batch), bytes_max).await;
        match self.filled.recv().await {
            Some(Ok(filled)) => *batch = filled,
            Some(Err(error)) => {
                self.ended = true;
                return Err(error);
            }
            None => batch.clear(self.columns),
        }
        self.ended = batch.rows() == 0;
        Ok(())
    }
}

impl CopyReader {
    async fn send(&self, batch: RowBatch, bytes_max: usize) {
        // A task that has ended wants no batches; what it left is still to be received.
        let _ = self.want.send(Want { batch, bytes_max }).await;
    }
}

async fn stream(
    copy: CopyOut,
    mut session: Session,
    sessions: Arc<Sessions>,
    mut wanted: mpsc::Receiver<Want>,
    fill: mpsc::Sender<Result<RowBatch, PortError>>,
) {
    match copy_all(&copy, &mut session, &mut wanted, &fill).await {
        Ok(last) => {
            // Back before the end is told: the next reader finds it.
            sessions.put_back(session);
            if let Some(last) = last {
                let _ = fill.send(Ok(last)).await;
            }
        }
        Err(error) => {
            drop(session);
            let _ = fill.send(Err(error)).await;
        }
    }
}

/// Streams the rows; gives the last batch back, when the session is free again.
async fn copy_all(
    copy: &CopyOut,
    session: &mut Session,
    wanted: &mut mpsc::Receiver<Want>,
    fill: &mpsc::Sender<Result<RowBatch, PortError>>,
) -> Result<Option<RowBatch>, PortError> {
    let at_table = |error| failed(format!("read table {}", copy.names.table()), error);
    let columns = copy.wires.len();
    let mut decoder = CopyDecoder::new(copy.wires.clone());
    let mut messages = session
        .connection
        .copy_out_raw(&copy.statement)
        .await
        .map_err(at_table)?;
    while let Some(Want { mut batch, bytes_max }) = wanted.recv().await {
        batch.clear(columns);
        while batch.bytes() < bytes_max && batch.rows() < ROWS_MAX {
            let Some(message) = messages.next().await else {
                decoder
                    .finish()
                    .map_err(|unreadable| copy.names.error(unreadable, decoder.rows()))?;
                return Ok(Some(batch));
            };
            decoder
                .feed(&message.map_err(at_table)?, &mut batch)
                .map_err(|unreadable| copy.names.error(unreadable, decoder.rows()))?;
        }
        if fill.send(Ok(batch)).await.is_err() {
            break;
        }
    }
    Err(PortError::new(
        ErrorKind::Cancelled,
        format!("table {} is not read any further", copy.names.table()),
    ))
}
