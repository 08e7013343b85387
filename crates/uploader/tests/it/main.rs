//! The engine against real stores on the loopback device, and against one that fails on command.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod stub;
mod support;

mod crash_and_resume;
mod misbehaving;
mod no_leaks;
mod presigned_to_store;
mod s3;
mod s3_server;
mod store_api;
