//! An opened database: its definition, its tables and the facts about its newest version.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use crate::catalogue::{Index, IndexKind, assemble};
use crate::definition::Definition;
use crate::error::ReadError;
use crate::file_header::{Agreement, Closure, Format};
use crate::reader::entries::{Entries, KeyKind, ValueKind};
use crate::reader::index_entries::IndexEntries;
use crate::reader::layout::Maps;
use crate::reader::lob::{LobMaps, LobReader};
use crate::reader::newest::{self, Health, OlderVersion, PassedOver};
use crate::reader::opening::{NEXT_VERSION_WAIT, OpenOptions, STAMP_UNCERTAINTY};
use crate::reader::page_cache::PageCache;
use crate::reader::registry::{MapTypes, map_types};
use crate::reader::rows::{FoundRow, Rows, find_row};
use crate::reader::system::{CATALOGUE_COLUMNS, catalogue_rows, open_transactions};
use crate::reader::table::Table;
use crate::reader::undo::{self, Contents};
use crate::source::{Encryption, Source, Stored};
use crate::store::Store;
use crate::value_decode::Shape;
use crate::versioned::OpenTransactions;

/// An H2 database file, opened for reading.
///
/// The file is never loaded whole and never changed. Reads are positioned, so one `Database` serves any number of
/// threads. It does not lock: a file that H2 has open is read as of the newest version that was complete. H2 keeps the
/// chunks of a version for 45 seconds at least; what it overwrites later is noticed, at the latest by
/// [`Database::confirm`], and is [`ReadError::Overwritten`].
#[derive(Debug)]
pub struct Database {
    pub(crate) store: Store,
    pub(crate) maps: Maps,
    pub(crate) open_transactions: OpenTransactions,
    pub(crate) cache: PageCache,
    lob_maps: LobMaps,
    facts: Facts,
    /// Of the file, before anything of it was read.
    stamp: Option<(u64, SystemTime)>,
    /// Why the version turned out to be torn.
    torn: OnceLock<String>,
    definition: Definition,
    tables: Vec<Table>,
    indexes: Vec<Index>,
}

/// What is known about the version that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Store format.
    pub format: Format,
    /// Was it encrypted?
    pub encryption: Encryption,
    /// Newest chunk of the version.
    pub chunk: u32,
    /// The version.
    pub version: u64,
    /// Build number of the H2 that created the database: 214 for 2.1.214.
    pub create_build: Option<u32>,
    /// When the store was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// How the file was left.
    pub closure: Closure,
    /// How the version was come by.
    pub health: Health,
    /// Whether both copies of the header are good.
    pub header_copies: Agreement,
    /// Newer versions that were not used, and why.
    pub passed_over: Vec<PassedOver>,
    /// Chunks with live pages.
    pub chunks: usize,
    /// Length of the file.
    pub file_bytes: u64,
    /// Were transactions open? What they did is not shown.
    pub open_transactions: OpenWork,
    /// Names of the database users; without one, the first user to connect is created.
    pub users: Vec<String>,
}

/// Whether the file holds work of transactions that never ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWork {
    /// All transactions ended.
    None,
    /// At least one was open; what it did is not shown.
    RolledBack,
}

impl Database {
    /// Largest BLOB or CLOB that is read; a larger one is [`ReadError::LobTooLarge`].
    pub const LOB_BYTES_MAX: u64 = 1 << 30;

