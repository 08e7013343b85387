//! Rows, journal and lease of an app DB that cannot be written from outside, as an H2 file that Metabase has open:
//! the same ports over one SQLite file in the data folder.

mod journal;
mod lease;
mod migrations;
mod uninstall;

use std::path::Path;
use std::time::Duration;

use metaferry_domain::lease::FencingToken;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::failed;
use crate::own_rows::{database_token, no_longer_held};

/// How long one process waits for another's transaction; all of them take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// This machine's clock in milliseconds, as SQLite reads it: all processes that share the file share the machine.
const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// One script a version. A published script never changes.
const SCRIPTS: [&str; 1] = ["
    CREATE TABLE lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        token INTEGER NOT NULL,
        holder TEXT NOT NULL,
        term_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL
    ) STRICT;
    INSERT INTO lease VALUES (1, 0, '', 0, 0);
    CREATE TABLE migration (
        id TEXT PRIMARY KEY,
        settled INTEGER NOT NULL DEFAULT 0,
        begun INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE journal (
        migration_id TEXT NOT NULL REFERENCES migration (id),
        sequence INTEGER NOT NULL,
        token INTEGER NOT NULL,
        entry TEXT NOT NULL,
        PRIMARY KEY (migration_id, sequence)
    ) STRICT;
    CREATE TABLE cloud_migration (
        id INTEGER PRIMARY KEY,
        external_id TEXT NOT NULL,
        upload_url TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'init',
        progress INTEGER NOT NULL DEFAULT 0,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL
    ) STRICT;
"];

/// The SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteState {
    pool: SqlitePool,
}

impl SqliteState {
    /// Opens the file, making it and its tables if they are not there.
    ///
    /// # Errors
    /// If the file cannot be made or read, or a newer program made it.
    pub async fn open(path: &Path) -> Result<Self, PortError> {
        let open = |error| failed(format!("open {}", path.display()), error);
        make_private(path).map_err(|error| {
            PortError::new(ErrorKind::Denied, format!("make {}", path.display())).because(error)
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered must survive a power cut: the journal is what everything is undone by.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(open)?;
        let state = Self { pool };
        state.upgrade(path).await?;
        Ok(state)
    }

    async fn upgrade(&self, path: &Path) -> Result<(), PortError> {
        let open = |error| failed(format!("make the tables in {}", path.display()), error);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(open)?;
        let done: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *transaction)
            .await
            .map_err(open)?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if done > SCRIPTS.len() {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!(
                    "{} is of version {done}, and this program knows {} only; use a newer one",
                    path.display(),
                    SCRIPTS.len()
                ),
            ));
        }
        for script in &SCRIPTS[done..] {
            sqlx::raw_sql(*script)
                .execute(&mut *transaction)
                .await
                .map_err(open)?;
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "PRAGMA user_version = {}",
            SCRIPTS.len()
        )))
        .execute(&mut *transaction)
        .await
        .map_err(open)?;
        transaction.commit().await.map_err(open)
    }

    /// Begins a transaction that has proved `token`; SQLite lets no other writer in until it ends.
    async fn fenced(&self, token: FencingToken) -> Result<Transaction<'static, Sqlite>, PortError> {
        let prove = |error| failed("prove the lease", error);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(prove)?;
        let held: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT token FROM lease WHERE id = 1 AND token = ? AND expires_at_ms > {NOW_MS}"
        )))
        .bind(database_token(token)?)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(prove)?;
        match held {
            Some(_) => Ok(transaction),
            None => Err(no_longer_held(token)),
        }
    }
}

/// Makes the file if it is not there, for its owner only: addresses in it are secrets. SQLite gives the files beside
/// it the same rights.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}
