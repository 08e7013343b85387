//! This machine's clock, randomness and log behind the domain's ports.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{Clock, IdSource, Notice, Notifier};
use uuid::Uuid;

use crate::exit::CommandError;

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

/// A name template with `{date}` (day in UTC), `{time}` and `{id}` (eight random hex digits) filled in.
pub(crate) fn fill_in_template(template: &str) -> Result<String, CommandError> {
    let now = time::OffsetDateTime::now_utc();
    let id = Uuid::new_v4().simple().to_string();
    let filled = template
        .replace(
            "{date}",
            &format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day()),
        )
        .replace(
            "{time}",
            &format!("{:02}{:02}{:02}", now.hour(), now.minute(), now.second()),
        )
        .replace("{id}", &id[..8]);
    if filled.contains(['{', '}']) {
        return Err(CommandError::usage(format!(
            "--to: {template:?} has other names in braces than {{date}}, {{time}} and {{id}}"
        )));
    }
    Ok(filled)
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
