//! Effects that only wait: until read-only holds on every node, and until what ran already has ended. What is waited
//! for, and how long at most, goes into the journal, so that any process can tell; who may be waited for no longer is
//! decided by the domain.

use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::quiesce::{
    PROPAGATION_MS, Propagation, Wait, WaitFor, jobs_in_words, propagation, propagation_watched,
};
use metaferry_domain::{ErrorKind, PortError};

use crate::perform::{LOOK_EVERY, Performance, millis};

/// How often nodes are looked at while it is found out how many there are, and while those that can be asked are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Which jobs are waited for is written down when it changes, and at most this often, in milliseconds.
const TELL_EVERY_MS: u64 = 2_000;
/// How long nodes that can be asked may take to say that read-only is on, once they must have seen it: at least, and at
/// most.
const CONFIRM_MIN: Duration = Duration::from_secs(2);
const CONFIRM_MAX: Duration = Duration::from_secs(15);

impl Performance {
    /// Until read-only holds, and nobody writes any more who began before.
    pub(crate) async fn await_read_only(&self) -> Result<(), PortError> {
        match self.plan.strength {
            ReadOnlyStrength::Flag => {
                let waited = self.await_nodes().await?;
                self.await_confirmation(waited.clamp(CONFIRM_MIN, CONFIRM_MAX))
                    .await?;
            }
            // Triggers hold at once, on every node.
            ReadOnlyStrength::Enforced | ReadOnlyStrength::None => {}
        }
        self.await_writers().await
    }

    /// Until every node must have seen the setting; answers how long that took.
    async fn await_nodes(&self) -> Result<Duration, PortError> {
        let first = self.ports.read_only.nodes().await?;
        let declared = self.settings.nodes;
        let mut decided = propagation(&first, declared);
        let whole = match (&decided, self.settings.propagation) {
            (Propagation::TheOneWasTold, _) | (Propagation::NobodyIsThere, None) => {
                return Ok(Duration::ZERO);
            }
            (Propagation::NobodyIsThere | Propagation::Watch | Propagation::Wait { .. }, said) => {
                said.unwrap_or(Duration::from_millis(PROPAGATION_MS))
            }
        };
        let tell = |decided: &Propagation, left| {
            let nodes = first.nodes();
            self.tell(
                Effect::AwaitReadOnly,
                WaitFor::Nodes { nodes },
                left,
                contradiction(decided),
            );
        };
        if !whole.is_zero() {
            tell(&decided, whole);
        }
        let mut waited = Duration::ZERO;
        while waited < whole {
            self.cancel.check()?;
            let left = whole.saturating_sub(waited);
            if left.as_secs().is_multiple_of(10) && left.subsec_millis() < 250 {
                tracing::info!(target: "cloud_migration", seconds_left = left.as_secs(), "waiting until every node has seen read-only");
            }
            let watches = decided == Propagation::Watch && waited.subsec_nanos() == 0;
            if let (true, Some(declared)) = (watches, declared) {
                let now = self.ports.read_only.nodes().await?;
                decided = propagation_watched(&first, &now, millis(waited), declared);
                match &decided {
                    Propagation::TheOneWasTold => return Ok(waited),
                    Propagation::Wait {
                        contradiction: Some(_),
                    } => tell(&decided, left),
                    Propagation::Wait { contradiction: None }
                    | Propagation::Watch
                    | Propagation::NobodyIsThere => {}
                }
            }
            let step = left.min(LOOK_EVERY);
            self.ports.clock.sleep(step).await;
            waited += step;
        }
        Ok(waited)
    }

