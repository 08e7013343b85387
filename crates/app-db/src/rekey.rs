//! Changing the encryption key of a whole app DB where it is, in one transaction. What becomes of a value is
//! [`Rekey`]'s; how a database is locked, walked and written is `KeyedRows`'s, in each database's folder.
//!
//! Every value is looked at before the first one is written, under locks that let nobody change one in between. Rows
//! are walked in batches, and only values come that could be encrypted at all. How long values are is asked before they
//! are: whatever rows come after which, no more than one batch is ever held.

mod nodes;
mod prove;
mod walk;
mod write;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::{Catalogue, Dialect, Table};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::encryption::rekey::Rekey;
use metaferry_metabase::settings::{Bump, DatabaseNow, LAST_UPDATED, bump};

pub(crate) use self::nodes::CheckIns;
use self::nodes::look_for_nodes;
use self::prove::prove;
pub(crate) use self::walk::{Form, SIZED_ROWS, Sizes, Walk};
use self::write::write;

/// The longest wait for somebody else's lock.
pub(crate) const LOCK_WAIT_SECONDS: u32 = 10;

/// How often a time that must wait for the clock is tried: ten seconds each at the most.
const BUMP_TRIES: u32 = 3;

/// Between two looks at whether the work is interrupted.
const INTERRUPTED_EVERY: Duration = Duration::from_millis(50);

/// What is done where a Metabase runs on the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It is refused.
    Refuse,
    /// It is said.
    Warn,
}

/// How the transaction ends when all is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It is committed.
    No,
    /// It is taken back: only what would have been done is told.
    Yes,
}

/// How a key is changed.
#[derive(Debug, Clone)]
pub struct RekeyOptions {
    /// What is done where a Metabase runs.
    pub running: Running,
    /// Whether it is meant.
    pub trial: Trial,
    /// Looked at between batches of rows.
    pub cancel: Cancellation,
}

/// Why the key is not changed. Nothing is, in either case.
#[derive(Debug)]
pub enum RekeyError {
    /// Found out before the first value was written.
    Refused(PortError),
    /// It happened while values were written; the transaction is taken back.
    Failed(PortError),
}

/// What was done.
#[derive(Debug, Default)]
pub struct RekeyReport {
    /// Values written anew.
    pub columns: Vec<RekeyedColumn>,
    /// Tables that were emptied, and how many rows they had.
    pub emptied: Vec<(String, u64)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A column whose values were written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyedColumn {
    /// The table, in lower case.
    pub table: String,
    /// The column, in lower case.
    pub column: String,
    /// How many values.
    pub values: u64,
}

/// A database whose key can be changed.
#[async_trait]
pub trait Rekeying: Send {
    /// Changes it, in one transaction, or leaves everything as it is.
    /// After a cancellation it is left as it is too, unless that comes with the commit under way.
    async fn rekey(&mut self, rekey: &Rekey, options: &RekeyOptions) -> Result<RekeyReport, RekeyError>;
}

/// A value in place of another.
#[derive(Debug)]
pub(crate) struct Change {
    /// Which of the walk's columns.
    pub(crate) column: usize,
    pub(crate) old: Recoded,
    pub(crate) new: Recoded,
}

/// One session with a database, as changing its key needs it.
pub(crate) trait KeyedRows: Send {
    /// Where a row is.
    type Place: Send + Sync;
    const DIALECT: Dialect;

