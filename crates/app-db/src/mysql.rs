//! MySQL and MariaDB: their rows as a source and as a target of a copy, and Metabase's and our own rows in
//! them. MariaDB 10.11 is the server that the tests run; where MySQL 8
//! differs by its documentation, `flavour` says so and nobody else does.

mod app_db;
mod authenticator;
mod connect;
mod ddl_session;
mod flavour;
mod fresh;
mod guard;
mod guard_session;
mod guard_triggers;
mod journal;
mod lease;
mod leftovers;
mod migrations;
mod own_tables;
mod probe;
mod read;
mod read_only;
mod rekey;
mod same;
mod scheduler;
mod schema;
mod snapshot;
mod still_tables;
mod stillness;
mod switch;
mod target;
mod translate;
mod types;
mod undo_script;
mod uninstall;
mod worker_sessions;

pub use app_db::MySqlAppDb;
pub use authenticator::authenticator;
pub use connect::MySqlServer;
pub use fresh::FreshMySql;
pub use probe::MySqlProbe;
pub use rekey::MySqlRekey;
pub use scheduler::MySqlQuartz;
pub use snapshot::MySqlSource;
pub use target::MySqlTarget;
pub use undo_script::MySqlUndoScript;
