//! The right to act until a time, and the number that only grows.
//!
//! Two clocks, never compared: whether a lease has ended is judged by the database's clock alone; a holder counts
//! by its own monotonic clock from the moment *before* it asked for the term, which is always the earlier end.

use std::fmt;

/// A number that only grows: who holds the highest may act. Every write carries it as a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// The token of the next holder, whoever had the one before.
    #[must_use]
    pub fn after(before: Option<Self>) -> Self {
        Self(before.map_or(1, |token| token.0.saturating_add(1)))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease that was given. Its end is by the database's clock, which nobody here reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The fencing token of this term.
    pub token: FencingToken,
    /// The node that holds it.
    pub holder: String,
    /// How long a term is, in milliseconds from the database's now at acquiring or renewing.
    pub term_ms: u64,
}

/// A lease that somebody holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// Whose it is.
    pub lease: Lease,
    /// How long it lasts if it is not renewed, in milliseconds from the moment at which the database was asked.
    pub left_ms: u64,
}

/// The lease as the database keeps it: one record that is never deleted, so that tokens go on growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The newest token that was ever given.
    pub token: FencingToken,
    /// When its term ends, in milliseconds by the database's clock; `None` once it was given back.
    pub ends_at_ms: Option<i64>,
}

impl LeaseRecord {
    /// Does somebody hold it at `db_now_ms` (the database's now)? The last millisecond is no longer theirs.
    #[must_use]
    pub fn is_held(&self, db_now_ms: i64) -> bool {
        self.ends_at_ms.is_some_and(|end| db_now_ms < end)
    }

    /// May a write under `token` go through? The newest token may, as long as its term lasts.
    #[must_use]
    pub fn admits(&self, token: FencingToken, db_now_ms: i64) -> bool {
        token == self.token && self.is_held(db_now_ms)
    }
}

/// The token that a taker gets, or `None` while somebody holds the lease. `record` is what is there, if anything.
#[must_use]
pub fn take(record: Option<LeaseRecord>, db_now_ms: i64) -> Option<FencingToken> {
    match record {
        Some(record) if record.is_held(db_now_ms) => None,
        before => Some(FencingToken::after(before.map(|record| record.token))),
    }
}

/// What a holder must do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderDuty {
    /// Nothing for so many milliseconds.
    CarryOn {
        /// Until renewing is due.
        renew_in_ms: u64,
    },
    /// Renew, while going on.
    Renew,
    /// Begin nothing, stop what runs, write nothing: the term may be over at any moment.
    Stop,
}

/// How a lease is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Length of a term in milliseconds. This is how long everybody waits for a dead holder.
    pub term_ms: u64,
    /// A holder renews this long after its last term was asked for, in milliseconds.
    pub renew_after_ms: u64,
    /// A holder stops this long before its term ends by its own count, in milliseconds: what is under way at that
    /// moment must have reached the database before anybody else may hold the lease.
    pub stop_before_ms: u64,
}

impl Default for LeaseTerms {
    /// 30 s, renewed every 10 s, so that two renewals may fail; stops 5 s before the end.
    fn default() -> Self {
        Self {
            term_ms: 30_000,
            renew_after_ms: 10_000,
            stop_before_ms: 5_000,
        }
    }
}

impl LeaseTerms {
    /// Renewing at a third of the term, stopping at five sixths; `None` for terms under a second, which the least
    /// delay would end.
    #[must_use]
    pub fn of_term(term_ms: u64) -> Option<Self> {
        (term_ms >= 1_000).then_some(Self {
            term_ms,
            renew_after_ms: term_ms / 3,
            stop_before_ms: term_ms / 6,
        })
    }

    /// What a holder must do `elapsed_ms` after the moment before it asked for its present term.
    #[must_use]
    pub fn duty(&self, elapsed_ms: u64) -> HolderDuty {
        if elapsed_ms >= self.term_ms.saturating_sub(self.stop_before_ms) {
            HolderDuty::Stop
        } else if elapsed_ms >= self.renew_after_ms {
            HolderDuty::Renew
        } else {
            HolderDuty::CarryOn {
                renew_in_ms: self.renew_after_ms - elapsed_ms,
            }
        }
    }
}

#[cfg(test)]
mod tests;
