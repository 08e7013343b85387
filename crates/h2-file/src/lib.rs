#![doc = include_str!("../README.md")]

mod bytes;
mod catalogue;
mod chunk;
mod cipher;
pub mod definition;
mod error;
mod file_header;
mod fletcher;
mod generic_object;
mod map;
mod page;
mod reader;
mod source;
mod sql_type;
mod store;
mod text_map;
mod value;
mod value_decode;
mod versioned;
mod write;
mod write_error;

pub use catalogue::{Index, IndexKind, IndexOwner};
pub use cipher::FilePassword;
pub use error::{Malformed, ReadError, Unsupported};
pub use file_header::{Agreement, Closure, Format};
pub use reader::{
    DataType, Database, Facts, FoundRow, Health, IndexEntries, IndexEntry, MapTypes, OPEN_ATTEMPTS_MAX,
    OlderVersion, OpenOptions, OpenWork, PassedOver, Row, RowKeys, RowType, Rows, Table,
};
pub use source::Encryption;
pub use sql_type::SqlType;
pub use value::{Date, DecFloat, Decimal, Interval, Text, TimeOfDay, Unscaled, Value};
pub use write::{
    Compression, DatabaseWriter, PublishGate, Summary, TableSummary, TableWriter, WriteOptions, WriteUser,
};
pub use write_error::WriteError;
