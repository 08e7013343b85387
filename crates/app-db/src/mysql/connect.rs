//! Connections to a MySQL or MariaDB server: options from an address, sessions set up for our purposes, and errors that
//! say what to do. What the sessions are used for is the other modules' work.

use std::fmt::Display;
use std::time::Duration;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::{ServerAddress, SslMode};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, MySqlPool, Row as _};

use super::flavour::{Flavour, Version};
use super::worker_sessions;
use crate::error::{failed, mysql_number};
use crate::worker::Reader;

/// How long a server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Prepared statements kept per connection: one for each table that is read, and more. To close one costs 40 ms: the
/// server does not answer, so the next command waits until its kernel acknowledges at leisure.
const STATEMENTS_MAX: usize = 1024;

/// The mode of every session, whatever the server's: values that do not fit are errors, a backslash is a letter, an id
/// of 0 is 0, and names are quoted by backticks.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,\
    NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO";

/// A MySQL or MariaDB database that connections can be made to. Cheap to clone; shows no password.
#[derive(Clone)]
pub struct MySqlServer {
    options: MySqlConnectOptions,
    user: String,
    database: String,
    shown: String,
    reader: Reader,
}

impl std::fmt::Debug for MySqlServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MySqlServer").field(&self.shown).finish()
    }
}

/// A session that is set up.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: MySqlConnection,
    pub(super) flavour: Flavour,
}

impl MySqlServer {
    /// The database at that address. Nothing is connected yet. Without a user it is `root`, as Metabase's driver has it.
    #[must_use]
    pub fn new(address: &ServerAddress) -> Self {
        let user = address.user.clone().unwrap_or_else(|| "root".to_owned());
        let mut options = MySqlConnectOptions::new()
            .host(&address.host)
            .port(address.port)
            .username(&user)
            .database(&address.database)
            .charset("utf8mb4")
            // Instants come and go as UTC, whatever the server's zone.
            .timezone("+00:00".to_owned())
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .statement_cache_capacity(STATEMENTS_MAX)
            .ssl_mode(match address.ssl {
                SslMode::Disable => MySqlSslMode::Disabled,
                SslMode::Allow | SslMode::Prefer => MySqlSslMode::Preferred,
                SslMode::Require => MySqlSslMode::Required,
                SslMode::VerifyCa => MySqlSslMode::VerifyCa,
                SslMode::VerifyFull => MySqlSslMode::VerifyIdentity,
            })
            // Statements are not for the log, and slow ones are expected.
            .disable_statement_logging();
        if let Some(password) = &address.password {
            options = options.password(password.expose());
        }
        if let Some(file) = &address.ssl_root_cert {
            options = options.ssl_ca(file);
        }
        let shown = format!(
            "database {:?} at {}:{}",
            address.database, address.host, address.port
        );
        Self {
            options,
            user,
            database: address.database.clone(),
            shown,
            reader: Reader::Anybody,
        }
    }

    /// The same for the worker under the lease: whoever takes the lease next ends its sessions that copy rows.
    #[must_use]
    pub fn of_worker(self) -> Self {
        Self {
            reader: Reader::Worker,
            ..self
        }
    }

