//! An app DB that cannot be written from outside, as an H2 file is: nothing to switch, nobody to ask.

use async_trait::async_trait;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{
    Authenticator, Caller, Credentials, DeadMansSwitch, PausedBefore, ReadOnlyBefore, ReadOnlyGuard,
    ReadOnlyProof, Scheduler, UndoScript,
};
use metaferry_domain::quiesce::{NodeEvidence, RunningJobs};
use metaferry_domain::{Cancellation, ErrorKind, PortError};

/// Switches nothing.
#[derive(Debug, Clone)]
pub(crate) enum Unguarded {
    /// And nobody else does.
    Untouched,
    /// Metabase is asked for read-only by its own API, at these addresses.
    ReadOnlyByApi(String),
}

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
        _: &Cancellation,
    ) -> Result<(), PortError> {
        match strength {
            ReadOnlyStrength::None => Ok(()),
            ReadOnlyStrength::Flag | ReadOnlyStrength::Enforced => Err(PortError::new(
                ErrorKind::Unsupported,
                "an H2 app DB cannot be made read-only from outside",
            )),
        }
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        Ok(NodeEvidence::nobody())
    }

    async fn prove(&self, _: ReadOnlyStrength, _: &ReadOnlyBefore) -> Result<ReadOnlyProof, PortError> {
        Ok(ReadOnlyProof::Held)
    }

    async fn restore(&self, _: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        if before.ours.is_empty() {
            return Ok(());
        }
        Err(PortError::new(
            ErrorKind::Unsupported,
            "read-only was switched on through Metabase's own API, and is put back there alone: name its address and an \
             administrator's key (METAFERRY_METABASE_URL, METAFERRY_METABASE_API_KEY)",
        ))
    }
}

/// Why nobody puts read-only back while no metaferry runs.
const NO_SWITCH: &str = "an H2 app DB cannot be written from outside";

#[async_trait]
impl DeadMansSwitch for Unguarded {
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        Ok(match self {
            // Nothing is changed, so nothing must be put back.
            Self::Untouched => None,
            Self::ReadOnlyByApi(_) => Some(NO_SWITCH.to_owned()),
        })
    }

    async fn arm(&self, _: FencingToken, _: &Cancellation) -> Result<SwitchStanding, PortError> {
        Ok(match self.obstacle().await? {
            None => SwitchStanding::Armed,
            Some(why) => SwitchStanding::Impossible { why },
        })
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

    async fn quiesce(&self, _: FencingToken, _: &PausedBefore, _: &Cancellation) -> Result<(), PortError> {
        Ok(())
    }

    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError> {
        Ok(Vec::new())
    }

    async fn restore(&self, _: FencingToken, _: &PausedBefore) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl UndoScript for Unguarded {
    async fn store(&self, _: FencingToken) -> Result<String, PortError> {
        Ok(match self {
            Self::Untouched => {
                "nothing is changed in an H2 app DB, so nothing must be undone by hand".to_owned()
            }
            Self::ReadOnlyByApi(addresses) => format!(
                "there is no SQL for a file that Metabase has open: an administrator puts read-only back by PUT {{\"value\": \
                 null}} to /api/setting/read-only-mode at {addresses}"
            ),
        })
    }
}

#[async_trait]
impl Authenticator for Unguarded {
    /// Sessions of a Metabase that runs on H2 cannot be looked up from outside.
    async fn authenticate(&self, _: &Credentials) -> Result<Caller, PortError> {
        Ok(Caller::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{FencingToken, ReadOnlyBefore, ReadOnlyGuard as _, Unguarded};

    #[tokio::test]
    async fn what_only_metabases_api_can_put_back_is_not_said_to_be_put_back() {
        let restore = async |ours: &str| {
            let before = ReadOnlyBefore {
                value: None,
                ours: ours.to_owned(),
            };
            Unguarded::Untouched.restore(FencingToken(1), &before).await
        };
        restore("").await.unwrap();
        let refused = restore("true").await.unwrap_err();
        assert!(
            refused.chain().contains("METAFERRY_METABASE_URL"),
            "{}",
            refused.chain()
        );
    }
}