    /// Nodes that can be asked must say themselves that read-only is on.
    async fn await_confirmation(&self, at_most: Duration) -> Result<(), PortError> {
        let until_ms = self.ports.clock.now_ms().saturating_add(millis(at_most));
        let mut is_told = false;
        loop {
            self.cancel.check()?;
            let nodes = self.ports.read_only.unconvinced().await?;
            if nodes.is_empty() {
                return Ok(());
            }
            // Asking takes time of its own.
            if self.ports.clock.now_ms() >= until_ms {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "read-only is not on at every node: {}. MB_READ_ONLY_MODE in a node's environment overrides the setting, \
                         and versions without the setting do not know it; correct that, or use --read-only enforced or none",
                        nodes.join("; ")
                    ),
                ));
            }
            if !is_told {
                is_told = true;
                let what = WaitFor::Confirmation { nodes };
                self.tell(Effect::AwaitReadOnly, what, at_most, Vec::new());
            }
            self.ports.clock.sleep(ASK_EVERY).await;
        }
    }

    /// What was being written when read-only went on is waited for: it would end after the snapshot.
    async fn await_writers(&self) -> Result<(), PortError> {
        let mut deadline = self.deadline();
        loop {
            self.cancel.check()?;
            let transactions = self.ports.read_only.still_writing(self.plan.strength).await?;
            if transactions == 0 {
                return Ok(());
            }
            let Some(left) = deadline.left(self) else {
                return Err(PortError::new(
                    ErrorKind::Exhausted,
                    format!(
                        "{transactions} transactions that began to write before read-only still run after {} s; end them, or \
                         wait for them",
                        self.settings.jobs_wait_max.as_secs()
                    ),
                ));
            };
            deadline.tell(
                self,
                Effect::AwaitReadOnly,
                WaitFor::Writers { transactions },
                left,
            );
            self.ports.clock.sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn await_running_jobs(&self) -> Result<(), PortError> {
        let mut deadline = self.deadline();
        loop {
            self.cancel.check()?;
            let running = self.ports.scheduler.running_jobs().await?;
            if running.is_empty() {
                return Ok(());
            }
            let Some(left) = deadline.left(self) else {
                return Err(PortError::new(
                    ErrorKind::Exhausted,
                    format!(
                        "jobs of Metabase still run after {} s: {}; wait for them, or raise the limit \
                         (METAFERRY_JOBS_WAIT_SECONDS)",
                        self.settings.jobs_wait_max.as_secs(),
                        jobs_in_words(&running)
                    ),
                ));
            };
            deadline.tell(self, Effect::AwaitRunningJobs, WaitFor::Jobs { running }, left);
            self.ports.clock.sleep(LOOK_EVERY).await;
        }
    }

    fn deadline(&self) -> Deadline {
        let now_ms = self.ports.clock.now_ms();
        Deadline {
            at_ms: now_ms.saturating_add(millis(self.settings.jobs_wait_max)),
            told: None,
        }
    }

    /// Into the journal, by way of the driver. One that does not fit there is not told; the next one is.
    fn tell(&self, effect: Effect, what: WaitFor, left: Duration, warnings: Vec<String>) {
        for warning in &warnings {
            tracing::warn!(target: "cloud_migration", "{warning}; every node is waited for");
        }
        let left_ms = millis(left);
        self.signals.waits(
            effect,
            Wait {
                what,
                left_ms,
                warnings,
            },
        );
    }
}

fn contradiction(decided: &Propagation) -> Vec<String> {
    match decided {
        Propagation::Wait { contradiction } => contradiction.iter().cloned().collect(),
        Propagation::NobodyIsThere | Propagation::TheOneWasTold | Propagation::Watch => Vec::new(),
    }
}

/// When a wait is given up, and what was told of it.
struct Deadline {
    at_ms: u64,
    told: Option<(u64, WaitFor)>,
}

impl Deadline {
    /// `None` when it is over.
    fn left(&self, of: &Performance) -> Option<Duration> {
        let left_ms = self.at_ms.saturating_sub(of.ports.clock.now_ms());
        (left_ms > 0).then(|| Duration::from_millis(left_ms))
    }

    /// Tells what is waited for, if that is news.
    fn tell(&mut self, of: &Performance, effect: Effect, what: WaitFor, left: Duration) {
        let now_ms = of.ports.clock.now_ms();
        let is_news = self
            .told
            .as_ref()
            .is_none_or(|(told_ms, told)| *told != what && now_ms.saturating_sub(*told_ms) >= TELL_EVERY_MS);
        if is_news {
            of.tell(effect, what.clone(), left, Vec::new());
            self.told = Some((now_ms, what));
        }
    }
}
