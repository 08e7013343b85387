//! Consistent rows out of a database.

use async_trait::async_trait;

use crate::PortError;
use crate::row_batch::{Instant, RowBatch};
use crate::schema::{Catalogue, Dialect};

/// A database that rows are read from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Whose SQL its catalogue holds.
    fn dialect(&self) -> Dialect;

    /// One consistent view of all tables, protected against changes of their definition until it is dropped or
    /// closed. Its catalogue was read inside it.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, PortError>;
}

/// In which order rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// As they come.
    Any,
    /// Ascending by primary key.
    PrimaryKey,
}

/// What to read of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRead {
    /// [`Name::key`](crate::schema::Name::key) of the table.
    pub table: String,
    /// Positions of the wanted columns in [`Table::columns`](crate::schema::Table::columns); cells come in this order.
    pub columns: Vec<usize>,
    /// Order.
    pub order: RowOrder,
}

/// Whether a source still has what a snapshot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It has, and had all the time.
    Held,
    /// It was overwritten: what was read is void, and a new snapshot is needed.
    Lost,
}

/// A consistent view. Several tables may be read from it at the same time.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The catalogue, as it is inside the snapshot.
    fn catalogue(&self) -> &Catalogue;

    /// When it was taken, by the source's clock.
    fn taken_at(&self) -> Instant;

    /// How many tables may be read at the same time with profit.
    fn parallelism(&self) -> usize;

    /// Exact number of rows of a table.
    async fn count(&self, table: &str) -> Result<u64, PortError>;

    /// Reads a table. The reader may outlive other readers but not the snapshot's [`Snapshot::close`].
    async fn read(&self, read: &TableRead) -> Result<Box<dyn RowReader>, PortError>;

    /// What a person should know of the state in which the source was found, in words.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Was all that was read so far really of this snapshot? Most sources hold theirs; one that cannot, such as a
    /// file that another program writes to, looks. Whoever reads asks when all is read, and after an error.
    async fn confirm(&self) -> Result<Hold, PortError> {
        Ok(Hold::Held)
    }

    /// Lets go of everything held at the source. Dropping does the same, later.
    async fn close(self: Box<Self>) -> Result<(), PortError>;
}

/// Rows of one table.
#[async_trait]
pub trait RowReader: Send {
    /// Clears `batch` and fills it with the next rows, up to about `bytes_max`; at least one row unless the table
    /// has ended. An empty batch is the end. Errors name table, row and column where they can.
    async fn next(&mut self, batch: &mut RowBatch, bytes_max: usize) -> Result<(), PortError>;
}
