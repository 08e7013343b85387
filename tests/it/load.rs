//! `metaferry load`, `copy` and `restore` into a real Postgres: an empty database and one that Metabase has set up. Judged
//! by Postgres itself and by H2 over JDBC.

pub(crate) mod behaviour;
mod in_place;
pub(crate) mod killed;
mod odd_tables;
mod restored;
pub(crate) mod round_trip;
mod s3_stub;
pub(crate) mod schema;
mod slips;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::app_db::{AppDb, ended, metaferry, psql};

/// `load` of that file, as JSON.
fn load(file: &Path, to: &AppDb, options: &[&str]) -> Output {
    load_into(file, &to.url, options)
}

/// The same into any address.
pub(crate) fn load_into(file: &Path, to: &str, options: &[&str]) -> Output {
    let mut arguments = vec!["--json", "load", "--from", file.to_str().unwrap(), "--to", to];
    arguments.extend(options);
    metaferry(&arguments)
}

/// `copy` from one address to another, as JSON.
pub(crate) fn copy(from: &str, to: &str, options: &[&str]) -> Output {
    let mut arguments = vec!["--json", "copy", "--from", from, "--to", to];
    arguments.extend(options);
    metaferry(&arguments)
}

/// The JSON of what went well.
pub(crate) fn done(output: &Output) -> Value {
    let (json, code) = ended(output);
    assert_eq!(code, 0, "{json}");
    json
}

/// Schemas that an unfinished load has left.
fn leftovers(database: &AppDb) -> String {
    psql(
        &database.url,
        "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'metaferry\\_load\\_%'",
    )
}
