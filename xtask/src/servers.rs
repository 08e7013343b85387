//! The servers that tests use, as environment variables; started here, ended whatever happens.

mod mariadb;
mod postgres;
mod temporary;

use std::ffi::OsString;
use std::process::Command;

use crate::failure::Failure;
use crate::machine;

pub(crate) use mariadb::TempMariaDb;
pub(crate) use postgres::TempPostgres;

/// Running servers and the variables that lead to them. Dropping it ends the servers.
#[derive(Debug)]
pub(crate) struct Servers {
    variables: Vec<(&'static str, OsString)>,
    /// None when the caller brought a server of their own.
    postgres: Option<TempPostgres>,
    /// The same.
    mariadb: Option<TempMariaDb>,
}

impl Servers {
    /// Installs what is missing (where it may) and starts what is not already named by a variable.
    pub(crate) fn start() -> Result<Self, Failure> {
        machine::provide(machine::FOR_TESTS)?;
        let mut variables = Vec::new();
        let is_named = |variable: &str| std::env::var_os(variable).is_some_and(|url| !url.is_empty());
        let postgres = match is_named("METAFERRY_TEST_POSTGRES_URL") {
            true => None,
            false => Some(TempPostgres::start()?),
        };
        let mariadb = match is_named("METAFERRY_TEST_MARIADB_URL") {
            true => None,
            false => Some(TempMariaDb::start()?),
        };
        if let Some(postgres) = &postgres {
            variables.push(("METAFERRY_TEST_POSTGRES_URL", postgres.url("postgres").into()));
        }
        if let Some(mariadb) = &mariadb {
            variables.push(("METAFERRY_TEST_MARIADB_URL", mariadb.url("mysql").into()));
        }
        if let Some(jar) = machine::h2_jar() {
            machine::warn_about_h2(&jar);
            variables.push(("METAFERRY_TEST_H2_JAR", jar.into()));
        }
        if let Some(jar) = machine::postgres_jdbc_jar() {
            variables.push(("METAFERRY_TEST_PG_JDBC_JAR", jar.into()));
        }
        if let Some(jar) = machine::mariadb_jdbc_jar() {
            variables.push(("METAFERRY_TEST_MARIADB_JDBC_JAR", jar.into()));
        }
        if let Some(jar) = machine::quartz_jar() {
            variables.push(("METAFERRY_TEST_QUARTZ_JAR", jar.into()));
        }
        Ok(Self {
            variables,
            postgres,
            mariadb,
        })
    }

    /// Sets the variables for `command`.
    pub(crate) fn lend_to(&self, command: &mut Command) {
        for (name, value) in &self.variables {
            command.env(name, value);
        }
    }

    /// From now on `pid` is told to end when we are gone; `None` once it has ended by itself.
    pub(crate) fn watch_child(&self, pid: Option<u32>) {
        if let Some(postgres) = &self.postgres {
            postgres.watch_child(pid);
        }
        if let Some(mariadb) = &self.mariadb {
            mariadb.watch_child(pid);
        }
    }
}
