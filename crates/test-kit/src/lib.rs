//! Fakes, contracts and sample data for tests. Only ever a dev-dependency.

#[expect(clippy::unwrap_used, reason = "a suite panics with the promise that was broken, as any test does")]
pub mod contract;
