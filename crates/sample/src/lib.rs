#![doc = include_str!("../README.md")]

pub mod credentials;
mod draft;
mod postgres_sql;
mod random;
mod sizes;
mod source;
mod tables;
mod value;

pub use source::{SampleOptions, SampleSource};

/// Metabase's major version, as the sample's changelog tells it.
pub const SCHEMA_MAJOR: u64 = tables::SCHEMA_MAJOR;
