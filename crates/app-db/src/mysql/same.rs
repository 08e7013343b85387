//! Whether two addresses lead to one database: a lock that is taken through one of them is seen through the other.

use metaferry_domain::PortError;

use super::connect::{MySqlServer, close};
use crate::error::failed;

impl MySqlServer {
    /// Are both the same database of the same server, whatever names lead there?
    ///
    /// # Errors
    /// Those of connecting to either.
    pub async fn is_same_as(&self, other: &Self) -> Result<bool, PortError> {
        if self.database() != other.database() {
            return Ok(false);
        }
        let look = |error| failed("look whether both are one database", error);
        let (mut here, mut there) = (self.connect().await?, other.connect().await?);
        let name = format!("metaferry {}", uuid::Uuid::new_v4());
        sqlx::query("DO GET_LOCK(?, 0)")
            .bind(&name)
            .execute(&mut here.connection)
            .await
            .map_err(look)?;
        let seen: i64 = sqlx::query_scalar("SELECT CAST(IS_USED_LOCK(?) IS NOT NULL AS SIGNED)")
            .bind(&name)
            .fetch_one(&mut there.connection)
            .await
            .map_err(look)?;
        close(here.connection).await;
        close(there.connection).await;
        Ok(seen != 0)
    }
}
