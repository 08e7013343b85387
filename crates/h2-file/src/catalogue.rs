//! The catalogue: one SQL text per database object, parsed into a [`Definition`]. Texts without a structure there
//! (domains, aliases, rights, …) are passed on as they are, except users, whose texts hold password hashes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod assemble;
mod column;
mod constraint;
mod index;
mod parser;
mod sequence;
mod tokens;
mod types;

pub use index::{Index, IndexKind, IndexOwner};

use crate::definition::Definition;

pub(crate) use assemble::assemble;

/// A row of `table.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogueRow {
    pub(crate) id: i64,
    /// Kind of object, by H2's number.
    pub(crate) kind: i32,
    pub(crate) sql: String,
}

/// What the catalogue says.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) definition: Definition,
    /// Ids of `definition.tables`, in their order.
    pub(crate) table_ids: Vec<u32>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) users: Vec<String>,
    /// Build number of the H2 that created the database.
    pub(crate) create_build: Option<u32>,
}
