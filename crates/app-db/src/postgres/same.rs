//! Whether two addresses lead to one database: a lock that is taken through one of them is seen through the other.

use metaferry_domain::PortError;

use super::connect::{PostgresServer, close};
use crate::error::failed;

impl PostgresServer {
    /// Are both the same schema of the same database, whatever names lead there?
    ///
    /// # Errors
    /// Those of connecting to either.
    pub async fn is_same_as(&self, other: &Self) -> Result<bool, PortError> {
        let look = |error| failed("look whether both are one database", error);
        let (mut here, mut there) = (self.connect().await?, other.connect().await?);
        let (key, _) = uuid::Uuid::new_v4().as_u64_pair();
        let key = key.cast_signed();
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(key)
            .execute(&mut here.connection)
            .await
            .map_err(look)?;
        let seen: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND (classid::int8 << 32) | objid::int8 = $1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .bind(key)
        .fetch_one(&mut there.connection)
        .await
        .map_err(look)?;
        let is_same = seen && here.schema == there.schema;
        close(here.connection).await;
        close(there.connection).await;
        Ok(is_same)
    }
}
