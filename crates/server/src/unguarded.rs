//! An app DB that cannot be written from outside, as an H2 file is: nothing to switch, nobody to ask.

use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{
    Authenticator, Caller, Credentials, DeadMansSwitch, PausedBefore, ReadOnlyBefore, ReadOnlyGuard,
    ReadOnlyProof, Scheduler, UndoScript,
};
use metaferry_domain::{ErrorKind, PortError};

/// Switches nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unguarded;

#[async_trait]
impl ReadOnlyGuard for Unguarded {
    async fn why_not(&self, strength: ReadOnlyStrength) -> Result<Option<String>, PortError> {
        Ok(match strength {
            // Not switched, which a note says.
            ReadOnlyStrength::None | ReadOnlyStrength::Flag => None,
            ReadOnlyStrength::Enforced => {
                Some("an H2 app DB cannot be made read-only from outside".to_owned())
            }
        })
    }

    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        Ok(ReadOnlyBefore {
            value: None,
            ours: String::new(),
        })
    }

    async fn engage(
        &self,
        _: FencingToken,
        strength: ReadOnlyStrength,
        _: &ReadOnlyBefore,
    ) -> Result<(), PortError> {
        match strength {
            ReadOnlyStrength::None => Ok(()),
            ReadOnlyStrength::Flag | ReadOnlyStrength::Enforced => Err(PortError::new(
                ErrorKind::Unsupported,
                "an H2 app DB cannot be made read-only from outside",
            )),
        }
    }

    async fn propagation(&self, _: ReadOnlyStrength) -> Result<Duration, PortError> {
        Ok(Duration::ZERO)
    }

    async fn prove(&self, _: ReadOnlyStrength, _: &ReadOnlyBefore) -> Result<ReadOnlyProof, PortError> {
        Ok(ReadOnlyProof::Held)
    }

    async fn restore(&self, _: FencingToken, _: &ReadOnlyBefore) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl DeadMansSwitch for Unguarded {
    /// Nothing is changed, so nothing must be put back.
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    async fn arm(&self, _: FencingToken) -> Result<SwitchStanding, PortError> {
        Ok(SwitchStanding::Armed)
    }

    async fn disarm(&self, _: FencingToken) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Scheduler for Unguarded {
    async fn before(&self) -> Result<PausedBefore, PortError> {
        Ok(PausedBefore { json: String::new() })
    }

    async fn quiesce(&self, _: FencingToken, _: &PausedBefore) -> Result<(), PortError> {
        Ok(())
    }

    async fn running_jobs(&self) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn restore(&self, _: FencingToken, _: &PausedBefore) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl UndoScript for Unguarded {
    async fn store(&self, _: FencingToken) -> Result<String, PortError> {
        Ok("nothing is changed in an H2 app DB, so nothing must be undone by hand".to_owned())
    }
}

#[async_trait]
impl Authenticator for Unguarded {
    /// Sessions of a Metabase that runs on H2 cannot be looked up from outside.
    async fn authenticate(&self, _: &Credentials) -> Result<Caller, PortError> {
        Ok(Caller::Unknown)
    }
}
