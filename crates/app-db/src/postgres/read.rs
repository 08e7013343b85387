//! A table's rows by binary COPY. What a snapshot is, and which sessions it has, is the snapshot's.

mod naming;

use std::sync::Arc;

use futures_util::StreamExt as _;
use metaferry_domain::PortError;
use metaferry_domain::ports::{RowOrder, TableRead};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Table;
use metaferry_domain::{ErrorKind, ErrorKind::Unsupported};
use sqlx::PgConnection;

use super::connect::quoted;
use super::copy_binary::CopyDecoder;
use super::schema::{TableKind, TableReading};
use super::snapshot::{Session, Sessions, from_clause};
use super::types::{Cast, Wire};
use crate::error::failed;
use crate::read_ahead::{self, Filled, ReadAhead, Wanted};
use crate::row_names::RowNames;

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
        let names = RowNames::new(table, &wanted.columns);
        Ok(Self {
            statement,
            wires,
            names,
        })
    }
}

/// A session that is lent for one table.
pub(super) trait LentSession: Send + 'static {
    fn connection(&mut self) -> &mut PgConnection;

    /// The table was read to its end: the next reader finds the session. Dropped instead, it is gone.
    fn put_back(self);
}

/// A session of a snapshot.
struct Shared {
    session: Session,
    sessions: Arc<Sessions>,
}

impl LentSession for Shared {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.session.connection
    }

    fn put_back(self) {
        self.sessions.put_back(self.session);
    }
}

/// Begins to read in a session of a snapshot.
pub(super) fn start(copy: CopyOut, session: Session, sessions: Arc<Sessions>) -> ReadAhead {
    start_in(copy, Shared { session, sessions })
}

/// Begins to read.
pub(super) fn start_in(copy: CopyOut, mut session: impl LentSession) -> ReadAhead {
    ReadAhead::start(copy.wires.len(), |mut wanted, fill| async move {
        let result = copy_all(&copy, session.connection(), &mut wanted, &fill).await;
        read_ahead::end(result, session, LentSession::put_back, &fill).await;
    })
}

/// Streams the rows; gives the last batch back, when the session is free again.
async fn copy_all(
    copy: &CopyOut,
    connection: &mut PgConnection,
    wanted: &mut Wanted,
    fill: &Filled,
) -> Result<Option<RowBatch>, PortError> {
    let at_table = |error| failed(format!("read table {}", copy.names.table()), error);
    let columns = copy.wires.len();
    let mut decoder = CopyDecoder::new(copy.wires.clone());
    let mut messages = connection.copy_out_raw(&copy.statement).await.map_err(at_table)?;
    while let Some(mut want) = wanted.recv().await {
        want.batch.clear(columns);
        while want.has_room() {
            let Some(message) = messages.next().await else {
                decoder.finish().map_err(|unreadable| {
                    naming::error(&copy.names, &copy.wires, unreadable, decoder.rows())
                })?;
                return Ok(Some(want.batch));
            };
            decoder
                .feed(&message.map_err(at_table)?, &mut want.batch)
                .map_err(|unreadable| naming::error(&copy.names, &copy.wires, unreadable, decoder.rows()))?;
        }
        if fill.send(Ok(want.batch)).await.is_err() {
            break;
        }
    }
    Err(copy.names.abandoned())
}
