//! An H2 file as the source of a copy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use metaferry_domain::ports::{Hold, RowOrder, RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::{Instant, RowBatch};
use metaferry_domain::schema::{Catalogue, Dialect};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::{
    Database, Facts, Index, IndexKind, OpenOptions, ReadError, SqlType, Table, Unsupported, Value,
};
use tokio::sync::mpsc;

use super::{catalogue, cells, error, health, off_thread};

/// Tables that are worth reading at the same time: each reader has a thread of its own.
const PARALLEL_TABLES: usize = 2;

/// Reads an H2 file: its newest complete version. The file is never changed or locked; a Metabase may be running on it.
#[derive(Debug, Clone)]
pub struct H2Source {
    path: PathBuf,
    options: OpenOptions,
}

impl H2Source {
    /// A source over an existing file, usually named `….mv.db`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            options: OpenOptions::default(),
        }
    }

    /// With the password of an encrypted file, or for a damaged one.
    #[must_use]
    pub fn with_options(self, options: OpenOptions) -> Self {
        Self { options, ..self }
    }
}

#[async_trait]
impl Source for H2Source {
    fn dialect(&self) -> Dialect {
        Dialect::H2
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        Ok(Box::new(self.open().await?))
    }
}

impl H2Source {
    /// The snapshot, with what the file says of itself.
    ///
    /// # Errors
    /// If there is no such file, or no version in it that can be trusted.
    pub async fn open(&self) -> Result<H2Snapshot, PortError> {
        let (path, options) = (self.path.clone(), self.options.clone());
        let database = off_thread(move || open(&path, options)).await?;
        let (catalogue, positions) = catalogue::of(database.definition());
        Ok(H2Snapshot {
            database: Arc::new(database),
            catalogue,
            positions,
            taken_at: now(),
        })
    }
}

/// Opens a file, or says what is wrong with it and what to do.
fn open(path: &Path, options: OpenOptions) -> Result<Database, PortError> {
    options.open(path).map_err(|problem| {
        let page_store = page_store_beside(path);
        if page_store.exists() && matches!(&problem, ReadError::Open { .. }) {
            let problem = ReadError::Unsupported(Unsupported::PageStore);
            return error::at(&page_store, problem);
        }
        error::at(path, problem)
    })
}

/// What H2 1.3 names the file that a newer one calls `….mv.db`.
fn page_store_beside(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    PathBuf::from(format!("{}.h2.db", name.strip_suffix(".mv.db").unwrap_or(&name)))
}

fn now() -> Instant {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    Instant {
        micros: i64::try_from(micros).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

/// One version of a file.
#[derive(Debug)]
pub struct H2Snapshot {
    database: Arc<Database>,
    catalogue: Catalogue,
    /// For each table of the catalogue, its place in the file's own list.
    positions: Vec<usize>,
    taken_at: Instant,
}

impl H2Snapshot {
    /// About the version that is shown.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.database.facts()
    }

    /// The place of a table in the file's own list.
    fn position(&self, key: &str) -> Result<usize, PortError> {
        let key = key.to_lowercase();
        let place = self
            .catalogue
            .tables
            .iter()
            .position(|table| table.name.key() == key);
        place
            .map(|place| self.positions[place])
            .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("table {key} is not in the file")))
    }
}

#[async_trait]
impl Snapshot for H2Snapshot {
    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn taken_at(&self) -> Instant {
        self.taken_at
    }

    fn parallelism(&self) -> usize {
        PARALLEL_TABLES
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        let position = self.position(table)?;
        let database = Arc::clone(&self.database);
        off_thread(move || {
            database
                .row_count(&database.tables()[position])
                .map_err(error::read)
        })
        .await
    }

    async fn read(&self, read: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let position = self.position(&read.table)?;
        let width = self.database.tables()[position].definition().columns.len();
        if let Some(column) = read.columns.iter().find(|column| **column >= width) {
            return Err(PortError::new(
                ErrorKind::NotFound,
                format!("table {} has no column number {column}", read.table),
            ));
        }
        let (to_thread, requests) = mpsc::channel(1);
        let (replies, from_thread) = mpsc::channel(1);
        let work = Work {
            database: Arc::clone(&self.database),
            position,
            columns: read.columns.clone(),
            order: read.order,
            scratch: String::new(),
        };
        tokio::task::spawn_blocking(move || work.run(&mut Conversation { requests, replies }));
        Ok(Box::new(H2RowReader {
            to_thread,
            from_thread,
            ahead: Ahead::Nothing,
            table: read.table.clone(),
        }))
    }

    fn notes(&self) -> Vec<String> {
        health::notes(self.database.facts())
    }

    async fn confirm(&self) -> Result<Hold, PortError> {
        let database = Arc::clone(&self.database);
        off_thread(move || match database.confirm() {
            Ok(()) => Ok(Hold::Held),
            Err(ReadError::Overwritten { .. } | ReadError::Torn { .. }) => Ok(Hold::Lost),
            Err(problem) => Err(error::read(problem)),
        })
        .await
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

/// Asks the reading thread to fill a batch.
#[derive(Debug)]
struct Request {
    batch: RowBatch,
    bytes_max: usize,
}

type Reply = Result<RowBatch, PortError>;

/// Is a batch being filled in advance?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Nothing,
    OneBatch,
    Ended,
}

/// Rows that a thread reads one batch ahead.
#[derive(Debug)]
struct H2RowReader {
    to_thread: mpsc::Sender<Request>,
    from_thread: mpsc::Receiver<Reply>,
    ahead: Ahead,
    table: String,
}

impl H2RowReader {
    async fn ask(&mut self, batch: RowBatch, bytes_max: usize) -> Result<(), PortError> {
        self.to_thread
            .send(Request { batch, bytes_max })
            .await
            .map_err(|_| self.gone())
    }

