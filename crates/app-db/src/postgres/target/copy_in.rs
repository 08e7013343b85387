//! A table's rows by binary COPY, or all in one message where they are few. Batches are turned into the wire form where
//! they arrive; a task owns the session and sends what is ready, so that both work at once. Which table it is, in which
//! transaction, and what is built once its rows are there, is the target's.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metaferry_domain::ports::TableWriter;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::arrays;
use super::encode::{self, HEADER, TRAILER, Unfit};
use super::pool::{Lent, Pool};
use super::staging::unbuilt;
use crate::error::{failed, failed_at_rows};
use crate::load::pool::Opens as _;
use crate::postgres::connect::{PostgresServer, quoted};
use crate::postgres::translate::PostgresType;
use crate::row_names::is_secret;

/// The most bytes of a table whose rows go in one message: they are held twice meanwhile.
const SMALL_BYTES_MAX: usize = 1 << 20;
/// Buffers on their way to the server.
const BUFFERS: usize = 2;
/// Longest key that an error message quotes, in characters.
const KEY_CHARACTERS_MAX: usize = 80;

/// What a table's writers need to know.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    /// [`Name::key`](metaferry_domain::schema::Name::key) of the source's table.
    pub(super) key: String,
    pub(super) schema: String,
    pub(super) name: String,
    /// Per column of the source's table; `None` where nothing is written.
    pub(super) columns: Vec<Option<ColumnPlan>>,
    /// Positions of the primary key's columns in the source's table.
    pub(super) primary_key: Vec<usize>,
    pub(super) bounds: Bounds,
    pub(super) build: Build,
}

/// What rests on a table's rows. Whoever has written them builds it while other tables are still being written; what was
/// never written is left to the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Build {
    /// For names that the statements do not qualify.
    pub(super) search_path: String,
    statements: Arc<Mutex<Vec<String>>>,
}

impl Build {
    pub(super) fn new(search_path: String, statements: Vec<String>) -> Self {
        Self {
            search_path,
            statements: Arc::new(Mutex::new(statements)),
        }
    }

    /// What nobody has built yet; whoever takes it does.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .statements
                .lock()
                .expect("no code panics while it holds this"),
        )
    }
}

/// One column that is written.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    pub(super) postgres_type: PostgresType,
}

/// The transaction that a table is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// One of its own. Emptied in it, the table takes rows that need not be looked at again (FREEZE).
    OfTable,
    /// One that others opened.
    Around,
}

/// The writing end.
pub(super) struct CopyWriter {
    names: RowNames,
    types: Vec<PostgresType>,
    send: Option<mpsc::Sender<Vec<u8>>>,
    spare: mpsc::Receiver<Vec<u8>>,
    task: Option<JoinHandle<Result<u64, PortError>>>,
    rows: u64,
}

/// Begins to write.
pub(super) async fn start(
    plan: &TablePlan,
    columns: &[usize],
    pool: &Arc<Pool>,
) -> Result<CopyWriter, PortError> {
    let mut names = Vec::with_capacity(columns.len());
    let mut types = Vec::with_capacity(columns.len());
    for &position in columns {
        let column = plan.columns.get(position).and_then(Option::as_ref);
        let column = column.ok_or_else(|| {
            PortError::new(
                ErrorKind::Precondition,
                format!("table {} takes nothing from column {position}", plan.key),
            )
        })?;
        names.push(column.name.clone());
        types.push(column.postgres_type);
    }
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let table = format!("{}.{}", quoted(&plan.schema), quoted(&plan.name));
    let row_names = RowNames {
        table: plan.key.clone(),
        key_cells: shown_key(plan)
            .iter()
            .filter_map(|wanted| columns.iter().position(|position| position == wanted))
            .collect(),
        columns: names,
    };
    let lent = pool.get().await?;
    let (send, ready) = mpsc::channel(BUFFERS);
    let (give_back, spare) = mpsc::channel(BUFFERS + 1);
    let place = Place {
        key: plan.key.clone(),
        table,
        list,
        types: types.clone(),
        bounds: plan.bounds,
        build: plan.build.clone(),
    };
    let task = tokio::spawn(stream(place, lent, ready, give_back));
    Ok(CopyWriter {
        names: row_names,
        types,
        send: Some(send),
        spare,
        task: Some(task),
        rows: 0,
    })
}

