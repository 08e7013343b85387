//! The store over real HTTP.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod store;
mod support;
