//! The application databases behind the ports, and Metaferry's own rows in them.

mod error;
pub mod postgres;
pub mod sqlite;
pub mod h2;
mod sql;
