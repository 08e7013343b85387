//! Source to target in batches: several tables at once, each row filtered, changed and digested on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{
    DumpObserver, Hold, LeftOut, RowReader, Snapshot, TableReport, TableWriter, Target,
};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{Cancellation, ErrorKind};
use tokio::task::JoinSet;

use crate::digest::TableDigest;
use crate::error::TransferError;
use crate::plan::Plan;
use crate::row_rules::RowRules;
use crate::waiting::unless_cancelled;

/// Bytes of a batch: large enough that a batch costs nothing, small enough that several in flight stay small.
pub(crate) const BATCH_BYTES: usize = 512 << 10;

/// What was carried.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyReport {
    /// Per table, by name.
    pub tables: Vec<TableReport>,
    /// Tables whose rows stayed, by name.
    pub left_out: Vec<LeftOut>,
    /// Things a person should know.
    pub notes: Vec<String>,
    /// Bytes of all batches.
    pub bytes: u64,
}

/// Copies what the policy carries out of `snapshot` into `target`, which is left unfinished.
///
/// # Errors
/// The first that any table met; the others are stopped.
pub async fn copy(
    snapshot: &dyn Snapshot,
    target: &mut dyn Target,
    policy: &CopyPolicy,
    observer: Arc<dyn DumpObserver>,
    cancel: &Cancellation,
) -> Result<CopyReport, TransferError> {
    let plan = Plan::new(
        snapshot.catalogue(),
        policy,
        target.row_order(),
        target.generated_columns(),
    );
    let (made, mut notes) = snapshot.catalogue().without(&policy.absent);
    let mut report = carry(snapshot, &made, target, &plan, observer, cancel).await?;
    notes.append(&mut report.notes);
    report.notes = notes;
    Ok(report)
}

/// Copies what the plan says into what is `made` of the catalogue.
pub(crate) async fn carry(
    snapshot: &dyn Snapshot,
    made: &Catalogue,
    target: &mut dyn Target,
    plan: &Plan,
    observer: Arc<dyn DumpObserver>,
    cancel: &Cancellation,
) -> Result<CopyReport, TransferError> {
    let mut notes = target.prepare(made).await?;
    notes.extend(
        plan.unknown
            .iter()
            .map(|table| format!("table {table} is not Metabase's own; it goes along")),
    );
    observer.begins();
    let progress = Arc::new(Progress::new(
        observer,
        plan.tables.iter().map(|table| table.rows_estimate).sum(),
    ));

    let mut running = JoinSet::new();
    let moved = match move_tables(snapshot, target, plan, &progress, cancel, &mut running).await {
        Err(error) if is_aftermath(&error) && cancel.check().is_ok() => Err(cause(error, &mut running).await),
        moved => moved,
    };
    // Told to stop they go on to their next wait; whoever cleans up must find nothing open.
    running.shutdown().await;
    let read = match moved {
        Ok(copied) => left_out(snapshot, plan.left_out.clone(), cancel)
            .await
            .map(|left_out| (copied, left_out)),
        Err(error) => Err(error),
    };
    let (copied, left_out) = confirmed(snapshot, read).await?;
    notes.extend(
        copied
            .iter()
            .filter(|copied| copied.finer_than_micros > 0)
            .map(|copied| {
                format!(
                    "table {}: {} values are finer than a microsecond",
                    copied.report.name, copied.finer_than_micros
                )
            }),
    );
    notes.extend(copied.iter().flat_map(|copied| copied.notes.clone()));
    let mut tables: Vec<TableReport> = copied.into_iter().map(|copied| copied.report).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(CopyReport {
        tables,
        left_out,
        notes,
        bytes: progress.bytes.load(Ordering::Relaxed),
    })
}

/// Did a table only stop because another one could not go on?
fn is_aftermath(error: &TransferError) -> bool {
    matches!(error, TransferError::Table { source, .. } if source.kind == ErrorKind::Cancelled)
}

