use metaferry_domain::quiesce::CheckIn;

use super::liveness::{Liveness, Observation, judge_nodes, longest_silence_ms, running_jobs};
use super::plan::{PausedBefore, pause_plan, paused_now, resume_plan};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The rows that the plans are about, and Quartz's own rules for them.
#[derive(Debug, Clone, PartialEq)]
struct Rows {
    triggers: BTreeMap<TriggerKey, TriggerRow>,
    groups: BTreeSet<String>,
    fired: Vec<FiredRow>,
}

impl Rows {
    fn list(&self) -> Vec<TriggerRow> {
        self.triggers.values().cloned().collect()
    }

    fn now(&self) -> PausedBefore {
        paused_now(&self.list(), &self.groups)
    }

    /// Applies a pause; panics where a change does not fit the rows.
    fn pause(&mut self) {
        let plan = pause_plan(&self.list(), &self.groups);
        for change in plan.states {
            let row = self.triggers.get_mut(&change.key).unwrap();
            assert!(change.from.contains(&row.state));
            row.state = change.to;
        }
        for group in plan.insert_groups {
            assert!(self.groups.insert(group), "inserts a group that is there");
        }
    }

    fn resume(&mut self, before: &PausedBefore) {
        let plan = resume_plan(before, &self.list(), &self.groups, &self.fired, &nodes());
        for change in plan.states {
            let row = self.triggers.get_mut(&change.key).unwrap();
            assert!(change.from.contains(&row.state));
            row.state = change.to;
        }
        for group in plan.delete_groups {
            assert!(self.groups.remove(&group), "deletes a group that is not there");
        }
    }

    /// Quartz storing a trigger: its group decides, then the marker, which also lists the group.
    fn store(&mut self, mut row: TriggerRow) {
        row.state = TriggerState::Waiting;
        if self.groups.contains(&row.key.group) {
            row.state = TriggerState::Paused;
        } else if self.groups.contains(ALL_GROUPS_PAUSED) {
            self.groups.insert(row.key.group.clone());
            row.state = TriggerState::Paused;
        }
        self.triggers.insert(row.key.clone(), row);
    }

    /// Quartz ending every run.
    fn end_runs(&mut self) {
        self.fired.retain(|row| row.state == FiredState::Acquired);
        for row in self.triggers.values_mut() {
            row.state = match row.state {
                TriggerState::Blocked => TriggerState::Waiting,
                TriggerState::PausedBlocked => TriggerState::Paused,
                other => other,
            };
        }
    }

    /// A node releasing what it has claimed, as it does with what it finds paused.
    fn release_claims(&mut self) {
        self.fired.retain(|row| row.state == FiredState::Executing);
        for row in self.triggers.values_mut() {
            if row.state == TriggerState::Acquired {
                row.state = TriggerState::Waiting;
            }
        }
    }
}

/// The node that does everything here, listed.
const NODE: &str = "n1";
/// When everything is to fire next.
const NEXT_MS: i64 = 1_700_000_000_000;

fn nodes() -> [CheckIn; 1] {
    [CheckIn {
        node: NODE.to_owned(),
        last_ms: 1,
        interval_ms: CHECKIN_INTERVAL_MS.unsigned_abs(),
    }]
}

/// What the node has claimed, or runs.
fn fired(row: &TriggerRow, state: FiredState) -> FiredRow {
    FiredRow {
        instance: NODE.to_owned(),
        state,
        trigger: row.key.clone(),
        scheduled_ms: row.next_fire_ms,
        job: (state == FiredState::Executing).then(|| row.job.clone()),
    }
}

fn key(group: &str, name: &str) -> TriggerKey {
    TriggerKey {
        group: group.to_owned(),
        name: name.to_owned(),
    }
}

fn row(group: &str, name: &str, state: TriggerState, concurrency: Concurrency) -> TriggerRow {
    let job = JobKey {
        group: "jobs".to_owned(),
        name: format!("job of {group} {name}"),
    };
    TriggerRow {
        key: key(group, name),
        job,
        concurrency,
        state,
        next_fire_ms: Some(NEXT_MS),
    }
}