    fn gone(&self) -> PortError {
        PortError::new(
            ErrorKind::Unavailable,
            format!("table {}: the reading thread ended early", self.table),
        )
    }
}

#[async_trait]
impl RowReader for H2RowReader {
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError> {
        match self.ahead {
            Ahead::Ended => {
                batch.clear(batch.columns());
                return Ok(());
            }
            Ahead::Nothing => self.ask(std::mem::take(batch), bytes_max).await?,
            Ahead::OneBatch => {}
        }
        self.ahead = Ahead::Ended;
        let filled = self.from_thread.recv().await.ok_or_else(|| self.gone())??;
        let used = std::mem::replace(batch, filled);
        if batch.rows() > 0 {
            self.ask(used, bytes_max).await?;
            self.ahead = Ahead::OneBatch;
        }
        Ok(())
    }
}

/// The thread's side of the channels.
struct Conversation {
    requests: mpsc::Receiver<Request>,
    replies: mpsc::Sender<Reply>,
}

/// What became of a row that was offered.
enum Flow {
    GoOn,
    /// Nobody wants more.
    Stop,
}

/// What the thread does.
struct Work {
    database: Arc<Database>,
    position: usize,
    columns: Vec<usize>,
    order: RowOrder,
    scratch: String,
}

impl Work {
    fn run(mut self, conversation: &mut Conversation) {
        let database = Arc::clone(&self.database);
        let table = &database.tables()[self.position];
        let Some(request) = conversation.requests.blocking_recv() else {
            return;
        };
        let mut filling = Filling {
            request,
            conversation,
        };
        filling.request.batch.clear(self.columns.len());
        let read = match self.key_index(&database, table) {
            Some(index) => self.by_index(table, index, &mut filling),
            None => self.by_row_key(table, &mut filling),
        };
        // Nobody listens any more if the sending fails.
        match read {
            Ok(Flow::Stop) => {}
            Ok(Flow::GoOn) => filling.end(self.columns.len()),
            Err(error) => {
                let _ = filling.conversation.replies.blocking_send(Err(error));
            }
        }
    }

    /// The index to read by, where rows are wanted in key order.
    fn key_index<'d>(&self, database: &'d Database, table: &Table) -> Option<&'d Index> {
        let is_key = |index: &&Index| index.table == table.id() && index.kind == IndexKind::PrimaryKey;
        match self.order {
            RowOrder::Any => None,
            RowOrder::PrimaryKey => database.indexes().iter().find(is_key),
        }
    }

    fn by_row_key(&mut self, table: &Table, filling: &mut Filling<'_>) -> Result<Flow, PortError> {
        let database = Arc::clone(&self.database);
        let mut rows = database.rows(table);
        while let Some(row) = rows.next_row().map_err(error::read)? {
            if let Flow::Stop = self.offer(table, row.key, &row.values, filling)? {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    fn by_index(
        &mut self,
        table: &Table,
        index: &Index,
        filling: &mut Filling<'_>,
    ) -> Result<Flow, PortError> {
        let database = Arc::clone(&self.database);
        // Without a map of its own the key is the row key, and rows lie in its order.
        let Some(mut entries) = database.index_entries(index).map_err(error::read)? else {
            return self.by_row_key(table, filling);
        };
        while let Some(entry) = entries.next_entry().map_err(error::read)? {
            let row_key = entry.row_key;
            let missing = || {
                let (table, index) = (&table.definition().name, &index.name);
                let what = format!("table {table}: index {index} lists row {row_key}, which is not there");
                PortError::new(ErrorKind::Corrupt, what)
            };
            let found = database
                .row_by_key(table, row_key)
                .map_err(error::read)?
                .ok_or_else(missing)?;
            let row = found.row().map_err(error::read)?;
            if let Flow::Stop = self.offer(table, row.key, &row.values, filling)? {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    fn offer(
        &mut self,
        table: &Table,
        row_key: i64,
        values: &[Value<'_>],
        filling: &mut Filling<'_>,
    ) -> Result<Flow, PortError> {
        let definition = table.definition();
        let batch = &mut filling.request.batch;
        for position in &self.columns {
            let column = &definition.columns[*position];
            let sql_type: &SqlType = &column.sql_type;
            cells::push(batch, &values[*position], sql_type, &mut self.scratch).map_err(|problem| {
                let place = format!("table {}, column {}, row {row_key}", definition.name, column.name);
                PortError::new(ErrorKind::Unsupported, format!("{place}: {problem}"))
            })?;
        }
        batch.end_row();
        if batch.bytes() < filling.request.bytes_max {
            Ok(Flow::GoOn)
        } else {
            Ok(filling.turn(self.columns.len()))
        }
    }
}

/// The batch that is being filled.
struct Filling<'c> {
    request: Request,
    conversation: &'c mut Conversation,
}

impl Filling<'_> {
    /// Sends the full batch and waits for the next.
    fn turn(&mut self, columns: usize) -> Flow {
        let full = std::mem::take(&mut self.request.batch);
        if self.conversation.replies.blocking_send(Ok(full)).is_err() {
            return Flow::Stop;
        }
        match self.conversation.requests.blocking_recv() {
            Some(request) => {
                self.request = request;
                self.request.batch.clear(columns);
                Flow::GoOn
            }
            None => Flow::Stop,
        }
    }

    /// Sends what is left, then, if it was something, the empty batch that means the end.
    fn end(mut self, columns: usize) {
        if self.request.batch.rows() > 0
            && let Flow::Stop = self.turn(columns)
        {
            return;
        }
        let _ = self.conversation.replies.blocking_send(Ok(self.request.batch));
    }
}
