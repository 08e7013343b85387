#![doc = include_str!("../README.md")]

mod caller;
mod problem;
mod router;
mod routes;
mod wire;

pub use router::{Api, Hosting, router, serve};
pub use wire::{AccountBody, AttemptBody, MigrationBody, OwedBody, ReasonBody, read_only_seconds};
