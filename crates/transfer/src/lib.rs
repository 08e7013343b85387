#![doc = include_str!("../README.md")]

pub mod copy;
pub mod digest;
pub mod dump;
mod duplicates;
mod error;
mod foreign_keys;
mod key_set;
pub mod load;
pub mod manifest;
mod plan;
mod reread;
mod row_rules;
pub mod verify;
mod waiting;

pub use error::TransferError;
