//! Metabase's rows and our own, changed and put back: Postgres judged by plain SQL on the true schema where it is at
//! hand, and the SQLite file that stands in for an app DB that cannot be written.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authenticator;
mod contract;
mod database;
mod fencing;
mod guard;
mod own_tables;
mod quartz;
mod read_only;
mod sqlite;
mod stillness;
mod switch;
mod undo;
mod uninstall;
