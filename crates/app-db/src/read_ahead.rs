//! Rows read ahead of their reader: a task owns the session and fills batches, batches go back and forth, so that none
//! is allocated while rows stream. What fills them is the databases' work.

use std::future::Future;

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::ports::RowReader;
use metaferry_domain::row_batch::RowBatch;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Batches of a reader: one with its caller, one being filled ahead.
const BATCHES: usize = 2;
/// Rows of a batch, for tables whose rows have no bytes.
const ROWS_MAX: usize = 1 << 16;

/// An empty batch, and what to fill it up to.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) batch: RowBatch,
    bytes_max: usize,
}

impl Want {
    /// May another row go in?
    pub(crate) fn has_room(&self) -> bool {
        self.batch.bytes() < self.bytes_max && self.batch.rows() < ROWS_MAX
    }
}

/// Where the task gets its batches.
pub(crate) type Wanted = mpsc::Receiver<Want>;
/// Where they go when they are full.
pub(crate) type Filled = mpsc::Sender<Result<RowBatch, PortError>>;

/// The reading end. Dropping it ends the task, which ends its session.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    columns: usize,
    want: mpsc::Sender<Want>,
    filled: mpsc::Receiver<Result<RowBatch, PortError>>,
    ahead: bool,
    ended: bool,
    _task: AbortOnDropHandle<()>,
}

impl ReadAhead {
    /// Begins to read rows of `columns` cells. The last batch of `fill` has no row, or is followed by its end.
    pub(crate) fn start<F>(columns: usize, fill: impl FnOnce(Wanted, Filled) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (want, wanted) = mpsc::channel(BATCHES);
        let (full, filled) = mpsc::channel(BATCHES);
        Self {
            columns,
            want,
            filled,
            ahead: false,
            ended: false,
            _task: AbortOnDropHandle::new(tokio::spawn(fill(wanted, full))),
        }
    }

    async fn send(&self, batch: RowBatch, bytes_max: usize) {
        // A task that has ended wants no batches; what it left is still to be received.
        let _ = self.want.send(Want { batch, bytes_max }).await;
    }
}

/// Tells the reader how it ended, having given back the session of a good end first: the next reader finds it.
pub(crate) async fn end<S>(
    result: Result<Option<RowBatch>, PortError>,
    session: S,
    put_back: impl FnOnce(S),
    fill: &Filled,
) {
    match result {
        Ok(last) => {
            put_back(session);
            if let Some(last) = last {
                let _ = fill.send(Ok(last)).await;
            }
        }
        Err(error) => {
            drop(session);
            let _ = fill.send(Err(error)).await;
        }
    }
}

#[async_trait]
impl RowReader for ReadAhead {
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError> {
        batch.clear(self.columns);
        if self.ended {
            return Ok(());
        }
        if !self.ahead {
            self.ahead = true;
            self.send(RowBatch::new(self.columns), bytes_max).await;
        }
        self.send(std::mem::take(batch), bytes_max).await;
        match self.filled.recv().await {
            Some(Ok(filled)) => *batch = filled,
            Some(Err(error)) => {
                self.ended = true;
                return Err(error);
            }
            None => batch.clear(self.columns),
        }
        self.ended = batch.rows() == 0;
        Ok(())
    }
}