/// Any schedule that Quartz can be in. A job of a blocked trigger runs, and only of those; what is acquired is claimed.
fn schedule() -> impl Strategy<Value = Rows> {
    let state = prop::sample::select(TriggerState::ALL.to_vec());
    let trigger = ((0..4u8), (0..6u8), state);
    let groups = prop::collection::btree_set(0..5u8, 0..3);
    (prop::collection::vec(trigger, 0..12), groups).prop_map(|(triggers, groups)| {
        let mut rows = Rows {
            triggers: BTreeMap::new(),
            groups: BTreeSet::new(),
            fired: Vec::new(),
        };
        for (group, name, state) in triggers {
            let blocked = matches!(state, TriggerState::Blocked | TriggerState::PausedBlocked);
            let concurrency = if blocked {
                Concurrency::NonConcurrent
            } else {
                Concurrency::Concurrent
            };
            let row = row(&format!("g{group}"), &format!("t{name}"), state, concurrency);
            rows.triggers.insert(row.key.clone(), row);
        }
        for row in rows.triggers.values() {
            if row.concurrency == Concurrency::NonConcurrent {
                rows.fired.push(fired(row, FiredState::Executing));
            } else if row.state == TriggerState::Acquired {
                rows.fired.push(fired(row, FiredState::Acquired));
            }
        }
        // Group 4 stands for the marker.
        let name = |group: u8| {
            if group == 4 {
                ALL_GROUPS_PAUSED.to_owned()
            } else {
                format!("g{group}")
            }
        };
        rows.groups = groups.into_iter().map(name).collect();
        rows
    })
}

proptest! {
    #[test]
    fn pausing_leaves_nothing_that_can_fire(rows in schedule()) {
        let mut paused = rows;
        paused.pause();
        for row in paused.triggers.values() {
            prop_assert!(
                !matches!(row.state, TriggerState::Waiting | TriggerState::Acquired | TriggerState::Blocked),
                "{row:?} can fire"
            );
        }
        paused.store(row("a new group", "new", TriggerState::Waiting, Concurrency::Concurrent));
        prop_assert_eq!(paused.triggers[&key("a new group", "new")].state, TriggerState::Paused);
        prop_assert!(pause_plan(&paused.list(), &paused.groups).is_empty(), "a second pause changes something");
    }

    #[test]
    fn resuming_restores_exactly_what_was_there(rows in schedule()) {
        let before = rows.now();
        let mut after = rows.clone();
        after.pause();
        after.resume(&before);
        prop_assert!(
            resume_plan(&before, &after.list(), &after.groups, &after.fired, &nodes()).is_empty(),
            "a second resume changes something"
        );
        prop_assert_eq!(after, rows);
    }

    /// The same happens with and without the pause in between; the outcome is the same.
    #[test]
    fn what_is_stored_ends_and_is_released_meanwhile_is_as_without_us(
        rows in schedule(),
        added in prop::collection::vec((0..5u8, 6..9u8), 0..4),
        ends in any::<bool>(),
        releases in any::<bool>(),
    ) {
        let meanwhile = |rows: &mut Rows| {
            for (group, name) in &added {
                rows.store(row(&format!("g{group}"), &format!("t{name}"), TriggerState::Waiting, Concurrency::Concurrent));
            }
            if ends {
                rows.end_runs();
            }
            if releases {
                rows.release_claims();
            }
        };
        let before = rows.now();
        let mut with_us = rows.clone();
        with_us.pause();
        meanwhile(&mut with_us);
        with_us.resume(&before);
        let mut without_us = rows;
        meanwhile(&mut without_us);
        prop_assert_eq!(with_us, without_us);
    }

    #[test]
    fn what_was_there_before_survives_being_saved(rows in schedule()) {
        let before = rows.now();
        let json = serde_json::to_string(&before).unwrap();
        prop_assert_eq!(serde_json::from_str::<PausedBefore>(&json).unwrap(), before);
    }
}

