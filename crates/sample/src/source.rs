//! The sample as a source of rows: every row is made when it is read.

use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::ports::{RowOrder, RowReader, Snapshot, Source, TableRead};
use metaferry_domain::row_batch::{Instant, RowBatch};
use metaferry_domain::schema::{Catalogue, DataType, Dialect, Name};
use metaferry_domain::{ErrorKind, PortError};

use crate::draft::SampleTable;
use crate::random::{EPOCH_MICROS, Random};
use crate::sizes::Sizes;
use crate::tables;
use crate::value::Value;

/// Making rows costs a processor, not a disk.
const PARALLELISM: usize = 2;

/// Which sample. The same options give the same rows everywhere and always.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// Another seed gives other rows of the same shape; the known users, sessions and keys stay.
    pub seed: u64,
    /// 1 is about ten thousand rows and some megabytes; rows grow in proportion. At 0 every table that matters
    /// still has a few.
    pub scale: f64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self { seed: 1, scale: 0.1 }
    }
}

/// A sample app DB, in no database.
#[derive(Debug, Clone)]
pub struct SampleSource {
    sample: Arc<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) seed: u64,
    pub(crate) sizes: Sizes,
    /// In the catalogue's order.
    pub(crate) tables: Vec<SampleTable>,
    pub(crate) catalogue: Catalogue,
}

impl SampleSource {
    /// The sample of those options.
    #[must_use]
    pub fn new(options: SampleOptions) -> Self {
        let sizes = Sizes::at(options.scale);
        let tables = tables::tables(&sizes);
        let catalogue = Catalogue {
            tables: tables.iter().map(|sample| sample.table.clone()).collect(),
            views: tables::views(),
        };
        Self {
            sample: Arc::new(Sample {
                seed: options.seed,
                sizes,
                tables,
                catalogue,
            }),
        }
    }

    /// Tables, keys and views, in Postgres's words.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.sample.catalogue
    }

    /// Rows of all tables together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.sample.tables.iter().map(|table| table.rows).sum()
    }

    pub(crate) fn sample(&self) -> &Sample {
        &self.sample
    }
}

impl Sample {
    fn position(&self, key: &str) -> Result<usize, PortError> {
        let key = key.to_lowercase();
        self.tables
            .iter()
            .position(|sample| sample.table.name.key() == key)
            .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("the sample has no table {key}")))
    }

    /// The row of that number, counted from 0.
    pub(crate) fn row(&self, table: &SampleTable, number: u64) -> Vec<Value> {
        let mut random = Random::of_row(self.seed, table.table.name.as_str(), number);
        (table.maker)(&self.sizes, &mut random, number)
    }

    /// The numbers of a table's rows, ascending by primary key; `None` where that is the order they come in.
    fn by_key(&self, table: &SampleTable) -> Option<Vec<u64>> {
        let key = table.table.primary_key.as_ref()?;
        // An `id` grows with the row's number. The tables with other keys are small.
        if key.columns.iter().map(Name::as_str).eq(["id"])
            && table.table.columns[0].data_type == DataType::Integer
        {
            return None;
        }
        let positions: Vec<usize> = key
            .columns
            .iter()
            .filter_map(|name| table.table.columns.iter().position(|column| column.name == *name))
            .collect();
        let mut keyed: Vec<(Vec<SortKey>, u64)> = (0..table.rows)
            .map(|number| {
                let row = self.row(table, number);
                (
                    positions.iter().map(|at| SortKey::of(&row[*at])).collect(),
                    number,
                )
            })
            .collect();
        keyed.sort_unstable();
        Some(keyed.into_iter().map(|(_, number)| number).collect())
    }
}

/// What the sample's keys are made of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(i64),
    Text(String),
}

impl SortKey {
    fn of(value: &Value) -> Self {
        match value {
            Value::Int(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text.clone()),
            other => Self::Text(format!("{other:?}")),
        }
    }
}

#[async_trait]
impl Source for SampleSource {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError> {
        Ok(Box::new(SampleSnapshot {
            sample: Arc::clone(&self.sample),
        }))
    }
}

#[derive(Debug)]
struct SampleSnapshot {
    sample: Arc<Sample>,
}

#[async_trait]
impl Snapshot for SampleSnapshot {
    fn catalogue(&self) -> &Catalogue {
        &self.sample.catalogue
    }

    /// The sample has no clock: it is always the beginning of its own history.
    fn taken_at(&self) -> Instant {
        Instant {
            micros: EPOCH_MICROS,
            nanos: 0,
        }
    }

    fn parallelism(&self) -> usize {
        PARALLELISM
    }

    async fn count(&self, table: &str) -> Result<u64, PortError> {
        Ok(self.sample.tables[self.sample.position(table)?].rows)
    }

    async fn read(&self, read: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        let position = self.sample.position(&read.table)?;
        let table = &self.sample.tables[position];
        if let Some(column) = read
            .columns
            .iter()
            .find(|column| **column >= table.table.columns.len())
        {
            let what = format!("table {} of the sample has no column number {column}", read.table);
            return Err(PortError::new(ErrorKind::Precondition, what));
        }
        let sorted = match read.order {
            RowOrder::Any => None,
            RowOrder::PrimaryKey => self.sample.by_key(table),
        };
        Ok(Box::new(SampleReader {
            sample: Arc::clone(&self.sample),
            position,
            columns: read.columns.clone(),
            sorted,
            next: 0,
        }))
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

#[derive(Debug)]
struct SampleReader {
    sample: Arc<Sample>,
    position: usize,
    columns: Vec<usize>,
    /// Row numbers in the wanted order, where it is not their own.
    sorted: Option<Vec<u64>>,
    next: u64,
}

#[async_trait]
impl RowReader for SampleReader {
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError> {
        batch.clear(self.columns.len());
        let table = &self.sample.tables[self.position];
        while self.next < table.rows && (batch.rows() == 0 || batch.bytes() < bytes_max) {
            let number = match &self.sorted {
                Some(sorted) => sorted[usize::try_from(self.next).expect("an index of a list in memory")],
                None => self.next,
            };
            let row = self.sample.row(table, number);
            for column in &self.columns {
                batch.push(row[*column].cell());
            }
            batch.end_row();
            self.next += 1;
        }
        Ok(())
    }
}