/// How long the others may take to say what really happened.
const CAUSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What another table met, of which that error is the aftermath.
async fn cause(
    aftermath: TransferError,
    running: &mut JoinSet<Result<Copied, TransferError>>,
) -> TransferError {
    let search = async {
        loop {
            match finished(running).await {
                Ok(None) => return None,
                Err(error) if !is_aftermath(&error) => return Some(error),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    };
    let found = tokio::time::timeout(CAUSE_WAIT_MAX, search).await.unwrap_or(None);
    match (found, aftermath) {
        (Some(cause), _) => cause,
        // Nobody was interrupted.
        (None, TransferError::Table { table, mut source }) => {
            source.kind = ErrorKind::Unavailable;
            TransferError::Table { table, source }
        }
        (None, other) => other,
    }
}

/// How often a snapshot that its source lost is taken anew.
pub const SNAPSHOTS_MAX: u32 = 50;

/// `read`, if it is of the snapshot. An error may only show that it no longer is.
pub(crate) async fn confirmed<T>(
    snapshot: &dyn Snapshot,
    read: Result<T, TransferError>,
) -> Result<T, TransferError> {
    match &read {
        Err(TransferError::Port(error) | TransferError::Table { source: error, .. })
            if error.kind == ErrorKind::Cancelled =>
        {
            read
        }
        Ok(_) | Err(_) => match snapshot.confirm().await? {
            Hold::Held => read,
            Hold::Lost => Err(TransferError::SnapshotLost),
        },
    }
}

/// Counts the rows of tables that stay behind.
async fn left_out(
    snapshot: &dyn Snapshot,
    tables: Vec<(String, String)>,
    cancel: &Cancellation,
) -> Result<Vec<LeftOut>, TransferError> {
    let mut left_out = Vec::with_capacity(tables.len());
    for (name, why) in tables {
        let rows = unless_cancelled(cancel, snapshot.count(&name))
            .await?
            .map_err(|source| TransferError::Table {
                table: name.clone(),
                source,
            })?;
        left_out.push(LeftOut { name, rows, why });
    }
    Ok(left_out)
}

/// Moves every table of the plan, as many at once as the source can read with profit. On an error the others are
/// left in `running`.
async fn move_tables(
    snapshot: &dyn Snapshot,
    target: &dyn Target,
    plan: &Plan,
    progress: &Arc<Progress>,
    cancel: &Cancellation,
    running: &mut JoinSet<Result<Copied, TransferError>>,
) -> Result<Vec<Copied>, TransferError> {
    let catalogue = snapshot.catalogue();
    let mut copied = Vec::with_capacity(plan.tables.len());
    let parallelism = snapshot.parallelism().max(1);
    for table_plan in &plan.tables {
        if running.len() >= parallelism {
            copied.extend(finished(running).await?);
        }
        cancel.check()?;
        let name = table_plan.read.table.clone();
        let at_table = |source| TransferError::Table {
            table: name.clone(),
            source,
        };
        let Some(table) = catalogue.table(&name) else {
            continue;
        };
        let columns = table_plan.columns(table);
        let rules = RowRules::of(snapshot, table, table_plan).await?;
        let moving = MovingTable {
            reader: snapshot.read(&table_plan.read).await.map_err(at_table)?,
            writer: target
                .table(&name, &table_plan.read.columns)
                .await
                .map_err(at_table)?,
            digest: TableDigest::new(&columns),
            width: columns.len(),
            name: name.clone(),
            rules,
            progress: Arc::clone(progress),
            cancel: cancel.clone(),
        };
        running.spawn(moving.run());
    }
    while !running.is_empty() {
        copied.extend(finished(running).await?);
    }
    Ok(copied)
}

async fn finished(
    running: &mut JoinSet<Result<Copied, TransferError>>,
) -> Result<Option<Copied>, TransferError> {
    match running.join_next().await {
        None => Ok(None),
        Some(Ok(copied)) => copied.map(Some),
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A table on its way, with everything that its task needs.
struct MovingTable {
    name: String,
    reader: Box<dyn RowReader>,
    writer: Box<dyn TableWriter>,
    digest: TableDigest,
    rules: RowRules,
    width: usize,
    progress: Arc<Progress>,
    cancel: Cancellation,
}

struct Copied {
    report: TableReport,
    finer_than_micros: u64,
    notes: Vec<String>,
}

impl MovingTable {
    async fn run(mut self) -> Result<Copied, TransferError> {
        let name = self.name.clone();
        let at_table = |source| TransferError::Table {
            table: name.clone(),
            source,
        };
        let mut read = RowBatch::new(self.width);
        let mut changed = RowBatch::new(self.width);
        loop {
            unless_cancelled(&self.cancel, self.reader.next(&mut read, BATCH_BYTES))
                .await?
                .map_err(at_table)?;
            if read.rows() == 0 {
                break;
            }
            let batch = self.rules.apply(&read, &mut changed).map_err(at_table)?;
            self.digest.add(batch);
            self.writer.write(batch).await.map_err(at_table)?;
            self.progress.add(read.rows() as u64, read.bytes() as u64);
        }
        self.rules.append(&mut changed, self.width);
        if changed.rows() > 0 {
            self.digest.add(&changed);
            self.writer.write(&changed).await.map_err(at_table)?;
        }
        let written = self.writer.finish().await.map_err(at_table)?;
        if written != self.digest.rows() {
            return Err(TransferError::Differs {
                tables: vec![format!(
                    "{name}: {} rows read, {written} written",
                    self.digest.rows()
                )],
            });
        }
        let report = TableReport {
            name: self.name,
            rows: written,
            digest: self.digest.digest().to_string(),
        };
        Ok(Copied {
            report,
            finer_than_micros: self.digest.finer_than_micros(),
            notes: self.rules.notes(),
        })
    }
}

struct Progress {
    observer: Arc<dyn DumpObserver>,
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_estimate: u64,
}

impl Progress {
    fn new(observer: Arc<dyn DumpObserver>, rows_estimate: u64) -> Self {
        Self {
            observer,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rows_estimate,
        }
    }

    fn add(&self, rows: u64, bytes: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.observer.copied(rows, bytes, self.rows_estimate);
    }
}