/// The columns of the key, unless it is a credential.
fn shown_key(plan: &TablePlan) -> &[usize] {
    if is_secret(&plan.key) {
        &[]
    } else {
        &plan.primary_key
    }
}

/// The failure of a statement over that table's rows.
fn at_rows(table: &str, error: sqlx::Error) -> PortError {
    let what = format!("write table {table}");
    if is_secret(table) {
        failed(what, error)
    } else {
        failed_at_rows(what, error)
    }
}

impl CopyWriter {
    /// What the task met, when it no longer takes anything.
    async fn failure(&mut self) -> PortError {
        self.send = None;
        let ended = match self.task.take() {
            Some(task) => task.await,
            None => return self.names.ended(),
        };
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(_)) => self.names.ended(),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => self.names.ended(),
            },
        }
    }
}

#[async_trait]
impl TableWriter for CopyWriter {
    async fn write(&mut self, batch: &RowBatch) -> Result<(), PortError> {
        if batch.rows() > 0 && batch.columns() != self.types.len() {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "table {}: rows of {} cells came where {} were named",
                    self.names.table,
                    batch.columns(),
                    self.types.len()
                ),
            ));
        }
        let mut buffer = self.spare.try_recv().unwrap_or_default();
        buffer.clear();
        if let Err(unfit) = encode::rows(batch, &self.types, &mut buffer) {
            return Err(self.names.unfit(batch, self.rows, &unfit));
        }
        self.rows += batch.rows() as u64;
        let taken = match &self.send {
            Some(send) => send.send(buffer).await.is_ok(),
            None => false,
        };
        if taken { Ok(()) } else { Err(self.failure().await) }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, PortError> {
        // The trailer is ours to send: without it the task takes the end of buffers for a failure of the reader.
        if let Some(send) = self.send.take() {
            let _ = send.send(TRAILER.to_vec()).await;
        }
        match self.task.take() {
            Some(task) => match task.await {
                Ok(written) => written,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(self.names.ended()),
                },
            },
            None => Err(self.names.ended()),
        }
    }
}

/// Where a writer's task puts the rows.
struct Place {
    key: String,
    table: String,
    list: Vec<String>,
    types: Vec<PostgresType>,
    bounds: Bounds,
    build: Build,
}

impl Place {
    /// May its rows go as arrays? Only into tables that we have made: an INSERT fires rules, COPY does not. A table
    /// without a column has rows all the same, and no array to put them in.
    fn takes_arrays(&self) -> bool {
        self.bounds == Bounds::OfTable && !self.list.is_empty() && !arrays::would_be_logged(&self.key)
    }
}

async fn stream(
    place: Place,
    mut lent: Lent,
    ready: mpsc::Receiver<Vec<u8>>,
    give_back: mpsc::Sender<Vec<u8>>,
) -> Result<u64, PortError> {
    let written = write_all(&place, &mut lent.connection, ready, &give_back).await;
    if written.is_ok() {
        lent.put_back();
    }
    written
}

async fn write_all(
    place: &Place,
    connection: &mut PgConnection,
    mut ready: mpsc::Receiver<Vec<u8>>,
    give_back: &mpsc::Sender<Vec<u8>>,
) -> Result<u64, PortError> {
    let rows = match (ready.recv().await, ready.recv().await) {
        (Some(first), None) if first == TRAILER => 0,
        (Some(first), Some(second))
            if second == TRAILER && first.len() <= SMALL_BYTES_MAX && place.takes_arrays() =>
        {
            match arrays::insert(connection, &place.table, &place.list, &place.types, &first).await {
                Ok(rows) => rows,
                // COPY tells line and column of what it refuses, and quotes no row.
                Err(sqlx::Error::Database(_)) => {
                    copy_all(place, connection, vec![first, second], ready, give_back).await?
                }
                Err(error) => return Err(at_rows(&place.key, error)),
            }
        }
        (first, second) => {
            let begun = first.into_iter().chain(second).collect();
            copy_all(place, connection, begun, ready, give_back).await?
        }
    };
    build(connection, &place.build).await?;
    Ok(rows)
}

