//! A source whose rows are in memory, and which fails or cancels where a test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metaferry_domain::ports::{Hold, RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::{Cell, Instant, RowBatch};
use metaferry_domain::schema::{
    Catalogue, Column, DataType, Dialect, ForeignKey, Key, Name, Nullability, ReferentialAction, SqlText,
    Table, ValueSource,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use serde::{Deserialize, Serialize};

/// A cell that owns itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Int(i64),
    Text(String),
    Timestamp { micros: i64, nanos: u16 },
}

pub(crate) type Row = Vec<Value>;

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

impl Value {
    pub(crate) fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Boolean(value) => Self::Boolean(value),
            Cell::Int(value) => Self::Int(value),
            Cell::Text(value) => Self::Text(value.to_owned()),
            Cell::Timestamp(Instant { micros, nanos }) => Self::Timestamp { micros, nanos },
            other => panic!("no test has a cell like {other:?}"),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Timestamp { micros, nanos } => Cell::Timestamp(Instant {
                micros: *micros,
                nanos: *nanos,
            }),
        }
    }
}

/// How a database behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub(crate) parallelism: usize,
    pub(crate) rows_per_batch: usize,
    /// The table whose reader fails after so many batches.
    pub(crate) fails: Option<(String, usize)>,
    /// A table that never ends.
    pub(crate) endless: Option<String>,
    /// So many snapshots are overwritten while they are read: their tables end early, as a torn file's may.
    pub(crate) loses: usize,
    /// Raised when so many batches were read, of all tables together.
    pub(crate) cancels: Option<(usize, Cancellation)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            parallelism: 1,
            rows_per_batch: 2,
            fails: None,
            endless: None,
            loses: 0,
            cancels: None,
        }
    }
}

/// What a test may ask a database afterwards.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) snapshots: AtomicUsize,
    pub(crate) batches: AtomicUsize,
    pub(crate) open_readers: AtomicUsize,
    pub(crate) open_readers_most: AtomicUsize,
    pub(crate) reads: Mutex<Vec<TableRead>>,
}

/// Tables and their rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    pub(crate) catalogue: Catalogue,
    pub(crate) rows: BTreeMap<String, Vec<Row>>,
    pub(crate) behaviour: Behaviour,
    pub(crate) seen: Arc<Seen>,
}

impl Database {
    pub(crate) fn with(mut self, table: Table, rows: Vec<Row>) -> Self {
        self.rows.insert(table.name.key(), rows);
        self.catalogue.tables.push(table);
        self.catalogue.tables.sort_by_key(|table| table.name.key());
        self
    }
}

pub(crate) fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        native_type: format!("{data_type:?}"),
        data_type,
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        comment: None,
    }
}

pub(crate) fn generated(name: &str, data_type: DataType) -> Column {
    Column {
        value_source: ValueSource::Generated(SqlText {
            dialect: Dialect::Postgres,
            text: "id * 2".to_owned(),
        }),
        ..column(name, data_type)
    }
}

/// A table keyed by its first column.
pub(crate) fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        schema: "public".into(),
        name: name.into(),
        primary_key: Some(Key {
            name: Name::new(format!("{name}_pkey")),
            columns: vec![columns[0].name.clone()],
        }),
        columns,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

pub(crate) fn refers(mut table: Table, column: &str, parent: &str) -> Table {
    table.foreign_keys.push(ForeignKey {
        name: Name::new(format!("fk_{column}")),
        columns: vec![column.into()],
        parent_table: parent.into(),
        parent_columns: vec!["id".into()],
        on_delete: ReferentialAction::NoAction,
        on_update: ReferentialAction::NoAction,
    });
    table
}

#[async_trait]
impl Source for Database {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        self.seen.snapshots.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Snapshot for Database {
    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn taken_at(&self) -> Instant {
        Instant {
            micros: 1_700_000_000_000_000,
            nanos: 0,
        }
    }

    fn parallelism(&self) -> usize {
        self.behaviour.parallelism
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        Ok(self.rows[table].len() as u64)
    }

    async fn read(&self, read: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        self.seen.reads.lock().unwrap().push(read.clone());
        let open = self.seen.open_readers.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.open_readers_most.fetch_max(open, Ordering::SeqCst);
        Ok(Box::new(Reader {
            database: self.clone(),
            read: read.clone(),
            next_row: 0,
            batches: 0,
        }))
    }

    fn notes(&self) -> Vec<String> {
        let snapshot = self.seen.snapshots.load(Ordering::SeqCst);
        match self.behaviour.loses {
            0 => Vec::new(),
            _ => vec![format!("snapshot {snapshot}")],
        }
    }

    async fn confirm(&self) -> Result<Hold, PortError> {
        Ok(if self.is_lost() { Hold::Lost } else { Hold::Held })
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

impl Database {
    fn is_lost(&self) -> bool {
        // Asked without a snapshot of its own it is none that is counted.
        let taken = self.seen.snapshots.load(Ordering::SeqCst);
        (1..=self.behaviour.loses).contains(&taken)
    }
}

struct Reader {
    database: Database,
    read: TableRead,
    next_row: usize,
    batches: usize,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.database.seen.open_readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl RowReader for Reader {
    async fn next(&mut self, batch: &mut RowBatch, _bytes_max: usize) -> Result<(), PortError> {
        // Lets the other tables have their turn, as a database behind a socket would.
        tokio::task::yield_now().await;
        batch.clear(self.read.columns.len());
        let behaviour = &self.database.behaviour;
        if let Some((table, batches)) = &behaviour.fails
            && *table == self.read.table
            && *batches == self.batches
        {
            return Err(PortError::new(ErrorKind::Unavailable, "the line went dead"));
        }
        let mut rows = &self.database.rows[&self.read.table][..];
        if self.database.is_lost() {
            rows = &rows[..rows.len() / 2];
        }
        if behaviour.endless.as_ref() == Some(&self.read.table) {
            self.next_row = 0;
        }
        for row in rows.iter().skip(self.next_row).take(behaviour.rows_per_batch) {
            for &position in &self.read.columns {
                batch.push(row[position].cell());
            }
            batch.end_row();
        }
        if batch.rows() > 0 {
            let batches = self.database.seen.batches.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some((at, cancel)) = &behaviour.cancels
                && *at == batches
            {
                cancel.cancel();
            }
        }
        self.next_row += batch.rows();
        self.batches += 1;
        Ok(())
    }
}
