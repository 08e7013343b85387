#![doc = include_str!("../README.md")]

pub mod node_api;
pub mod told_read_only;

pub use node_api::{ApiConfig, NodeApi, Route};
pub use told_read_only::{Behind, ToldReadOnly};
