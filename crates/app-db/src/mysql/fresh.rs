//! A database that is made for one load, and removed if the load does not end well.

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::ServerAddress;
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::connect::{MySqlServer, close, quoted};
use super::translate::COLLATION;
use crate::error::{failed, mysql_number};

/// A database that every server has and every user may connect to.
const MAINTENANCE: &str = "information_schema";

/// A database that this process made.
#[derive(Debug)]
pub struct FreshMySql {
    address: ServerAddress,
    server: MySqlServer,
}

impl FreshMySql {
    /// Makes the database of that address, in the letters and the collation that Metabase has on MySQL.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it is there already, [`ErrorKind::Denied`] if the user may not make databases.
    pub async fn create(address: &ServerAddress) -> Result<Self, PortError> {
        let mut connection = maintenance(address).await?;
        let sql = format!(
            "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE {COLLATION}",
            quoted(&address.database)
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        close(connection).await;
        let server = MySqlServer::new(address);
        match made {
            Ok(_) => Ok(Self {
                address: address.clone(),
                server,
            }),
            Err(error) => Err(match mysql_number(&error) {
                Some(1007) => PortError::new(
                    ErrorKind::Conflict,
                    format!(
                        "{} exists already; restore makes a database of its own, load fills one that is there",
                        server.describe()
                    ),
                ),
                Some(1044 | 1227) => failed(
                    format!(
                        "make {}: the user needs CREATE on it; or make it yourself and use load",
                        server.describe()
                    ),
                    error,
                ),
                Some(_) | None => failed(format!("make {}", server.describe()), error),
            }),
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

async fn maintenance(address: &ServerAddress) -> Result<MySqlConnection, PortError> {
    let address = ServerAddress {
        database: MAINTENANCE.to_owned(),
        ..address.clone()
    };
    Ok(MySqlServer::new(&address).connect().await?.connection)
}
