//! Opening a database file and reading what is in it.

pub(crate) mod database;
mod entries;
mod index_entries;
mod layout;
mod lob;
mod newest;
mod opening;
mod page_cache;
mod registry;
mod rows;
mod scan;
mod system;
mod table;
mod undo;

pub use database::{Database, Facts, OpenWork};
pub use index_entries::{IndexEntries, IndexEntry};
pub use newest::{Health, OlderVersion, PassedOver};
pub use opening::{OPEN_ATTEMPTS_MAX, OpenOptions};
pub use registry::{DataType, MapTypes, RowKeys, RowType};
pub use rows::{FoundRow, Row, Rows};
pub use table::Table;
