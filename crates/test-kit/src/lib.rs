#![doc = include_str!("../README.md")]

#[expect(
    clippy::unwrap_used,
    reason = "a suite panics with the promise that was broken, as any test does"
)]
pub mod contract;
pub mod explore;
pub mod fake;
#[expect(
    clippy::unwrap_used,
    reason = "a judge panics over what it cannot read, as any test does"
)]
pub mod h2_script;
pub mod seed;
pub mod unlike;
