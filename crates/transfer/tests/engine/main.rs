//! The engine judged by what is left at the target: against a source in memory and a file format that can be told
//! to misbehave.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod database;
mod file_format;
mod oracle;
mod scene;

mod cancelling;
mod comparing;
mod copying;
mod dumping;
mod existing_files;
mod failing;
mod losing;
mod parallel;
