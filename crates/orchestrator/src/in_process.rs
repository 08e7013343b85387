//! Ports that need nothing outside this process, for programs that embed the orchestrator. The guard of a program's own
//! writes and its scheduler are [`InProcessReadOnly`] and [`InProcessScheduler`]; what they hold back is let go by the
//! end of the process itself, so that nobody has to be asked to undo it.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{
    Clock, DeadMansSwitch, Finding, IdSource, Notice, Notifier, Preflight, UndoScript,
};
use metaferry_domain::{Cancellation, PortError};
use uuid::Uuid;

pub use metaferry_domain::read_only::{InProcessReadOnly, ReadOnlyPolicy, Write, WriteRefused};
pub use metaferry_domain::scheduler::{InProcessScheduler, RunningJob};

/// The wall clock of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Random UUIDs.
#[derive(Debug, Clone, Copy)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Tells people through the log.
#[derive(Debug, Clone, Copy)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn notify(&self, notice: &Notice) -> Result<(), PortError> {
        if notice.phase == Phase::Error {
            tracing::warn!(target: "cloud_migration", id = %notice.migration, "{}", notice.message);
        } else {
            tracing::info!(target: "cloud_migration", id = %notice.migration, phase = %notice.phase, "ended");
        }
        Ok(())
    }
}

/// For a program that changes nothing but itself: there is nothing to find beforehand, and nothing that would outlive it.
#[derive(Debug, Clone, Copy)]
pub struct NothingOutside;

#[async_trait]
impl DeadMansSwitch for NothingOutside {
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    /// The end of the process is the switch.
    async fn arm(&self, _: FencingToken, _: &Cancellation) -> Result<SwitchStanding, PortError> {
        Ok(SwitchStanding::Armed)
    }

    async fn disarm(&self, _: FencingToken) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl UndoScript for NothingOutside {
    async fn store(&self, _: FencingToken) -> Result<String, PortError> {
        Ok("end the process: nothing is changed outside of it".to_owned())
    }
}

#[async_trait]
impl Preflight for NothingOutside {
    async fn check(&self) -> Result<Vec<Finding>, PortError> {
        Ok(Vec::new())
    }
}
