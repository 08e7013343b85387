//! The application's tables as a source of rows, and H2 files as what they are dumped into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_domain::ports::{Clock, RowReader, Snapshot, Source, TableRead, Target};
use metaferry_domain::row_batch::{Cell, Instant, RowBatch};
use metaferry_domain::schema::{
    Catalogue, Column, DataType, Dialect, Key, Name, Nullability, Table, ValueSource,
};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::in_process::SystemClock;
use metaferry_transfer::dump::{DecidedPolicy, DumpFormat, PolicyMaker};

use crate::app::{App, Row, TABLES};

#[async_trait]
impl Source for App {
    fn dialect(&self) -> Dialect {
        Dialect::H2
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        Ok(Box::new(Tables {
            catalogue: catalogue(),
            rows: self
                .rows()
                .into_iter()
                .map(|(table, rows)| (table, rows.into()))
                .collect(),
            taken_at_ms: SystemClock.now_ms(),
        }))
    }
}

fn catalogue() -> Catalogue {
    let column = |name: &&str| {
        let data_type = if *name == "id" {
            DataType::BigInt
        } else {
            DataType::Text
        };
        Column {
            name: (*name).into(),
            native_type: format!("{data_type:?}"),
            data_type,
            nullability: Nullability::NotNull,
            value_source: ValueSource::None,
            comment: None,
        }
    };
    let table = |(name, columns): &(&str, &[&str])| Table {
        schema: "public".into(),
        name: (*name).into(),
        columns: columns.iter().map(column).collect(),
        primary_key: Some(Key {
            name: Name::new(format!("{name}_pkey")),
            columns: vec!["id".into()],
        }),
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    };
    Catalogue {
        tables: TABLES.iter().map(table).collect(),
        views: Vec::new(),
    }
}

/// All rows as they were at one moment.
struct Tables {
    catalogue: Catalogue,
    rows: BTreeMap<&'static str, Arc<[Row]>>,
    taken_at_ms: u64,
}

impl Tables {
    fn rows(&self, table: &str) -> Result<Arc<[Row]>, PortError> {
        let unknown = || PortError::new(ErrorKind::NotFound, format!("there is no table {table}"));
        self.rows.get(table).cloned().ok_or_else(unknown)
    }
}

#[async_trait]
impl Snapshot for Tables {
    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn taken_at(&self) -> Instant {
        Instant {
            micros: i64::try_from(self.taken_at_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            nanos: 0,
        }
    }

    fn parallelism(&self) -> usize {
        1
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        Ok(self.rows(table)?.len() as u64)
    }

    /// Rows lie in the order of their keys already.
    async fn read(&self, read: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        Ok(Box::new(Rows {
            rows: self.rows(&read.table)?,
            columns: read.columns.clone(),
            next: 0,
        }))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

/// The rows of one table that are still to be read.
struct Rows {
    rows: Arc<[Row]>,
    columns: Vec<usize>,
    next: usize,
}

#[async_trait]
impl RowReader for Rows {
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError> {
        batch.clear(self.columns.len());
        for (key, values) in self.rows.iter().skip(self.next) {
            for column in &self.columns {
                batch.push(match column.checked_sub(1).and_then(|at| values.get(at)) {
                    Some(text) => Cell::Text(text),
                    None => Cell::Int(*key),
                });
            }
            batch.end_row();
            self.next += 1;
            if batch.bytes() >= bytes_max {
                break;
            }
        }
        Ok(())
    }
}

/// Dumps are H2 files.
pub(crate) struct H2Files;

#[async_trait]
impl DumpFormat for H2Files {
    async fn create(&self, file: &Path) -> Result<Box<dyn Target>, PortError> {
        Ok(Box::new(H2Target::new(file)))
    }

    async fn open(&self, file: &Path) -> Result<Box<dyn Source>, PortError> {
        Ok(Box::new(H2Source::new(file)))
    }

    fn unfinished(&self, file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    }
}

/// Every table goes along as it is.
pub(crate) struct Everything;

#[async_trait]
impl PolicyMaker for Everything {
    async fn decide(&self, _: &dyn Snapshot) -> Result<DecidedPolicy, PortError> {
        Ok(DecidedPolicy::default())
    }
}