/// Many rows: those that have `begun` to come, and the others.
async fn copy_all(
    place: &Place,
    connection: &mut PgConnection,
    begun: Vec<Vec<u8>>,
    mut ready: mpsc::Receiver<Vec<u8>>,
    give_back: &mpsc::Sender<Vec<u8>>,
) -> Result<u64, PortError> {
    let Place { key, table, list, .. } = place;
    let at_table = |error| at_rows(key, error);
    let freeze = match place.bounds {
        Bounds::OfTable => {
            run(connection, &format!("BEGIN; TRUNCATE ONLY {table}"))
                .await
                .map_err(at_table)?;
            ", FREEZE"
        }
        Bounds::Around => "",
    };
    let list = if list.is_empty() {
        String::new()
    } else {
        format!("({}) ", list.join(", "))
    };
    let copy = format!("COPY {table} {list}FROM STDIN (FORMAT binary{freeze})");
    let mut copy = connection.copy_in_raw(&copy).await.map_err(at_table)?;
    copy.send(HEADER).await.map_err(at_table)?;
    let mut begun = begun.into_iter();
    let mut whole = false;
    loop {
        let next = match begun.next() {
            Some(buffer) => Some(buffer),
            None => ready.recv().await,
        };
        let Some(buffer) = next else { break };
        whole = buffer == TRAILER;
        copy.send(buffer.as_slice()).await.map_err(at_table)?;
        // Nobody may want it any more.
        let _ = give_back.try_send(buffer);
    }
    if !whole {
        let _ = copy.abort("the reader has ended").await;
        return Err(PortError::new(
            ErrorKind::Cancelled,
            format!("table {key} was not written to its end"),
        ));
    }
    let rows = copy.finish().await.map_err(at_table)?;
    match place.bounds {
        Bounds::OfTable => run(connection, "COMMIT").await.map_err(at_table)?,
        Bounds::Around => {}
    }
    Ok(rows)
}

async fn build(connection: &mut PgConnection, build: &Build) -> Result<(), PortError> {
    let statements = build.take();
    if statements.is_empty() {
        return Ok(());
    }
    let mut all = vec![format!("SET search_path = {}", build.search_path)];
    all.extend(statements);
    PostgresServer::run_all(connection, &all)
        .await
        .map_err(|failed| unbuilt(&failed.statement, failed.error))
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    super::run(connection, sql.to_owned()).await
}

/// What rows and columns are called.
#[derive(Debug)]
struct RowNames {
    table: String,
    columns: Vec<String>,
    key_cells: Vec<usize>,
}

impl RowNames {
    fn ended(&self) -> PortError {
        PortError::new(
            ErrorKind::Cancelled,
            format!("table {} is not written any further", self.table),
        )
    }

    fn unfit(&self, batch: &RowBatch, before: u64, unfit: &Unfit) -> PortError {
        let column = self.columns.get(unfit.cell).map_or("?", String::as_str);
        let mut what = format!("table {}, column {column}", self.table);
        if self.key_cells.is_empty() {
            let _ = write!(what, ", row {}", before + unfit.row as u64 + 1);
        } else {
            let key: Vec<String> = self
                .key_cells
                .iter()
                .map(|cell| key_text(batch.cell(unfit.row, *cell)))
                .collect();
            let _ = write!(what, ", key {}", key.join(", "));
        }
        PortError::new(ErrorKind::Unsupported, format!("{what}: {}", unfit.why))
    }
}

/// A key's cell, short.
fn key_text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => format!("{:?}", text.chars().take(KEY_CHARACTERS_MAX).collect::<String>()),
        other => format!("{other:?}").chars().take(KEY_CHARACTERS_MAX).collect(),
    }
}
