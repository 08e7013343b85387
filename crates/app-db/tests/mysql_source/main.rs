//! The MySQL source, and Metabase's and our own rows, against a real server, named by `METAFERRY_TEST_MARIADB_URL` (a URL of a user with
//! all rights). What H2 makes of its rows also wants the jars of H2 and of MariaDB's JDBC driver
//! (`METAFERRY_TEST_H2_JAR`, `METAFERRY_TEST_MARIADB_JDBC_JAR`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod callers;
mod catalogue;
mod claims;
mod comparing;
mod consistency;
mod database;
mod fixture;
mod guard;
mod h2;
#[path = "../h2_app_db/judge.rs"]
mod judge;
#[path = "../h2_app_db/oracle.rs"]
mod oracle;
mod own_rows;
#[path = "../postgres_source/reading.rs"]
mod reading;
mod refusals;
mod rows;
mod showing;
mod stillness;
mod worker_sessions;
