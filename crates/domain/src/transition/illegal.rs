//! Why an event cannot happen in a state.

use thiserror::Error;

/// An event that cannot happen in a state. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{event} is illegal in state {state}: {why}")]
pub struct IllegalEvent {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: String,
    /// Why.
    pub why: Why,
}

/// Why an event is illegal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Why {
    /// A migration begins once.
    #[error("a migration begins once")]
    BegunAlready,
    /// The effect is not due.
    #[error("the effect is not due")]
    NotDue,
    /// The effect was not announced, or has ended.
    #[error("the effect is not running")]
    NotRunning,
    /// The announcement or the fact lacks what belongs to its effect.
    #[error("it lacks what belongs to its effect")]
    Incomplete,
    /// That effect does not tell how far it is.
    #[error("that effect has no progress of its own")]
    NoProgress,
    /// That effect waits for nobody.
    #[error("that effect waits for nobody")]
    NoWait,
    /// The part is of another upload than the one that runs.
    #[error("the part belongs to another upload")]
    OtherUpload,
    /// No row of ours is open.
    #[error("no row is open")]
    NoOpenRow,
    /// The outcome is written.
    #[error("the migration has ended")]
    Ended,
    /// The lease was lost: only recovery under a newer one may go on.
    #[error("the lease was lost: recover first")]
    LeaseLost,
    /// No lease is held.
    #[error("no lease is held")]
    NoLease,
    /// Everything is settled.
    #[error("everything is settled")]
    Settled,
    /// Something is still owed.
    #[error("not everything is undone yet")]
    NotSettled,
    /// Nothing failed to be undone.
    #[error("nothing is stuck")]
    NothingStuck,
    /// Only `error` and `cancelled` are retried.
    #[error("only an ended attempt that did not arrive is retried")]
    NotRetryable,
    /// The attempt is not the present one.
    #[error("it is about another attempt")]
    OtherAttempt,
    /// Tokens only grow.
    #[error("its token is not above the one before")]
    StaleToken,
}
