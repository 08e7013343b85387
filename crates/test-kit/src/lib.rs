#![doc = include_str!("../README.md")]

#[expect(
    clippy::unwrap_used,
    reason = "a suite panics with the promise that was broken, as any test does"
)]
pub mod contract;
pub mod fake;
pub mod seed;
