//! There is no dead man's switch on MySQL and MariaDB: said before anything is changed.

use async_trait::async_trait;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::DeadMansSwitch;
use metaferry_domain::{Cancellation, PortError};

use super::app_db::MySqlAppDb;

/// Why.
const WHY: &str = "there is one for Postgres only";

#[async_trait]
impl DeadMansSwitch for MySqlAppDb {
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        Ok(Some(WHY.to_owned()))
    }

    async fn arm(&self, _: FencingToken, _: &Cancellation) -> Result<SwitchStanding, PortError> {
        Ok(SwitchStanding::Impossible { why: WHY.to_owned() })
    }

    async fn disarm(&self, _: FencingToken) -> Result<(), PortError> {
        Ok(())
    }
}
