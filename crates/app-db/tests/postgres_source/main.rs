//! The Postgres source against a real server, named by `METAFERRY_TEST_POSTGRES_URL` (a superuser's URL).

mod catalogue;
mod consistency;
mod database;
mod fixture;
mod refusals;
mod rows;
