//! The MySQL source against a real server, named by `METAFERRY_TEST_MARIADB_URL` (a URL of a user with all rights).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod catalogue;
mod consistency;
mod database;
mod fixture;
#[path = "../postgres_source/reading.rs"]
mod reading;
mod refusals;
mod rows;
