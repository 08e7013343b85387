//! What many runs have shown.

use std::collections::HashMap;

use metaferry_domain::effect::Effect;
use metaferry_test_kit::fake::{Call, CallFaultKind};

use crate::chaos::Outcome;

/// Counts of many runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of runs that aim at no pair.
    free: Outcome,
    free_runs: u64,
    struck: HashMap<(Call, CallFaultKind), u64>,
    broken: Vec<(u64, Vec<String>)>,
}

/// Seeds shown of those that broke a promise.
const SHOWN: usize = 12;

impl Tally {
    pub(crate) fn count(&mut self, seed: u64, outcome: Outcome) {
        if seed % 2 == 1 {
            self.free_runs += 1;
            self.free.done += outcome.done;
            self.free.error += outcome.error;
            self.free.cancelled += outcome.cancelled;
            self.free.leases += outcome.leases;
        }
        for pair in outcome.struck {
            *self.struck.entry(pair).or_default() += 1;
        }
        if !outcome.broken.is_empty() {
            self.broken.push((seed, outcome.broken));
        }
    }

    pub(crate) fn assert_kept(&self, runs: u64) {
        let mut broken: Vec<_> = self.broken.iter().collect();
        broken.sort();
        assert!(
            broken.is_empty(),
            "{} of {runs} runs broke a promise; METAFERRY_SIMULATION_SEED=… shows one:\n{:#?}",
            broken.len(),
            &broken[..broken.len().min(SHOWN)]
        );
        say(&format!("{runs} schedules, no promise broken"));
    }

    /// Every pair has struck.
    pub(crate) fn assert_all(&self, pairs: &[(Call, CallFaultKind)]) {
        let times = |pair| self.struck.get(pair).copied().unwrap_or(0);
        let missing: Vec<_> = pairs.iter().filter(|pair| times(pair) == 0).collect();
        let of_effects: Vec<_> = Effect::ALL
            .into_iter()
            .flat_map(|effect| pairs.iter().filter(move |(call, _)| *call == Call::of(effect)))
            .collect();
        let hit = of_effects.iter().filter(|pair| times(pair) > 0).count();
        let least = pairs.iter().map(times).min().unwrap_or(0);
        say(&format!(
            "call x fault: {} of {} pairs, each at least {least} times; effect x fault: {hit} of {} pairs",
            pairs.len() - missing.len(),
            pairs.len(),
            of_effects.len()
        ));
        assert!(missing.is_empty(), "never struck: {missing:?}");
    }

    /// A simulation in which hardly anything happens proves nothing.
    pub(crate) fn assert_varied(&self) {
        let (free, runs) = (&self.free, self.free_runs);
        for (what, times) in [
            ("arrived", free.done),
            ("failed", free.error),
            ("cancelled", free.cancelled),
        ] {
            assert!(times * 5 > runs, "only {times} {what} in {runs} runs");
        }
        assert!(
            free.leases > runs * 2,
            "only {} leases in {runs} runs",
            free.leases
        );
    }
}

/// A line for whoever reads the test's output.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("standard error takes a line");
}
