//! A well of which one gets out, or not.

use super::*;

/// A number that steps may change; how it goes wrong is chosen.
struct Well {
    deepest: u32,
    /// From here no calm step leads out.
    trap: Option<u32>,
    forbidden: Option<u32>,
}

impl Model for Well {
    type State = u32;
    type Step = &'static str;

    fn begin(&self) -> u32 {
        0
    }

    fn steps(&mut self, at: &u32, ways: &mut Ways<u32, &'static str>) -> Result<(), (&'static str, String)> {
        if *at < self.deepest {
            ways.fault("falls", at + 1);
            ways.fault("falls far", (at + 2).min(self.deepest));
        }
        if *at > 0 && self.trap.is_none_or(|trap| *at < trap) {
            ways.calm("climbs", at - 1);
        }
        Ok(())
    }

    fn check(&mut self, at: &u32) -> Result<(), String> {
        match self.forbidden {
            Some(forbidden) if *at == forbidden => Err(format!("{at} is forbidden")),
            _ => Ok(()),
        }
    }

    fn rests(&self, at: &u32) -> bool {
        *at == 0
    }
}

const DEEP: Well = Well {
    deepest: 100_000,
    trap: None,
    forbidden: None,
};

#[test]
fn every_state_is_found_once() {
    let found = explore(&mut { DEEP }, 1_000_000).unwrap();
    assert_eq!(found.states, 100_001);
    assert_eq!(found.steps, 300_000);
    assert_eq!(found.depth, 50_000);
    assert_eq!(found.at_rest, 1);
}

#[test]
fn what_is_forbidden_is_found_by_a_shortest_way() {
    let mut well = Well {
        forbidden: Some(5),
        ..DEEP
    };
    let wrong = explore(&mut well, 1_000_000).unwrap_err();
    assert_eq!(wrong.what, "5 is forbidden");
    assert_eq!(
        wrong.trace.lines().count(),
        4,
        "three steps and the state: {wrong}"
    );
}

#[test]
fn a_state_without_a_way_out_is_found() {
    let mut well = Well {
        trap: Some(7),
        ..DEEP
    };
    let wrong = explore(&mut well, 1_000_000).unwrap_err();
    assert_eq!(wrong.what, "it never comes to rest");
    assert!(wrong.trace.ends_with('7'), "{wrong}");
}

#[test]
fn more_states_than_were_thought_are_refused() {
    let wrong = explore(&mut { DEEP }, 1_000).unwrap_err();
    assert_eq!(wrong.what, "more than 1000 states");
}
