//! Digests of what arrived, over the columns that were carried, several tables at once.

use metaferry_domain::ports::{RowOrder, RowReader, Snapshot, TableRead, TableReport};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::{Catalogue, Column};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use tokio::task::JoinSet;

use crate::copy::BATCH_BYTES;
use crate::digest::TableDigest;
use crate::error::TransferError;
use crate::plan::{Plan, TablePlan};

/// Rows and digest of every table of the plan, as `written` holds them.
pub(crate) async fn digests(
    source: &Catalogue,
    plan: &Plan,
    written: &dyn Snapshot,
    cancel: &Cancellation,
) -> Result<Vec<TableReport>, TransferError> {
    let mut running = JoinSet::new();
    let mut reports = Vec::with_capacity(plan.tables.len());
    let read_all = async {
        for table_plan in &plan.tables {
            if running.len() >= written.parallelism().max(1) {
                reports.extend(ended(&mut running).await?);
            }
            cancel.check()?;
            running.spawn(begin(source, table_plan, written, cancel).await?.run());
        }
        while !running.is_empty() {
            reports.extend(ended(&mut running).await?);
        }
        Ok(())
    }
    .await;
    running.shutdown().await;
    read_all.map(|()| reports)
}

async fn ended(
    running: &mut JoinSet<Result<TableReport, TransferError>>,
) -> Result<Option<TableReport>, TransferError> {
    match running.join_next().await {
        None => Ok(None),
        Some(Ok(report)) => report.map(Some),
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Finds the columns that were carried by their names.
async fn begin(
    source: &Catalogue,
    plan: &TablePlan,
    written: &dyn Snapshot,
    cancel: &Cancellation,
) -> Result<Reading, TransferError> {
    let name = plan.read.table.clone();
    let at_table = |source| TransferError::Table {
        table: name.clone(),
        source,
    };
    let absent = |what: String| at_table(PortError::new(ErrorKind::Corrupt, what));
    let (Some(from), Some(there)) = (source.table(&name), written.catalogue().table(&name)) else {
        return Err(absent("it is not at the target".to_owned()));
    };
    let mut columns = Vec::with_capacity(plan.read.columns.len());
    for column in plan.columns(from) {
        let key = column.name.key();
        let position = there.columns.iter().position(|there| there.name.key() == key);
        columns.push(position.ok_or_else(|| absent(format!("column {key} is not at the target")))?);
    }
    let described: Vec<&Column> = columns.iter().map(|&position| &there.columns[position]).collect();
    let digest = TableDigest::new(&described);
    let width = columns.len();
    let read = TableRead {
        table: name.clone(),
        columns,
        order: RowOrder::Any,
    };
    Ok(Reading {
        reader: written.read(&read).await.map_err(at_table)?,
        name,
        digest,
        width,
        cancel: cancel.clone(),
    })
}

struct Reading {
    name: String,
    reader: Box<dyn RowReader>,
    digest: TableDigest,
    width: usize,
    cancel: Cancellation,
}

impl Reading {
    async fn run(mut self) -> Result<TableReport, TransferError> {
        let mut batch = RowBatch::new(self.width);
        loop {
            self.cancel.check()?;
            self.reader
                .next(&mut batch, BATCH_BYTES)
                .await
                .map_err(|source| TransferError::Table {
                    table: self.name.clone(),
                    source,
                })?;
            if batch.rows() == 0 {
                break;
            }
            self.digest.add(&batch);
        }
        Ok(TableReport {
            rows: self.digest.rows(),
            digest: self.digest.digest().to_string(),
            name: self.name,
        })
    }
}
