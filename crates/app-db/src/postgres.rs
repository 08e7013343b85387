//! Postgres: its rows as a source and a target of a copy, and Metabase's and our own rows in it.

mod connect;
mod copy_binary;
mod fresh;
mod guard;
mod guard_triggers;
mod read;
mod schema;
mod snapshot;
mod target;
mod translate;
mod types;

mod app_db;
mod authenticator;
mod journal;
mod lease;
mod leftovers;
mod migrations;
mod own_tables;
mod probe;
mod read_only;
mod rekey;
mod same;
mod scheduler;
mod stillness;
mod switch;
mod triggers;
mod undo_script;
mod uninstall;
mod worker_sessions;

pub use app_db::PostgresAppDb;
pub use authenticator::authenticator;
pub use connect::PostgresServer;
pub use fresh::FreshPostgres;
pub use probe::PostgresProbe;
pub use rekey::PostgresRekey;
pub use scheduler::PostgresQuartz;
pub use snapshot::PostgresSource;
pub use target::PostgresTarget;
pub use undo_script::PostgresUndoScript;
