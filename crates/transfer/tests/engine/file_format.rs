//! A dump format of JSON text, made at `NAME.partial` and renamed, and the ways it can go wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metaferry_domain::ports::{FinishedTarget, GeneratedColumns, RowOrder, Source, TableWriter, Target};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_transfer::dump::DumpFormat;

use crate::database::{Behaviour, Database, Row, Value};

/// What goes wrong at the table that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The first row never arrives.
    Loses(String),
    /// The first row arrives twice.
    Doubles(String),
    /// The last cell of the first row is another.
    Changes(String),
    /// The writer owns up to one row fewer.
    Miscounts(String),
    /// The second batch cannot be written.
    FailsToWrite(String),
    /// The file cannot be finished.
    FailsToFinish,
    /// The disk takes for ever to sync the file.
    NeverFinishes,
    /// A finished file cannot be opened.
    FailsToOpen,
}

#[derive(Debug, Clone)]
pub(crate) struct JsonFormat {
    pub(crate) catalogue: Catalogue,
    pub(crate) fault: Fault,
    pub(crate) generated: GeneratedColumns,
    pub(crate) order: RowOrder,
    /// How a file behaves that is read again.
    pub(crate) rereading: Behaviour,
    pub(crate) open_writers: Arc<AtomicUsize>,
}

impl JsonFormat {
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        Self {
            catalogue: catalogue.clone(),
            fault: Fault::None,
            generated: GeneratedColumns::Computed,
            order: RowOrder::Any,
            rereading: Behaviour::default(),
            open_writers: Arc::default(),
        }
    }

    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

/// The rows of a finished file.
pub(crate) fn rows_in(file: &Path) -> BTreeMap<String, Vec<Row>> {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[async_trait]
impl DumpFormat for JsonFormat {
    async fn create(&self, file: &Path) -> Result<Box<dyn Target>, PortError> {
        std::fs::write(partial(file), "begun").unwrap();
        Ok(Box::new(JsonTarget {
            format: self.clone(),
            file: file.to_path_buf(),
            rows: Arc::default(),
        }))
    }

    async fn open(&self, file: &Path) -> Result<Box<dyn Source>, PortError> {
        if self.fault == Fault::FailsToOpen {
            return Err(PortError::new(ErrorKind::Corrupt, "the first page is torn"));
        }
        Ok(Box::new(Database {
            catalogue: self.catalogue.clone(),
            rows: rows_in(file),
            behaviour: self.rereading.clone(),
            ..Database::default()
        }))
    }

    fn unfinished(&self, file: &Path) -> PathBuf {
        partial(file)
    }
}

struct JsonTarget {
    format: JsonFormat,
    file: PathBuf,
    rows: Arc<Mutex<BTreeMap<String, Vec<Row>>>>,
}

impl Drop for JsonTarget {
    fn drop(&mut self) {
        // Finished, it is not there any more.
        std::fs::remove_file(partial(&self.file)).unwrap_or_default();
    }
}

#[async_trait]
impl Target for JsonTarget {
    fn row_order(&self) -> RowOrder {
        self.format.order
    }

    fn generated_columns(&self) -> GeneratedColumns {
        self.format.generated
    }

    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
        let mut rows = self.rows.lock().unwrap();
        for table in &catalogue.tables {
            rows.insert(table.name.key(), Vec::new());
        }
        Ok(Vec::new())
    }

    async fn table(&self, table: &str, columns: &[usize]) -> Result<Box<dyn TableWriter>, PortError> {
        self.format.open_writers.fetch_add(1, Ordering::SeqCst);
        let catalogue = &self.format.catalogue;
        Ok(Box::new(JsonWriter {
            fault: self.format.fault.clone(),
            table: table.to_owned(),
            columns: columns.to_vec(),
            width: catalogue.table(table).unwrap().columns.len(),
            rows: Arc::clone(&self.rows),
            written: 0,
            batches: 0,
            open_writers: Arc::clone(&self.format.open_writers),
        }))
    }

    async fn finish(self: Box<Self>) -> Result<FinishedTarget, PortError> {
        if self.format.fault == Fault::FailsToFinish {
            return Err(PortError::new(ErrorKind::Exhausted, "the disk is full"));
        }
        if self.format.fault == Fault::NeverFinishes {
            std::fs::write(partial(&self.file), "unfinished").unwrap();
            return std::future::pending().await;
        }
        let json = serde_json::to_vec(&*self.rows.lock().unwrap()).unwrap();
        std::fs::write(partial(&self.file), &json).unwrap();
        std::fs::rename(partial(&self.file), &self.file).unwrap();
        Ok(FinishedTarget {
            bytes: json.len() as u64,
            notes: Vec::new(),
        })
    }
}

struct JsonWriter {
    fault: Fault,
    table: String,
    columns: Vec<usize>,
    width: usize,
    rows: Arc<Mutex<BTreeMap<String, Vec<Row>>>>,
    written: u64,
    batches: usize,
    open_writers: Arc<AtomicUsize>,
}

impl Drop for JsonWriter {
    fn drop(&mut self) {
        self.open_writers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl TableWriter for JsonWriter {
    async fn write(&mut self, batch: &RowBatch) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        self.batches += 1;
        if self.fault == Fault::FailsToWrite(self.table.clone()) && self.batches == 2 {
            return Err(PortError::new(ErrorKind::Exhausted, "no room for another page"));
        }
        for row in 0..batch.rows() {
            let mut values = vec![Value::Null; self.width];
            for (&position, cell) in self.columns.iter().zip(batch.row(row)) {
                values[position] = Value::of(cell);
            }
            self.written += 1;
            let mut copies = 1;
            if self.written == 1 {
                if self.fault == Fault::Loses(self.table.clone()) {
                    copies = 0;
                } else if self.fault == Fault::Doubles(self.table.clone()) {
                    copies = 2;
                } else if self.fault == Fault::Changes(self.table.clone()) {
                    *values.last_mut().unwrap() = Value::Text("another".to_owned());
                }
            }
            let mut rows = self.rows.lock().unwrap();
            let rows = rows.get_mut(&self.table).unwrap();
            rows.extend(std::iter::repeat_n(values, copies));
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, PortError> {
        let lost = u64::from(self.fault == Fault::Miscounts(self.table.clone()));
        Ok(self.written - lost)
    }
}