    /// The database in words: name, host and port.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.shown
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// A pool of at most `connections_max` sessions, for rows other than those of a copy. One connection is made at once,
    /// so that a wrong address is found out here.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for a wrong password, [`ErrorKind::NotFound`] for a database that is not there,
    /// [`ErrorKind::Unavailable`] if nobody answers.
    pub async fn pool(&self, connections_max: u32) -> Result<MySqlPool, PortError> {
        // Once by hand first: the pool itself would go on trying until its own time-out.
        close(self.connect().await?.connection).await;
        MySqlPoolOptions::new()
            .max_connections(connections_max.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(60))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let version = set_up(&mut *connection).await?;
                    let rows = version.flavour.settings_for_rows();
                    sqlx::raw_sql(rows).execute(connection).await.map(drop)
                })
            })
            // The driver does not know of a transaction whose beginning nobody waited for; the next statement would be in it.
            .after_release(|connection, _| {
                Box::pin(async move { sqlx::raw_sql("ROLLBACK").execute(connection).await.map(|_| true) })
            })
            .connect_with(self.options.clone())
            .await
            .map_err(|error| self.refused(error))
    }

    /// One session, set up.
    pub(super) async fn connect(&self) -> Result<Session, PortError> {
        let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(connected) => connected.map_err(|error| self.refused(error))?,
            Err(_) => {
                return Err(PortError::new(
                    ErrorKind::Unavailable,
                    format!(
                        "{} did not answer within {} s",
                        self.shown,
                        CONNECT_TIMEOUT.as_secs()
                    ),
                ));
            }
        };
        let refused = |error| failed(format!("set up a session with {}", self.shown), error);
        let version = set_up(&mut connection).await.map_err(refused)?;
        if self.reader == Reader::Worker {
            worker_sessions::mark(&mut connection).await.map_err(refused)?;
        }
        if !version.is_known() {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!("{} is older than {}", self.shown, version.oldest_known()),
            ));
        }
        Ok(Session {
            connection,
            flavour: version.flavour,
        })
    }

    fn refused(&self, error: sqlx::Error) -> PortError {
        let what = match mysql_number(&error) {
            Some(1045 | 1698) => format!(
                "{} refuses user {:?}; check user and password",
                self.shown, self.user
            ),
            Some(1044) => format!(
                "{} may not be used by user {:?}; grant it, or use another user",
                self.shown, self.user
            ),
            Some(1049) => format!("{} does not exist; check its name", self.shown),
            Some(1040 | 1203 | 1226) => format!(
                "{} has no connection left; raise max_connections or end some",
                self.shown
            ),
            Some(_) | None => format!("cannot connect to {}", self.shown),
        };
        failed(what, error)
    }
}

/// A session of its own that comes from a pool, set up as [`MySqlServer::connect`] does: nothing ends its transactions.
pub(super) async fn session(pool: &MySqlPool) -> Result<Session, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    let flavour = set_up(&mut connection).await?.flavour;
    Ok(Session { connection, flavour })
}

/// Sets a session up and says what server it is with.
async fn set_up(connection: &mut MySqlConnection) -> Result<Version, sqlx::Error> {
    let version: String = {
        let row = sqlx::query("SELECT VERSION()")
            .fetch_one(&mut *connection)
            .await?;
        text(&row, 0)?.unwrap_or_default()
    };
    let names: Vec<String> = Flavour::settings()
        .iter()
        .map(|(name, _)| format!("'{name}'"))
        .collect();
    let there = sqlx::raw_sql(AssertSqlSafe(format!(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ({})",
        names.join(", ")
    )))
    .fetch_all(&mut *connection)
    .await?;
    let mut settings = vec![format!("sql_mode = '{SQL_MODE}'")];
    for row in &there {
        let name = text(row, 0)?.unwrap_or_default();
        let wanted = Flavour::settings().iter().find(|(wanted, _)| *wanted == name);
        if let Some((name, value)) = wanted {
            settings.push(format!("{name} = {value}"));
        }
    }
    sqlx::raw_sql(AssertSqlSafe(format!("SET SESSION {}", settings.join(", "))))
        .execute(connection)
        .await?;
    Ok(Version::parse(&version))
}

/// How long that session waits for a table whose definition somebody uses or changes, from now on.
pub(super) async fn set_lock_wait(
    connection: &mut MySqlConnection,
    seconds: impl Display,
) -> Result<(), sqlx::Error> {
    let set = format!("SET SESSION lock_wait_timeout = {seconds}");
    sqlx::raw_sql(AssertSqlSafe(set))
        .execute(connection)
        .await
        .map(drop)
}

/// The database that a session is in; empty where it is in none.
pub(super) async fn database(connection: &mut MySqlConnection) -> Result<String, PortError> {
    let ask = |error| failed("ask for Metabase's database", error);
    let row = sqlx::query("SELECT database()")
        .fetch_one(connection)
        .await
        .map_err(ask)?;
    Ok(text(&row, 0).map_err(ask)?.unwrap_or_default())
}

/// A text of a result. Catalogues and functions give it as text or as bytes, as their version has it.
pub(super) fn text(row: &MySqlRow, position: usize) -> Result<Option<String>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(position)?;
    bytes
        .map(|bytes| String::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error))))
        .transpose()
}

/// Ends a session in good manners; a failure to do so changes nothing.
pub(super) async fn close(connection: MySqlConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not end in good manners");
    }
}

/// An identifier as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
