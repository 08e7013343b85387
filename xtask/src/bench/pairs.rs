//! The second half of `bench copy`: our copies between every other pair of databases, in units of the same
//! `pg_restore -j 2`, and `mariadb-dump | mariadb` of the same rows beside them. The servers' CPU is Postgres' alone.

use std::path::Path;
use std::process::{Command, Stdio};

use super::app_db;
use super::measure::{self, Cost};
use crate::failure::Failure;
use crate::servers::{TempMariaDb, TempPostgres};

/// The database that every copy into a server fills, and that is removed after it.
const FILLED: &str = "filled";

/// Where rows are, or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Postgres,
    MariaDb,
    H2,
}

/// Postgres to Postgres is the first half, and H2 to Postgres is `bench load`.
const PAIRS: [(&str, Place, Place); 7] = [
    ("metaferry, Postgres to H2", Place::Postgres, Place::H2),
    ("metaferry, Postgres to MariaDB", Place::Postgres, Place::MariaDb),
    ("metaferry, MariaDB to Postgres", Place::MariaDb, Place::Postgres),
    ("metaferry, MariaDB to H2", Place::MariaDb, Place::H2),
    ("metaferry, MariaDB to MariaDB", Place::MariaDb, Place::MariaDb),
    ("metaferry, H2 to MariaDB", Place::H2, Place::MariaDb),
    ("metaferry, H2 to H2", Place::H2, Place::H2),
];

/// Copies from `mb` on Postgres, from its dump `h2`, and from a MariaDB that gets the same rows first.
pub(super) fn run(
    metaferry: &Path,
    postgres: &TempPostgres,
    h2: &Path,
    rows: &mut Vec<(&'static str, Cost)>,
) -> Result<(), Failure> {
    let mariadb = TempMariaDb::start()?;
    let sql = |statement: &str| -> Result<(), Failure> {
        let client = mariadb.client("mariadb")?.args(["-e", statement]).status();
        match client.map_err(Failure::while_doing("run mariadb"))?.success() {
            true => Ok(()),
            false => Err(Failure::Failed(format!("mariadb refuses {statement}"))),
        }
    };
    sql("CREATE DATABASE mb")?;
    let first = copy(metaferry, &postgres.url("mb"), &mariadb.url("mb"))
        .stderr(Stdio::null())
        .status();
    if !first.map_err(Failure::while_doing("run metaferry"))?.success() {
        return Err(Failure::Failed(
            "no MariaDB to copy from: the first copy failed".to_owned(),
        ));
    }

    sql(&format!("CREATE DATABASE {FILLED}"))?;
    let client = |name: &str, database: &str| -> Result<String, Failure> {
        let client = mariadb.client(name)?;
        let words = std::iter::once(client.get_program()).chain(client.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        Ok(format!("{} {database}", words.join(" ")))
    };
    let mut pipe = Command::new("sh");
    pipe.arg("-c").arg(format!(
        "{} | {}",
        client("mariadb-dump", "mb")?,
        client("mariadb", FILLED)?
    ));
    eprintln!("bench: mariadb-dump | mariadb");
    rows.push(("mariadb-dump | mariadb", measure::run(pipe, None, postgres)?));
    sql(&format!("DROP DATABASE {FILLED}"))?;

    let file = h2.with_file_name("copied.mv.db");
    for (name, from, to) in PAIRS {
        eprintln!("bench: {name}");
        let from = match from {
            Place::Postgres => postgres.url("mb"),
            Place::MariaDb => mariadb.url("mb"),
            Place::H2 => format!("h2:{}", h2.display()),
        };
        let (to, written) = match to {
            Place::Postgres => {
                app_db::make(postgres, FILLED, None)?;
                (postgres.url(FILLED), None)
            }
            Place::MariaDb => {
                sql(&format!("CREATE DATABASE {FILLED}"))?;
                (mariadb.url(FILLED), None)
            }
            Place::H2 => (format!("h2:{}", file.display()), Some(file.as_path())),
        };
        match measure::run(copy(metaferry, &from, &to), written, postgres) {
            Ok(cost) => rows.push((name, cost)),
            // Its own error is on the terminal; the others are still worth seeing.
            Err(Failure::Child(code)) => println!("{name}: failed with exit code {code}"),
            Err(other) => return Err(other),
        }
        if to == postgres.url(FILLED) {
            app_db::unmake(postgres, FILLED)?;
        } else if to == mariadb.url(FILLED) {
            sql(&format!("DROP DATABASE {FILLED}"))?;
        }
    }
    Ok(())
}

fn copy(metaferry: &Path, from: &str, to: &str) -> Command {
    let mut copy = Command::new(metaferry);
    copy.args(["copy", "--from", from, "--to", to]);
    copy
}
