//! Connections to a Postgres server: options from an address, sessions set up for our purposes, and errors that say
//! what to do. What the sessions are used for is the other modules' work.

use std::time::Duration;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::{ServerAddress, SslMode};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use super::worker_sessions;
use crate::error::{failed, sql_state};
use crate::worker::Reader;

/// How long a server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Prepared statements kept per connection: more than any module has, few enough to cost a server nothing.
const STATEMENTS_MAX: usize = 64;
/// The oldest version whose catalogue has everything that is asked for (`attgenerated`).
const VERSION_MIN: u32 = 120_000;

/// Settings of every session, as far as the server's version has them: nothing ends a transaction behind our back,
/// nobody is told in the log what only the server finds worth a word, no policy hides rows without an error, no time goes into plans that a plain scan does not need, and a backend
/// notices soon that its reader has gone, or within a minute where nobody tells it so.
const SESSION: &str = "
    SELECT set_config(wanted.name, wanted.value, false)
    FROM (VALUES ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
                 ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('lock_timeout', '0'),
                 ('row_security', 'off'), ('jit', 'off'), ('max_parallel_workers_per_gather', '0'),
                 ('client_min_messages', 'error'), ('IntervalStyle', 'postgres'), ('bytea_output', 'hex'), ('default_transaction_isolation', 'read committed'),
                 ('client_connection_check_interval', '500'), ('tcp_keepalives_idle', '30'),
                 ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')) AS wanted (name, value)
    JOIN pg_catalog.pg_settings present ON lower(present.name) = lower(wanted.name)";

/// A Postgres database that connections can be made to. Cheap to clone; shows no password.
#[derive(Clone)]
pub struct PostgresServer {
    options: PgConnectOptions,
    schema: Option<String>,
    shown: String,
    reader: Reader,
}

impl std::fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresServer").field(&self.shown).finish()
    }
}

impl PostgresServer {
    /// The database at that address. Nothing is connected yet. What the address leaves open (user, password) comes
    /// from libpq's own places, the `PG*` variables and the password file.
    #[must_use]
    pub fn new(address: &ServerAddress) -> Self {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .database(&address.database)
            .application_name("metaferry")
            .statement_cache_capacity(STATEMENTS_MAX)
            .ssl_mode(match address.ssl {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Allow => PgSslMode::Allow,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            })
            // Statements are not for the log, and slow ones are expected.
            .disable_statement_logging();
        if let Some(user) = &address.user {
            options = options.username(user);
        }
        if let Some(password) = &address.password {
            options = options.password(password.expose());
        }
        if let Some(file) = &address.ssl_root_cert {
            options = options.ssl_root_cert(file);
        }
        let shown = format!(
            "database {:?} at {}:{}",
            address.database, address.host, address.port
        );
        Self {
            options,
            schema: address.schema.clone(),
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

    /// The same database, in that schema.
    pub(super) fn in_schema(&self, schema: &str) -> Self {
        Self {
            schema: Some(schema.to_owned()),
            ..self.clone()
        }
    }

    /// The database in words: name, host and port.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.shown
    }

    /// A pool of at most `connections_max` sessions whose search path is Metabase's, for rows other than those of a
    /// copy. One connection is made at once, so that a wrong address is found out here.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for a wrong password, [`ErrorKind::NotFound`] for a database or schema that is not
    /// there, [`ErrorKind::Unavailable`] if nobody answers.
    pub async fn pool(&self, connections_max: u32) -> Result<PgPool, PortError> {
        // Once by hand first: the pool itself would go on trying until its own time-out.
        close(self.connect().await?.connection).await;
        let schema = self.schema.clone();
        PgPoolOptions::new()
            .max_connections(connections_max.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(60))
            .after_connect(move |connection, _| {
                let schema = schema.clone();
                Box::pin(async move { set_up(connection, schema.as_deref()).await.map(|_| ()) })
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
        let version = connection.server_version_num().unwrap_or(VERSION_MIN);
        if version < VERSION_MIN {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!("{} is a Postgres older than version 12", self.shown),
            ));
        }
        let refused = |error| failed(format!("set up a session with {}", self.shown), error);
        let schema = set_up(&mut connection, self.schema.as_deref())
            .await
            .map_err(refused)?;
        if self.reader == Reader::Worker {
            worker_sessions::mark(&mut connection).await.map_err(refused)?;
        }
        match schema {
            Some(schema) => Ok(Session { connection, schema }),
            None => Err(PortError::new(
                ErrorKind::NotFound,
                format!(
                    "{} has no schema {} that the user may use; name Metabase's with currentSchema=, or grant USAGE on it",
                    self.shown,
                    self.schema.as_deref().unwrap_or("on the user's search path"),
                ),
            )),
        }
    }

    fn refused(&self, error: sqlx::Error) -> PortError {
        let what = match sql_state(&error).as_deref() {
            Some("28P01" | "28000") => {
                format!(
                    "{} refuses user {:?}; check user and password",
                    self.shown,
                    self.options.get_username()
                )
            }
            Some("3D000") => format!("{} does not exist; check its name", self.shown),
            Some("53300") => format!(
                "{} has no connection left; raise max_connections or end some",
                self.shown
            ),
            Some("57P03") => format!("{} is starting up or shutting down; come back later", self.shown),
            Some(_) | None => format!("cannot connect to {}", self.shown),
        };
        failed(what, error)
    }
}

/// A session that is set up.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    /// The schema of Metabase's tables, as the database spells it.
    pub(super) schema: String,
}

/// Sets a session up and says which schema it works in: of the search path, the one with Metabase's change log, else
/// the first that there is.
async fn set_up(connection: &mut PgConnection, schema: Option<&str>) -> Result<Option<String>, sqlx::Error> {
    sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
    // A database of bytes: the server would refuse what is no text without saying where. We look ourselves.
    sqlx::raw_sql(
        "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
         WHERE pg_catalog.current_setting('server_encoding') = 'SQL_ASCII'",
    )
    .execute(&mut *connection)
    .await?;
    if let Some(schema) = schema {
        sqlx::query("SELECT pg_catalog.set_config('search_path', $1, false)")
            .bind(schema)
            .execute(&mut *connection)
            .await?;
    }
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT path.name::text
         FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)
         JOIN pg_catalog.pg_namespace namespace ON namespace.nspname = path.name
         LEFT JOIN pg_catalog.pg_class log
             ON log.relnamespace = namespace.oid AND log.relname = 'databasechangelog' AND log.relkind = 'r'
         ORDER BY log.oid IS NULL, path.place LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(schema) = &schema {
        // First on the path, so that expressions and views name its objects without it; the rest of the path stays,
        // for an extension's operators may live there.
        sqlx::query(
            "SELECT pg_catalog.set_config('search_path',
                 (SELECT string_agg(quote_ident(path.name), ', ' ORDER BY path.name <> $1, path.place)
                  FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)), false)",
        )
        .bind(schema)
        .execute(connection)
        .await?;
    }
    Ok(schema)
}

/// Ends a session in good manners; a failure to do so changes nothing.
pub(super) async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not end in good manners");
    }
}

/// An identifier as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
