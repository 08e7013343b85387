#![doc = include_str!("../README.md")]

mod error;
pub mod h2;
pub mod load;
pub mod mysql;
pub mod postgres;
mod read_ahead;
mod row_names;
mod sql;
pub mod sqlite;
mod twins;
