//! The sessions that write to MySQL: those of a staging, each with transactions of its own, or the one of a transaction
//! in place.

use metaferry_domain::PortError;
use sqlx::MySqlConnection;

use super::run;
use crate::error::failed;
use crate::load::pool::{self, Opens};
use crate::mysql::connect::{MySqlServer, close};

/// Sessions lent to one writer at a time.
pub(super) type Pool = pool::Pool<MySqlServer>;
/// A session that somebody works with.
pub(super) type Lent = pool::Lent<MySqlServer>;

/// What a session that writes beside others does not look at: what is looked at once, when all rows are there.
const UNCHECKED: &str = "SET SESSION foreign_key_checks = 0, unique_checks = 0";

impl Opens for MySqlServer {
    type Session = MySqlConnection;

    async fn open(&self) -> Result<MySqlConnection, PortError> {
        let mut connection = self.connect().await?.connection;
        run(&mut connection, UNCHECKED.to_owned())
            .await
            .map_err(|error| failed("set up a session that writes", error))?;
        Ok(connection)
    }

    async fn run(session: &mut MySqlConnection, sql: String) -> Result<(), sqlx::Error> {
        run(session, sql).await
    }

    async fn end(session: MySqlConnection) {
        close(session).await;
    }
}
