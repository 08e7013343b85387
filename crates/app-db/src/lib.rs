#![doc = include_str!("../README.md")]

mod error;
pub mod h2;
pub mod postgres;
mod sql;
pub mod sqlite;
