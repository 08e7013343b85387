//! The rules of a migration, as pure functions: no IO, no clock, no randomness, no async runtime.

pub mod cancellation;
pub mod copy_policy;
pub mod effect;
pub mod error;
pub mod journal;
pub mod lease;
pub mod migration;
pub mod part_plan;
pub mod ports;
pub mod retry;
pub mod row_batch;
pub mod schema;

pub use cancellation::Cancellation;
pub use error::{ErrorClass, ErrorKind, PortError};
