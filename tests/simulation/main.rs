//! A hundred thousand schedules: several nodes begin, cancel, try again, crash and recover over a world in which calls fail,
//! answers get lost, what was asked for takes place late or without its process, machines lose their power and what was
//! not synced with it, leases end and people write into the row. One seed is one run. What is left of the world is judged,
//! and every pair of a call and a fault that can strike it must have struck.
//!
//! `METAFERRY_SIMULATION_SEED=17` runs one seed and prints what happened; `METAFERRY_SIMULATION_RUNS=100000` runs
//! more than the usual, as `cargo xtask ci` does.

mod aim;
mod chaos;
mod faults;
mod node;
mod tally;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aim::Aim;
use chaos::{Outcome, run};
use metaferry_test_kit::fake::{CallFaultKind, Sloppy, pairs};
use tally::{Tally, say};

/// Runs where nobody says how many: a look, in a build that was not made for more.
const RUNS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The bugs that are let loose in adapters are expected; anything else that panics is told.
fn expect_bugs() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_ours = info
                .payload()
                .downcast_ref::<String>()
                .is_some_and(|message| message.starts_with("a bug in"));
            if !is_ours {
                usual(info);
            }
        }));
    });
}

/// Every run below `runs`, on every core.
fn run_all(runs: u64, run: impl Fn(u64) -> Outcome + Sync, each: impl Fn(u64, Outcome) + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    each(seed, run(seed));
                }
            });
        }
    });
}

#[test]
fn whatever_happens_in_whatever_order_the_promises_are_kept() {
    expect_bugs();
    let pairs = pairs();
    let of = |seed| run(seed, Aim::of(seed, &pairs), Sloppy::Nowhere);
    if let Some(seed) = number("METAFERRY_SIMULATION_SEED") {
        let outcome = of(seed);
        say(&format!("{:?}", Aim::of(seed, &pairs)));
        for happening in &outcome.history {
            say(&format!("{happening:?}"));
        }
        assert!(outcome.broken.is_empty(), "seed {seed}: {:#?}", outcome.broken);
        return;
    }
    let runs = number("METAFERRY_SIMULATION_RUNS").unwrap_or(RUNS);
    let tally = Mutex::new(Tally::default());
    run_all(runs, of, |seed, outcome| {
        tally
            .lock()
            .expect("counting does not panic")
            .count(seed, outcome);
    });
    let tally = tally.into_inner().unwrap();
    tally.assert_kept(runs);
    // Every other run aims at a pair, one after the other.
    if runs >= pairs.len() as u64 * 2 {
        tally.assert_all(&pairs);
    }
    tally.assert_varied();
}

#[test]
fn one_seed_is_one_run() {
    expect_bugs();
    let pairs = pairs();
    let of = |seed| run(seed, Aim::of(seed, &pairs), Sloppy::Nowhere);
    let mut lived = 0;
    for seed in (0..8).chain(100_000..100_008) {
        let (first, second) = (of(seed), of(seed));
        assert_eq!(first.history, second.history, "seed {seed}");
        assert_eq!(first.struck, second.struck, "seed {seed}");
        lived += usize::from(!first.history.is_empty());
    }
    assert!(lived > 10, "something happened in {lived} runs");
}

/// The check of checks: where the disk or the journal does not keep what it says it has, it is seen.
#[test]
fn a_dump_that_is_not_synced_and_a_journal_that_is_not_durable_are_found_out() {
    expect_bugs();
    let pairs: Vec<_> = pairs()
        .into_iter()
        .filter(|(_, kind)| *kind == CallFaultKind::PowerLoss)
        .collect();
    for (sloppy, seen_by) in [
        (Sloppy::Nowhere, None),
        (Sloppy::Dumper, Some("of a dump was sent that is")),
        (Sloppy::Journal, Some("read-only is")),
    ] {
        let broken = Mutex::new(Vec::new());
        let of = |turn: u64| run(turn * 2, Aim::of(turn * 2, &pairs), sloppy);
        run_all(pairs.len() as u64, of, |_, outcome| {
            broken.lock().unwrap().extend(outcome.broken);
        });
        let broken = broken.into_inner().unwrap();
        match seen_by {
            None => assert!(broken.is_empty(), "{broken:#?}"),
            Some(words) => assert!(
                broken.iter().any(|what| what.contains(words)),
                "{sloppy:?}: {broken:#?}"
            ),
        }
    }
}
