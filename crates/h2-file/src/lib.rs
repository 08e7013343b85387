//! Reads and writes H2 database files (.mv.db) without Java.

pub mod definition;
mod sql_type;
mod value;

pub use sql_type::SqlType;
pub use value::{Date, DecFloat, Decimal, Interval, Text, TimeOfDay, Unscaled, Value};