#[test]
fn a_trigger_that_ran_in_a_paused_group_runs_again() {
    // An operator paused a group and resumed one trigger of it: the group's row alone would leave that one paused.
    let mut rows = Rows {
        triggers: BTreeMap::new(),
        groups: BTreeSet::from(["g".to_owned()]),
        fired: Vec::new(),
    };
    for (name, state) in [("runs", TriggerState::Waiting), ("paused", TriggerState::Paused)] {
        rows.triggers
            .insert(key("g", name), row("g", name, state, Concurrency::Concurrent));
    }
    let (before, expected) = (rows.now(), rows.clone());
    rows.pause();
    rows.resume(&before);
    assert_eq!(rows, expected);
}

/// A trigger whose claim was a node's still was given back as waiting: the next node claimed it as well, and both fired it.
#[test]
fn what_a_node_has_claimed_is_its_claim_still() {
    let concurrent = row("g", "t", TriggerState::Acquired, Concurrency::Concurrent);
    let alone = row("g", "t", TriggerState::Acquired, Concurrency::NonConcurrent);
    let claim = || fired(&concurrent, FiredState::Acquired);
    let of_nobody = FiredRow {
        instance: "gone".to_owned(),
        ..claim()
    };
    let for_another_time = FiredRow {
        scheduled_ms: Some(NEXT_MS + 1),
        ..claim()
    };
    let of_another = FiredRow {
        trigger: key("other", "t"),
        ..claim()
    };
    let runs = || fired(&concurrent, FiredState::Executing);
    for (trigger, fired, expected) in [
        (&concurrent, vec![claim()], TriggerState::Acquired),
        (&alone, vec![claim()], TriggerState::Acquired),
        (&concurrent, vec![runs(), claim()], TriggerState::Acquired),
        (&alone, vec![runs(), claim()], TriggerState::Blocked),
        (&concurrent, vec![runs()], TriggerState::Waiting),
        (&concurrent, vec![of_nobody], TriggerState::Waiting),
        (&concurrent, vec![for_another_time], TriggerState::Waiting),
        (&concurrent, vec![of_another], TriggerState::Waiting),
    ] {
        let mut rows = Rows {
            triggers: BTreeMap::from([(trigger.key.clone(), trigger.clone())]),
            groups: BTreeSet::new(),
            fired,
        };
        let before = rows.now();
        rows.pause();
        rows.resume(&before);
        assert_eq!(rows.triggers[&trigger.key].state, expected, "{:?}", rows.fired);
    }
    // What never fires again has no time, and a claim whose row does not tell one is for none.
    let ends = TriggerRow {
        next_fire_ms: None,
        state: TriggerState::Paused,
        ..concurrent.clone()
    };
    let untold = FiredRow {
        scheduled_ms: None,
        ..claim()
    };
    let before = paused_now(std::slice::from_ref(&concurrent), &BTreeSet::new());
    let plan = resume_plan(&before, &[ends], &BTreeSet::new(), &[untold], &nodes());
    assert_eq!(plan.states[0].to, TriggerState::Waiting);
}

#[test]
fn what_somebody_else_resumed_is_not_paused_again() {
    let mut rows = Rows {
        triggers: BTreeMap::new(),
        groups: BTreeSet::from(["g".to_owned()]),
        fired: Vec::new(),
    };
    rows.triggers.insert(
        key("g", "t"),
        row("g", "t", TriggerState::Paused, Concurrency::Concurrent),
    );
    let before = rows.now();
    rows.pause();
    rows.groups.clear();
    rows.triggers.get_mut(&key("g", "t")).unwrap().state = TriggerState::Waiting;
    assert!(resume_plan(&before, &rows.list(), &rows.groups, &rows.fired, &nodes()).is_empty());
}

