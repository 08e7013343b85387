//! The Postgres source against a real server, named by `METAFERRY_TEST_POSTGRES_URL` (a superuser's URL).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod catalogue;
mod consistency;
mod database;
mod fixture;
mod reading;
mod refusals;
mod rows;
