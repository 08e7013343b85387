//! This machine's clock, randomness and log behind the domain's ports.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{Clock, IdSource, Notice, Notifier};
use uuid::Uuid;

/// The wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

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
pub(crate) struct RandomIds;

impl IdSource for RandomIds {
    fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// A fraction from 0 to 1, for jitter.
pub(crate) fn random_fraction() -> f64 {
    let [a, b, ..] = Uuid::new_v4().into_bytes();
    f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX)
}

/// Tells people through the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogNotifier;

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
