//! Writes a database file in one pass: rows stream into the leaves of their tables, indexes are sorted under a
//! memory limit and written when their table ends, and the catalogue, the layout and the file header come last.
//! Reading files back is the reader's matter.

mod case_fold;
mod catalogue;
mod chunk;
mod column_value;
mod compression;
mod database;
mod decimal;
mod definition_check;
mod encode;
mod finish;
mod gate;
mod index_key;
mod key_log;
mod lob;
mod options;
mod page;
mod plan;
mod registry;
mod sorter;
mod sql_text;
mod table;
mod target;
mod tree;
mod value_encode;
mod writeback;

pub use compression::Compression;
pub use database::{DatabaseWriter, Summary, TableSummary};
pub use gate::PublishGate;
pub use options::{WriteOptions, WriteUser};
pub use table::TableWriter;
