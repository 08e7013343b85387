//! The store over real HTTP.

mod store;
mod support;