    fn check_ins(&mut self) -> impl Future<Output = Result<CheckIns, PortError>> + Send;
    /// Begins the transaction, and locks `tables` against changes by others.
    fn begin(&mut self, tables: &[&Table]) -> impl Future<Output = Result<(), PortError>> + Send;
    /// Begins to read the rows of a table that have a value of interest.
    fn open(&mut self, walk: &Walk) -> impl Future<Output = Result<(), PortError>> + Send;
    /// The next of them, and where they are; none: that was all.
    fn next(
        &mut self,
        walk: &Walk,
        batch: &mut RowBatch,
        places: &mut Vec<Self::Place>,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
    /// Writes values of one row. An error if it is not there as it was.
    fn update(
        &mut self,
        walk: &Walk,
        place: &Self::Place,
        changes: &[Change],
    ) -> impl Future<Output = Result<(), PortError>> + Send;
    /// Adds a row with those values, the others left to the table.
    fn insert(
        &mut self,
        walk: &Walk,
        row: &[Option<Recoded>],
    ) -> impl Future<Output = Result<(), PortError>> + Send;
    /// Empties a table; answers how many rows it had.
    fn empty(&mut self, table: &Table) -> impl Future<Output = Result<u64, PortError>> + Send;
    fn remove_setting(&mut self, name: &str) -> impl Future<Output = Result<(), PortError>> + Send;
    /// What [`LAST_UPDATED`] holds, and the clock.
    fn last_updated(
        &mut self,
    ) -> impl Future<Output = Result<(Option<String>, DatabaseNow), PortError>> + Send;
    /// Writes [`LAST_UPDATED`]; `with_aad` where the table has that column.
    fn put_last_updated(
        &mut self,
        text: &str,
        with_aad: Option<&str>,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
    fn end(&mut self, trial: Trial) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The whole of it, on a session whose database has that catalogue.
pub(crate) async fn run<R: KeyedRows>(
    rows: &mut R,
    catalogue: &Catalogue,
    rekey: &Rekey,
    options: &RekeyOptions,
) -> Result<RekeyReport, RekeyError> {
    let mut report = RekeyReport::default();
    look_for_nodes(rows, options, &mut report)
        .await
        .map_err(RekeyError::Refused)?;
    let kept: Vec<&Table> = catalogue
        .tables
        .iter()
        .filter(|table| !rekey.emptied().contains(&table.name.key().as_str()))
        .collect();
    let walks: Vec<Walk> = kept.iter().filter_map(|table| Walk::of(table, rekey)).collect();
    let tables: Vec<&Table> = catalogue.tables.iter().collect();
    // Nothing is written yet: whoever interrupts need not wait for somebody's lock.
    let begun = async {
        let last_updated = match catalogue.table("setting") {
            Some(_) => begin_in_time(rows, &tables, &mut report).await?,
            None => rows.begin(&tables).await.map(|()| None)?,
        };
        prove(rows, &walks, rekey, options).await?;
        Ok::<_, PortError>(last_updated)
    };
    let last_updated = tokio::select! {
        begun = begun => begun.map_err(RekeyError::Refused)?,
        interrupted = interrupted(options) => return Err(RekeyError::Refused(interrupted)),
    };
    let written = write(
        rows,
        catalogue,
        &walks,
        rekey,
        options,
        last_updated.as_deref(),
        &mut report,
    )
    .await;
    written.map_err(RekeyError::Failed)?;
    rekey
        .refuse_if_nothing(report.columns.iter().map(|column| column.values).sum())
        .map_err(|refused| {
            RekeyError::Refused(PortError::new(ErrorKind::Precondition, refused.to_string()))
        })?;
    rows.end(options.trial).await.map_err(RekeyError::Failed)?;
    Ok(report)
}

fn go_on(options: &RekeyOptions) -> Result<(), PortError> {
    if options.cancel.is_cancelled() {
        Err(PortError::new(
            ErrorKind::Cancelled,
            "interrupted; nothing is changed",
        ))
    } else {
        Ok(())
    }
}

/// Ends when the work is interrupted.
async fn interrupted(options: &RekeyOptions) -> PortError {
    loop {
        match go_on(options) {
            Ok(()) => tokio::time::sleep(INTERRUPTED_EVERY).await,
            Err(interrupted) => return interrupted,
        }
    }
}

/// Begins the transaction at a moment at which the nodes can be told of a change; answers the new text of
/// [`LAST_UPDATED`], if there is one.
async fn begin_in_time<R: KeyedRows>(
    rows: &mut R,
    tables: &[&Table],
    report: &mut RekeyReport,
) -> Result<Option<String>, PortError> {
    for _ in 0..BUMP_TRIES {
        rows.begin(tables).await?;
        let (old, now) = rows.last_updated().await?;
        match bump(old.as_deref(), now, R::DIALECT) {
            Ok(Bump::Write(text) | Bump::FirstWrite(text)) => return Ok(Some(text)),
            Ok(Bump::Wait { micros }) => {
                rows.end(Trial::Yes).await?;
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            // Whoever starts with the new key reads everything anew.
            Err(refused) => {
                report
                    .notes
                    .push(format!("{LAST_UPDATED} is left as it is: {refused}"));
                return Ok(None);
            }
        }
    }
    Err(PortError::new(
        ErrorKind::Unavailable,
        "the setting settings-last-updated is ahead of the database's clock and stays so; try again later",
    ))
}

/// A row that another session changed meanwhile, against all locks.
pub(crate) fn moved(walk: &Walk) -> PortError {
    PortError::new(
        ErrorKind::Unavailable,
        format!(
            "a row of table {} changed while it was rewritten; nothing is written, try again",
            walk.table.name.key()
        ),
    )
}

/// The answer to a commit got lost.
pub(crate) fn commit_failed(error: sqlx::Error) -> PortError {
    let unknown = matches!(crate::error::kind(&error), ErrorKind::Unavailable);
    let what = if unknown {
        "commit; whether the server still did it is not known: `metaferry inspect` with either key tells"
    } else {
        "commit; nothing is changed"
    };
    crate::error::failed(what, error)
}
