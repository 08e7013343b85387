//! The database as a whole: opens its tables for writing, and completes the file when all are written.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::catalogue::FIRST_PLANNED_ID;
use super::chunk::ChunkSink;
use super::finish;
use super::gate::PublishGate;
use super::lob::{Lobs, default_temp_dir};
use super::options::WriteOptions;
use super::page::{MapId, PagePosition};
use super::plan::DatabasePlan;
use super::table::TableWriter;
use super::target::Target;
use crate::WriteError;
use crate::definition::Definition;

/// Sorting never gets less memory than this for a table, however many are open.
const SORT_BYTES_MIN: usize = 256 * 1024;
/// Nor more than this: records are found by 32-bit offsets.
const SORT_BYTES_MAX: usize = 1 << 30;

/// Writes a new database file. Share it between threads by reference; give each [`TableWriter`] to one.
///
/// The file appears under its name only when [`DatabaseWriter::finish`] returns. Until then its bytes are in
/// `<name>.partial`, which dropping the writer removes.
#[derive(Debug)]
pub struct DatabaseWriter {
    shared: Arc<Shared>,
    target: Target,
    options: WriteOptions,
}

/// What table writers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) definition: Definition,
    pub(crate) plan: DatabasePlan,
    pub(crate) sink: ChunkSink,
    pub(crate) lobs: Lobs,
    pub(crate) temp_dir: std::path::PathBuf,
    sort_memory_bytes: usize,
    pub(crate) open_tables: AtomicUsize,
    states: Mutex<Vec<TableState>>,
}

/// How far a table is.
#[derive(Debug)]
pub(crate) enum TableState {
    Untouched,
    Open,
    Written(WrittenTable),
    Abandoned,
}

/// A table whose pages are all in the file.
#[derive(Debug)]
pub(crate) struct WrittenTable {
    pub(crate) root: Option<PagePosition>,
    pub(crate) rows: u64,
    pub(crate) indexes: Vec<IndexRoot>,
    pub(crate) highest_identity: Option<i64>,
    pub(crate) lowest_identity: Option<i64>,
}

/// An index with a map of its own; a primary key that is the row key has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexRoot {
    pub(crate) map: MapId,
    pub(crate) root: Option<PagePosition>,
}

/// What a finished file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Each table, in the order of the definition.
    pub tables: Vec<TableSummary>,
    /// Length of the file.
    pub file_bytes: u64,
}

/// What was written of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

impl Shared {
    /// What the indexes of one table may hold in memory.
    pub(crate) fn sort_allowance(&self) -> usize {
        let open = self.open_tables.load(Ordering::Relaxed).max(1);
        (self.sort_memory_bytes / open).clamp(SORT_BYTES_MIN, SORT_BYTES_MAX)
    }

    pub(crate) fn set_state(&self, position: usize, state: TableState) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states[position] = state;
    }
}

impl DatabaseWriter {
    /// Begins a database at `path`, the whole file name, usually ending in `.mv.db`.
    ///
    /// # Errors
    /// If `path` exists, if another writer is at work on it, or if the definition cannot be written.
    pub fn create(path: &Path, definition: Definition, options: WriteOptions) -> Result<Self, WriteError> {
        let plan = DatabasePlan::new(&definition, FIRST_PLANNED_ID)?;
        let temp_dir = options.temp_dir.clone().unwrap_or_else(|| default_temp_dir(path));
        let target = Target::create(path)?;
        let partial = target.partial().to_owned();
        let sink = ChunkSink::new(
            target.handle()?,
            partial,
            options.chunk_bytes,
            options.compression,
            plan.highest_map,
        )?;
        let states = plan.tables.iter().map(|_| TableState::Untouched).collect();
        let shared = Shared {
            lobs: Lobs::new(options.inline_lob_bytes_max, &temp_dir),
            sort_memory_bytes: options.sort_memory_bytes,
            open_tables: AtomicUsize::new(0),
            states: Mutex::new(states),
            definition,
            plan,
            sink,
            temp_dir,
        };
        Ok(Self {
            shared: Arc::new(shared),
            target,
            options,
        })
    }

    /// Opens a table, by its place in the definition, for writing its rows. A table that is never opened is
    /// empty.
    ///
    /// # Errors
    /// If there is no such table, or if it was opened before.
    pub fn table(&self, position: usize) -> Result<TableWriter, WriteError> {
        let mut states = self.shared.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get_mut(position) {
            Some(state @ TableState::Untouched) => *state = TableState::Open,
            Some(_) => {
                return Err(WriteError::TableState {
                    table: self.shared.plan.tables[position].label.clone(),
                    problem: "it was opened before, and a table is written once",
                });
            }
            None => {
                return Err(WriteError::TableState {
                    table: format!("number {position}"),
                    problem: "the definition has fewer tables",
                });
            }
        }
        drop(states);
        self.shared.open_tables.fetch_add(1, Ordering::Relaxed);
        Ok(TableWriter::new(Arc::clone(&self.shared), position))
    }

    /// Completes the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// If a table was opened and not finished, if `path` came into being meanwhile, or if the disk fails.
    pub fn finish(self) -> Result<Summary, WriteError> {
        self.finish_through(&PublishGate::default())
    }

    /// The same, while somebody else may close the gate: then the file goes away instead of getting its name.
    ///
    /// # Errors
    /// [`WriteError::Unwanted`] if the gate was closed, else as [`DatabaseWriter::finish`].
    pub fn finish_through(self, gate: &PublishGate) -> Result<Summary, WriteError> {
        let shared = Arc::try_unwrap(self.shared).map_err(|shared| WriteError::TableState {
            table: open_table(&shared),
            problem: "it is still being written",
        })?;
        let states = shared.states.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut tables = Vec::with_capacity(states.len());
        for (state, plan) in states.into_iter().zip(&shared.plan.tables) {
            tables.push(match state {
                TableState::Written(table) => table,
                TableState::Untouched => finish::empty_table(plan),
                TableState::Open | TableState::Abandoned => {
                    return Err(WriteError::TableState {
                        table: plan.label.clone(),
                        problem: "it was opened but not finished",
                    });
                }
            });
        }
        let lobs = shared.lobs.finish(&shared.sink)?;
        let parts = finish::Parts {
            definition: &shared.definition,
            plan: &shared.plan,
            user: &self.options.user,
            tables: &tables,
            lobs: &lobs,
        };
        let file_bytes = finish::complete(&parts, &shared.sink)?;
        gate.pass(|| self.target.publish())
            .unwrap_or(Err(WriteError::Unwanted))?;
        let names = shared.definition.tables.into_iter().zip(&tables);
        let tables = names
            .map(|(table, written)| TableSummary {
                schema: table.schema,
                name: table.name,
                rows: written.rows,
            })
            .collect();
        Ok(Summary { tables, file_bytes })
    }
}

fn open_table(shared: &Shared) -> String {
    let states = shared.states.lock().unwrap_or_else(PoisonError::into_inner);
    let open = states.iter().position(|state| matches!(state, TableState::Open));
    open.map_or_else(
        || "(unknown)".to_owned(),
        |position| shared.plan.tables[position].label.clone(),
    )
}
