//! A real app DB from Postgres into an H2 file, judged by H2 itself: schema, rows and views. Needs a Postgres server
//! (`METAFERRY_TEST_POSTGRES_URL`), the fixtures, and the jars of H2 and of Postgres' JDBC driver
//! (`METAFERRY_TEST_H2_JAR`, `METAFERRY_TEST_PG_JDBC_JAR`).
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod app_db;
mod judge;
mod odd;
mod oracle;
mod rows;
mod schema;
