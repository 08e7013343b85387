//! How often a failed call is made again, and how long to wait before: exponential back-off with full jitter.
//!
//! Decides from numbers alone: the caller counts, draws the random fraction and waits.

use std::time::Duration;

use crate::ErrorKind;

/// What a policy says after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Make the call again.
    Again {
        /// After waiting so long.
        after: Duration,
    },
    /// Hand the failure on.
    GiveUp,
}

/// Whether data that arrived damaged ([`ErrorKind::Corrupt`]) are worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They are damaged where they lie: trying again gives the same.
    AtRest,
    /// They were damaged on the way: sending again may help.
    OnTheWay,
}

/// Limits of trying again. Every field is a limit by itself; whichever is reached first ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub retries_max: u32,
    /// Longest wait after the first failure; doubles with each further one.
    pub base: Duration,
    /// Longest wait of all.
    pub cap: Duration,
    /// The longest `Retry-After` that is waited for; who asks for more is not asked again.
    pub retry_after_max: Duration,
    /// What [`ErrorKind::Corrupt`] means here.
    pub damage: Damage,
}

impl Default for RetryPolicy {
    /// One call over a network: 1 + 3 tries, 0.5 s doubling up to 30 s, `Retry-After` up to 5 minutes.
    fn default() -> Self {
        Self {
            retries_max: 3,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(300),
            damage: Damage::AtRest,
        }
    }
}

impl RetryPolicy {
    /// For sending a body with its checksum: the same limits, and damage on the way is sent again.
    #[must_use]
    pub fn upload() -> Self {
        Self {
            damage: Damage::OnTheWay,
            ..Self::default()
        }
    }

    /// For undoing: more patient (1 + 6 tries, up to a minute apart), since giving up leaves something to a person.
    #[must_use]
    pub fn undo() -> Self {
        Self {
            retries_max: 6,
            cap: Duration::from_secs(60),
            ..Self::default()
        }
    }

    /// What to do after a failure of `kind`.
    ///
    /// `failed` counts the tries that failed so far, this one included, from 1. `retry_after` is what the other
    /// side asked for. `fraction` is random in 0..1 and picks the wait between nothing and the back-off's
    /// present length; a `retry_after` is the least that is waited.
    #[must_use]
    pub fn decide(
        &self,
        failed: u32,
        kind: ErrorKind,
        retry_after: Option<Duration>,
        fraction: f64,
    ) -> RetryDecision {
        if !self.is_worth_it(kind) || failed > self.retries_max {
            return RetryDecision::GiveUp;
        }
        let asked = retry_after.unwrap_or_default();
        if asked > self.retry_after_max {
            return RetryDecision::GiveUp;
        }
        RetryDecision::Again {
            after: asked.max(self.jittered(failed, fraction)),
        }
    }

    fn is_worth_it(&self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Unavailable => true,
            ErrorKind::Corrupt => self.damage == Damage::OnTheWay,
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Precondition
            | ErrorKind::Denied
            | ErrorKind::Unsupported
            | ErrorKind::Exhausted
            | ErrorKind::Cancelled => false,
        }
    }

    fn jittered(&self, failed: u32, fraction: f64) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let longest = self.base.saturating_mul(1 << doublings).min(self.cap);
        // A fraction that is no number counts as none: `clamp` would let it through and `mul_f64` would panic.
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        longest.mul_f64(fraction)
    }
}

#[cfg(test)]
mod tests;
