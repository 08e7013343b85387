//! The real program beside real servers while it dies, fails, stalls or loses answers: at every effect, one after the
//! other (`matrix`), and at any moment, with two of them serving one app DB (`rounds`). What is left is judged by plain
//! SQL and by what lies in the store (`judge`).
//!
//! Faults are let loose by `METAFERRY_FAULT`, which only a program with debug assertions knows. `cargo xtask chaos` runs
//! all of it, every run of the tests a part.

mod judge;
mod matrix;
mod place;

/// The lease, in seconds: the shortest there is.
const LEASE_SECONDS: u64 = 5;