    /// Opens the newest version of the file at `path`; a damaged newest version is an error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        OpenOptions::default().open(path)
    }

    pub(super) fn from_source(stored: Stored, options: &OpenOptions) -> Result<Self, ReadError> {
        let source = Source::new(stored, options.password.as_ref())?;
        let stamp = source.stamp();
        let newest = newest::find(source, options.older_version)?;
        let (store, maps) = (newest.store, newest.maps);
        let open_transactions = open_transactions(&store, &maps)?;
        let rows = catalogue_rows(&store, &maps, &open_transactions)?;
        let catalogue = assemble(&rows)?;
        let tables: Vec<_> = catalogue
            .definition
            .tables
            .iter()
            .zip(catalogue.table_ids)
            .map(|(definition, id)| Table {
                id,
                shapes: definition
                    .columns
                    .iter()
                    .map(|column| Shape::of(&column.sql_type))
                    .collect(),
                definition: definition.clone(),
            })
            .collect();
        let of_map = |name: &str| {
            let id: u32 = name.split_once('.')?.1.parse().ok()?;
            if name.starts_with("table.") {
                let table = tables.iter().find(|table| table.id == id);
                let columns = table.map_or(CATALOGUE_COLUMNS, |table| table.shapes.len());
                return Some(Contents::Table(columns)).filter(|_| id == 0 || table.is_some());
            }
            let index = catalogue.indexes.iter().find(|index| index.id == id);
            index
                .filter(|index| name.starts_with("index.") && index.kind != IndexKind::Spatial)
                .map(|index| Contents::Index(index.columns.len()))
        };
        let contents = maps
            .iter()
            .filter_map(|(name, map)| Some((map.id, of_map(name)?)))
            .collect();
        if !undo::is_whole(&store, &maps, &open_transactions, &contents)? {
            return Err(ReadError::Torn {
                version: newest.chunk.version,
                why: "it shows half a transaction".to_owned(),
            });
        }
        let facts = Facts {
            format: newest.header.format,
            encryption: store.source.encryption(),
            chunk: newest.chunk.id,
            version: newest.chunk.version,
            create_build: catalogue.create_build,
            created_ms: newest.header.created_ms,
            closure: newest.header.closure,
            health: newest.health,
            header_copies: newest.agreement,
            passed_over: newest.passed_over,
            chunks: store.chunk_count(),
            file_bytes: store.source.len(),
            open_transactions: if open_transactions.is_empty() {
                OpenWork::None
            } else {
                OpenWork::RolledBack
            },
            users: catalogue.users,
        };
        if tables.is_empty() && options.older_version == OlderVersion::Refuse {
            refuse_if_emptied(&facts, newest.trailing_bytes)?;
        }
        Ok(Self {
            lob_maps: LobMaps::of(&maps),
            cache: PageCache::default(),
            definition: catalogue.definition,
            indexes: catalogue.indexes,
            store,
            maps,
            open_transactions,
            facts,
            stamp,
            torn: OnceLock::new(),
            tables,
        })
    }

    /// About the version that was opened.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Everything but the rows.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The tables that hold rows, in the order of their ids.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// A table by schema and name, both spelled exactly as in the catalogue.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.definition.schema == schema && table.definition.name == name)
    }

    /// All indexes, those of constraints included, in the order of their ids.
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// The exact number of rows, which takes reading all pages of the table (but decoding few of them).
    pub fn row_count(&self, table: &Table) -> Result<u64, ReadError> {
        let Some(map) = self.maps.get(&table.map_name()) else {
            return Ok(0);
        };
        Entries::new(
            &self.store,
            map,
            KeyKind::RowKey,
            ValueKind::Row(table.shapes.len()),
        )
        .count(&self.store, &self.open_transactions)
        .map_err(|error| self.explained(table.locate(error)))
    }

    /// The rows of a table in row key order.
    pub fn rows<'d>(&'d self, table: &'d Table) -> Rows<'d> {
        Rows::new(self, table, None)
    }

    /// The rows with a key above `key`: goes on where another iteration stopped, at the cost of one lookup.
    pub fn rows_after<'d>(&'d self, table: &'d Table, key: i64) -> Rows<'d> {
        Rows::new(self, table, Some(key))
    }

    /// The row with this row key.
    pub fn row_by_key<'d>(&'d self, table: &'d Table, key: i64) -> Result<Option<FoundRow<'d>>, ReadError> {
        find_row(self, table, key).map_err(|error| self.explained(error))
    }

    /// The entries of an index in index order. `None` if the file has no map for it: the row keys of the table
    /// serve as this index, or H2 builds it when it opens the file.
    pub fn index_entries(&self, index: &Index) -> Result<Option<IndexEntries<'_>>, ReadError> {
        let Some(map) = self
            .maps
            .get(&format!("index.{}", index.id))
            .filter(|_| index.kind != IndexKind::Spatial)
        else {
            return Ok(None);
        };
        let table = self.tables.iter().find(|table| table.id == index.table);
        let table = table.ok_or(ReadError::NoSuchObject {
            what: "table",
            id: index.table,
        })?;
        let shape = |name: &str| {
            let place = table
                .definition
                .columns
                .iter()
                .position(|column| column.name == name)?;
            table.shapes.get(place).cloned()
        };
        let shapes = index
            .columns
            .iter()
            .map(|column| shape(&column.name))
            .collect::<Option<Vec<_>>>();
        let shapes = shapes.ok_or(ReadError::NoSuchObject {
            what: "index",
            id: index.id,
        })?;
        Ok(Some(IndexEntries::new(self, map, shapes)))
    }

    /// What the type registry says of each map, by map name. Nothing else here depends on it.
    pub fn map_types(&self) -> Result<Vec<MapTypes>, ReadError> {
        map_types(&self.store, &self.maps)
    }

    /// Was everything that was read so far really of the opened version?
    ///
    /// Ask when all is read of a file that may be in use. Looks at each block of the version: about a third of a
    /// second per gigabyte.
    ///
    /// # Errors
    /// [`ReadError::Overwritten`] if not, or [`ReadError::Torn`] if an error before showed that: what was read is void, and
    /// the file must be opened again.
    pub fn confirm(&self) -> Result<(), ReadError> {
        if let Some(why) = self.torn.get() {
            return Err(self.torn_by(why.clone()));
        }
        if self.facts.health != Health::Closed && self.open_transactions.commit_seen() && self.is_written_to()
        {
            let why = "a transaction committed while it was written".to_owned();
            return Err(self.torn_by(self.torn.get_or_init(|| why).clone()));
        }
        match self.store.overwritten_chunk() {
            Ok(None) => Ok(()),
            Ok(Some(chunk)) => Err(ReadError::Overwritten {
                chunk: chunk.id,
                version: self.facts.version,
            }),
            Err(error) if error.is_end_of_file() => Err(ReadError::Overwritten {
                chunk: self.facts.chunk,
                version: self.facts.version,
            }),
            Err(error) => Err(error),
        }
    }

    /// What an error while reading comes from: a damaged file, or one that was overwritten meanwhile.
    pub(crate) fn explained(&self, error: ReadError) -> ReadError {
        if let Err(overwritten) = self.confirm() {
            return overwritten;
        }
        // Of a file that nobody writes to, it is what it says.
        if self.facts.health == Health::Closed || !self.is_written_to() {
            return error;
        }
        let why = match &error {
            ReadError::RowLob { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        self.torn_by(self.torn.get_or_init(|| why).clone())
    }

    /// Does the file change? Whoever left a version torn was at work, and writes the next one soon.
    fn is_written_to(&self) -> bool {
        let began = Instant::now();
        loop {
            if self.store.source.stamp() != self.stamp {
                return true;
            }
            if self.stamp.is_none() || began.elapsed() > NEXT_VERSION_WAIT {
                return false;
            }
            std::thread::sleep(STAMP_UNCERTAINTY);
        }
    }

    fn torn_by(&self, why: String) -> ReadError {
        ReadError::Torn {
            version: self.facts.version,
            why,
        }
    }

    pub(crate) fn lob_reader(&self) -> LobReader<'_> {
        LobReader {
            store: &self.store,
            cache: &self.cache,
            maps: self.lob_maps,
            bytes_max: Self::LOB_BYTES_MAX,
        }
    }
}

/// A cut-off file whose remains are an empty database must not pass as one.
fn refuse_if_emptied(facts: &Facts, trailing_bytes: u64) -> Result<(), ReadError> {
    let lost = match facts.passed_over.first() {
        Some(newer) => format!("a newer version was cut off: {newer}"),
        None if trailing_bytes > 0 => format!("{trailing_bytes} bytes that belong to no chunk follow it"),
        // Cut off between two chunks, such a file is like one whose process was killed before it did anything.
        None if facts.closure == Closure::Unclean => {
            "the file was not closed, so nothing tells that it is whole".to_owned()
        }
        None => return Ok(()),
    };
    Err(ReadError::OnlyEmptyVersionLeft {
        version: facts.version,
        lost,
    })
}
