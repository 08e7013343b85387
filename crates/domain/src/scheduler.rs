//! A scheduler within one process, for programs that embed the crates: jobs ask before they run, and are paused and
//! resumed exactly. What jobs do and when they are to run is the program's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::lease::FencingToken;
use crate::ports::{PausedBefore, Scheduler};
use crate::quiesce::RunningJobs;
use crate::{Cancellation, ErrorKind, PortError};

/// Jobs of this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct InProcessScheduler(Arc<Mutex<Jobs>>);

#[derive(Debug, Default)]
struct Jobs {
    paused: BTreeSet<String>,
    /// Every job that was ever named, with how many of it run.
    running: BTreeMap<String, u64>,
    /// Everything is paused, also jobs that nobody has named yet.
    quiesced: Quiesced,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Quiesced {
    #[default]
    No,
    Yes,
}

/// A job that runs; it has ended when this is dropped.
#[derive(Debug)]
#[must_use = "the job counts as ended when this is dropped"]
pub struct RunningJob {
    jobs: InProcessScheduler,
    name: String,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if let Some(running) = self.jobs.lock().running.get_mut(&self.name) {
            *running = running.saturating_sub(1);
        }
    }
}

impl InProcessScheduler {
    /// Nothing is paused, nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A job begins, unless it is paused. Asking and counting is one step: a job that began is always seen.
    #[must_use]
    pub fn begin(&self, job: &str) -> Option<RunningJob> {
        let mut jobs = self.lock();
        if jobs.quiesced == Quiesced::Yes || jobs.paused.contains(job) {
            return None;
        }
        let running = jobs.running.entry(job.to_owned()).or_insert(0);
        *running = running.saturating_add(1);
        drop(jobs);
        Some(RunningJob {
            jobs: self.clone(),
            name: job.to_owned(),
        })
    }

    /// Pauses one job for the program's own reasons; a migration leaves it so.
    pub fn pause(&self, job: &str) {
        self.lock().paused.insert(job.to_owned());
    }

    /// Lets one job run again. While a migration holds everything off it goes on waiting.
    pub fn resume(&self, job: &str) {
        self.lock().paused.remove(job);
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing panics while holding it, and counts are whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Scheduler for InProcessScheduler {
    async fn before(&self) -> Result<PausedBefore, PortError> {
        let quiesced = self.lock().quiesced;
        Ok(PausedBefore {
            json: if quiesced == Quiesced::Yes {
                PAUSED
            } else {
                RUNNING
            }
            .to_owned(),
        })
    }

    async fn quiesce(
        &self,
        _token: FencingToken,
        _before: &PausedBefore,
        _cancel: &Cancellation,
    ) -> Result<(), PortError> {
        self.lock().quiesced = Quiesced::Yes;
        Ok(())
    }

    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError> {
        let mut jobs = Vec::new();
        for (name, count) in &self.lock().running {
            jobs.extend(std::iter::repeat_n(
                name.clone(),
                usize::try_from(*count).unwrap_or(usize::MAX),
            ));
        }
        let node = "this process".to_owned();
        Ok(if jobs.is_empty() {
            Vec::new()
        } else {
            vec![RunningJobs { node, jobs }]
        })
    }

    async fn restore(&self, _token: FencingToken, before: &PausedBefore) -> Result<(), PortError> {
        let quiesced = match before.json.as_str() {
            RUNNING => Quiesced::No,
            PAUSED => Quiesced::Yes,
            other => {
                let what = format!("{other:?} was not remembered by this scheduler: resume by hand");
                return Err(PortError::new(ErrorKind::Corrupt, what));
            }
        };
        self.lock().quiesced = quiesced;
        Ok(())
    }
}

const RUNNING: &str = r#""running""#;
const PAUSED: &str = r#""paused""#;

#[cfg(test)]
mod tests;
