//! The programs as a whole, over real databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod app_db;
#[cfg(debug_assertions)]
mod chaos;
mod check;
mod cluster;
mod crossing;
mod dump;
mod encryption;
mod h2_files;
mod hot_dump;
mod left_behind;
mod load;
mod mariadb;
mod migrate;
mod quartz;
mod rekey;
mod sessions;
mod writers;
