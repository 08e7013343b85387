#![doc = include_str!("../README.md")]

mod answer;
mod api_key;
mod authenticator;
mod error;
mod guard;
pub mod h2;
pub mod load;
pub mod mysql;
mod nodes;
mod own_rows;
mod patience;
pub mod postgres;
pub mod probe;
mod read_ahead;
pub mod rekey;
mod row_names;
mod sql;
pub mod sqlite;
mod still;
mod transaction;
mod twins;
mod undo;
mod uninstall;
mod waking;
mod worker;

pub use authenticator::AppDbAuthenticator;
pub use guard::Effort;
pub use undo::UNFINISHED as UNFINISHED_UNDO_SCRIPT;
pub use uninstall::Leftovers;
