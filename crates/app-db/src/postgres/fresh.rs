//! A database that is made for one load, and removed if the load does not end well.

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::ServerAddress;
use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::{PostgresServer, close, quoted};
use crate::error::{failed, sql_state};

/// Databases that every server has, to connect to while the one in question is not there.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// A database that this process made.
#[derive(Debug)]
pub struct FreshPostgres {
    address: ServerAddress,
    server: PostgresServer,
}

impl FreshPostgres {
    /// Makes the database of that address, in UTF-8.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it is there already, [`ErrorKind::Denied`] if the user may not make databases.
    pub async fn create(address: &ServerAddress) -> Result<Self, PortError> {
        let mut connection = maintenance(address).await?;
        let sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'",
            quoted(&address.database)
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        close(connection).await;
        let server = PostgresServer::new(address);
        match made {
            Ok(_) => Ok(Self {
                address: address.clone(),
                server,
            }),
            Err(error) if sql_state(&error).as_deref() == Some("42P04") => Err(PortError::new(
                ErrorKind::Conflict,
                format!(
                    "{} exists already; restore makes a database of its own, load fills one that is there",
                    server.describe()
                ),
            )),
            Err(error) => Err(failed(format!("make {}", server.describe()), error)),
        }
    }

    /// The database in words.
    #[must_use]
    pub fn describe(&self) -> &str {
        self.server.describe()
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// If the server refuses; the database is then still there.
    pub async fn discard(self) -> Result<(), PortError> {
        let mut connection = maintenance(&self.address).await?;
        let sql = format!("DROP DATABASE IF EXISTS {}", quoted(&self.address.database));
        let dropped = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        close(connection).await;
        dropped
            .map(drop)
            .map_err(|error| failed(format!("remove {}", self.server.describe()), error))
    }
}

async fn maintenance(address: &ServerAddress) -> Result<PgConnection, PortError> {
    let mut last = None;
    for database in MAINTENANCE {
        let address = ServerAddress {
            database: database.to_owned(),
            schema: None,
            ..address.clone()
        };
        match PostgresServer::new(&address).connect().await {
            Ok(session) => return Ok(session.connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| PortError::new(ErrorKind::NotFound, "no database to connect to")))
}
