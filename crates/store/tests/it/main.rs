//! The store over real HTTP.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod lasting;
mod refusals;
mod support;
mod uploads;
