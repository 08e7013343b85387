//! The reader against files that H2 itself wrote, and against damaged copies of them.
#![expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod app_db;
mod committed;
mod damage;
mod definitions;
mod fixtures;
mod h2_text;
mod headers;
mod in_use;
mod index_order;
mod newest_version;
mod registry;
mod round_trip;
mod support;
