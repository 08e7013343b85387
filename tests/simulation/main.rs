//! Thousands of schedules: several nodes begin, cancel, crash and recover over a world in which calls fail, answers get
//! lost, leases end and people write into the row. One seed is one run. What is left of the world is judged.
//!
//! `METAFERRY_SIMULATION_SEED=17` runs one seed and prints what happened; `METAFERRY_SIMULATION_RUNS=100000` runs
//! more than the usual.

mod chaos;
mod node;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chaos::{Outcome, run};

/// Runs in CI.
const RUNS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The bugs that are let loose in adapters are expected; anything else that panics is told.
fn expect_bugs() {
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
}

#[test]
fn whatever_happens_in_whatever_order_the_promises_are_kept() {
    expect_bugs();
    if let Some(seed) = number("METAFERRY_SIMULATION_SEED") {
        let outcome = run(seed);
        for happening in &outcome.history {
            let line = format!("{happening:?}\n");
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        }
        assert!(outcome.broken.is_empty(), "seed {seed}: {:#?}", outcome.broken);
        return;
    }
    let runs = number("METAFERRY_SIMULATION_RUNS").unwrap_or(RUNS);
    let next = AtomicU64::new(0);
    let total = Mutex::new(Outcome::default());
    let broken = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let outcome = run(seed);
                    if !outcome.broken.is_empty() {
                        broken.lock().unwrap().push((seed, outcome.broken.clone()));
                    }
                    total.lock().unwrap().count(&outcome);
                }
            });
        }
    });
    let mut broken = broken.into_inner().unwrap();
    broken.sort();
    assert!(
        broken.is_empty(),
        "{} of {runs} runs broke a promise; METAFERRY_SIMULATION_SEED=… shows one:\n{:#?}",
        broken.len(),
        &broken[..broken.len().min(5)]
    );
    total.into_inner().unwrap().assert_varied(runs);
}

#[test]
fn one_seed_is_one_run() {
    expect_bugs();
    let mut lived = 0;
    for seed in 0..16 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.history, second.history, "seed {seed}");
        lived += usize::from(!first.history.is_empty());
    }
    assert!(lived > 10, "something happened in {lived} runs");
}