#[test]
fn names_are_spelled_as_each_database_does() {
    assert_eq!(
        QuartzTable::PausedTriggerGroups.name(Dialect::Postgres),
        "qrtz_paused_trigger_grps"
    );
    assert_eq!(
        QuartzTable::SchedulerState.name(Dialect::MySql),
        "QRTZ_SCHEDULER_STATE"
    );
    assert_eq!(QuartzTable::Triggers.name(Dialect::H2), "QRTZ_TRIGGERS");
    assert_eq!(column("trigger_state", Dialect::MySql), "TRIGGER_STATE");
    let names: BTreeSet<String> = QuartzTable::ALL
        .iter()
        .map(|table| table.name(Dialect::H2))
        .collect();
    assert_eq!(names.len(), QuartzTable::ALL.len());
    for state in TriggerState::ALL {
        assert_eq!(TriggerState::from_stored(state.as_str()), Some(state));
    }
    assert_eq!(TriggerState::from_stored("waiting"), None);
    assert_eq!(FiredState::from_stored("EXECUTING"), Some(FiredState::Executing));
}

fn look(at_ms: i64, check_ins: &[(&str, i64)]) -> Observation {
    let check_in = |&(instance, last_ms): &(&str, i64)| CheckIn {
        node: instance.to_owned(),
        last_ms,
        interval_ms: CHECKIN_INTERVAL_MS.unsigned_abs(),
    };
    Observation {
        at_ms,
        check_ins: check_ins.iter().map(check_in).collect(),
    }
}

#[test]
fn a_node_is_alive_when_its_check_in_advances_whatever_its_clock_says() {
    let looks = [
        look(
            0,
            &[
                ("ahead by years", 9_000_000),
                ("behind", 10),
                ("dead", 500),
                ("leaves", 1),
                ("slow", 7),
            ],
        ),
        look(
            8_000,
            &[
                ("ahead by years", 9_007_500),
                ("behind", 7_510),
                ("dead", 500),
                ("new", 3),
            ],
        ),
    ];
    let first = judge_nodes(&looks[..1]);
    assert!(
        first.values().all(|node| *node == Liveness::Undecided),
        "{first:?}"
    );

    let second = judge_nodes(&looks);
    assert_eq!(second["ahead by years"], Liveness::Live);
    assert_eq!(second["behind"], Liveness::Live);
    assert_eq!(second["new"], Liveness::Live);
    assert_eq!(second["dead"], Liveness::Undecided);
    assert_eq!(second["leaves"], Liveness::Gone);

    let enough_ms = longest_silence_ms(&looks[0]);
    let third = judge_nodes(&[
        looks[0].clone(),
        look(enough_ms, &[("ahead by years", 9_015_000), ("dead", 500)]),
    ]);
    assert_eq!(third["ahead by years"], Liveness::Live);
    assert_eq!(third["dead"], Liveness::Silent);
    assert!(judge_nodes(&[]).is_empty());
}

#[test]
fn a_node_that_falls_silent_is_not_alive_for_good() {
    let looks = [
        look(0, &[("n", 1)]),
        look(7_500, &[("n", 2)]),
        look(30_000, &[("n", 2)]),
    ];
    assert_eq!(judge_nodes(&looks[..2])["n"], Liveness::Live);
    assert_eq!(judge_nodes(&looks)["n"], Liveness::Silent);
}

#[test]
fn only_running_jobs_of_nodes_that_may_live_are_waited_for() {
    let nodes = BTreeMap::from([
        ("live".to_owned(), Liveness::Live),
        ("unsure".to_owned(), Liveness::Undecided),
        ("dead".to_owned(), Liveness::Silent),
    ]);
    let fired = |instance: &str, state| FiredRow {
        instance: instance.to_owned(),
        job: None,
        ..fired(
            &row("g", "t", TriggerState::Paused, Concurrency::Concurrent),
            state,
        )
    };
    let rows = [
        fired("live", FiredState::Executing),
        fired("live", FiredState::Acquired),
        fired("unsure", FiredState::Executing),
        fired("dead", FiredState::Executing),
        fired("never seen", FiredState::Executing),
    ];
    let running = running_jobs(&rows, &nodes);
    let told: Vec<(&str, usize)> = running
        .iter()
        .map(|on| (on.node.as_str(), on.jobs.len()))
        .collect();
    assert_eq!(told, [("live", 1), ("unsure", 1)]);
}
