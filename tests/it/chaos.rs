//! The real program beside real servers while it dies, fails, stalls or loses answers: at every effect, one after the
//! other (`matrix`), at any moment, with two of them serving one app DB (`rounds`), on three machines of which one is
//! cut off from the database (`cut_off`), and when it is to stop while others keep a table in use (`held_up`). What is left is judged by plain SQL and by what lies in the store (`judge`).
//!
//! Faults are let loose by `METAFERRY_FAULT`, which only a program with debug assertions knows. `cargo xtask chaos` runs
//! all of it, every run of the tests a part.

mod cut_off;
mod held_up;
mod judge;
mod machines;
mod matrix;
mod place;
mod rounds;

use std::process::Command;
use std::time::Duration;

use place::Place;

use crate::app_db::came_true;

/// The lease, in seconds: the shortest there is.
const LEASE_SECONDS: u64 = 5;

/// The program, told of that place's store and folder.
fn metaferry(place: &dyn Place) -> Command {
    let mut metaferry = place.shore().metaferry();
    metaferry.env("METAFERRY_LEASE_SECONDS", LEASE_SECONDS.to_string());
    metaferry
}

/// The longest that anything here is waited for: also the rounds in which what could not be undone is tried again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks: each is a client's process, and costs those under test their time.
const PACE: Duration = Duration::from_millis(150);

/// Looks again and again; where it is in vain, that is wrong too.
fn wait_for(what: &str, wrong: &mut Vec<String>, is_so: impl FnMut() -> bool) {
    if !came_true(PATIENCE, PACE, is_so) {
        wrong.push(format!("waited in vain until {what}"));
    }
}

/// Makes a place and hands it on.
type Opens = dyn Fn(&dyn Fn(&dyn Place)) + Sync;

/// Works in so many places at once.
fn in_places(number: usize, opens: &Opens, work: &(dyn Fn(&dyn Place) + Sync)) {
    std::thread::scope(|scope| {
        for _ in 0..number {
            scope.spawn(|| opens(&|place| work(place)));
        }
    });
}
