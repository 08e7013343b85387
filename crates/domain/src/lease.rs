//! The right to act until a time, and the number that only grows.

use std::fmt;

/// A number that only grows: who holds the highest may act. Every write carries it as a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FencingToken(pub u64);

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
