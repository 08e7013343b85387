#![doc = include_str!("../README.md")]

pub mod config;
pub mod error;
pub mod inspector;

mod etag;
mod folder;
mod receive;
mod record;
mod refusal;
mod router;
mod routes;
mod serve;
mod signing;
mod verification;
mod version_rule;

pub use config::{Limits, StoreConfig};
pub use error::StoreError;
pub use inspector::{DumpFacts, DumpInspector, Restorer, TableFacts};
pub use serve::{Store, StoreDeps};
pub use version_rule::VersionRule;
