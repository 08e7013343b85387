use super::*;

fn seen(node: &str, last_ms: i64) -> CheckIn {
    CheckIn {
        node: node.into(),
        last_ms,
        interval_ms: 7_500,
    }
}

fn executing(node: &str, jobs: u64) -> RunningJobs {
    RunningJobs {
        node: node.into(),
        jobs,
    }
}

#[test]
fn rows_of_nodes_that_are_gone_prove_nothing() {
    let first = [seen("a", 100), seen("gone", 50), seen("left", 80)];
    let second = [seen("a", 7_600), seen("gone", 50), seen("new", 10)];
    let early = liveness(&first, &second, 8_000);
    let late = liveness(&first, &second, watch_ms(&first));
    assert_eq!(watch_ms(&first), 15_000);
    assert_eq!(
        (early["a"], early["gone"], early["left"], early["new"]),
        (Liveness::Live, Liveness::Unknown, Liveness::Dead, Liveness::Live)
    );
    assert_eq!(late["gone"], Liveness::Dead);
}

#[test]
fn a_node_whose_clock_was_set_back_lives() {
    assert_eq!(
        liveness(&[seen("a", 100)], &[seen("a", 90)], 60_000)["a"],
        Liveness::Live
    );
}

#[test]
fn jobs_of_dead_nodes_are_not_waited_for_and_those_of_unknown_nodes_are() {
    let nodes = BTreeMap::from([
        ("a".into(), Liveness::Live),
        ("b".into(), Liveness::Dead),
        ("c".into(), Liveness::Unknown),
    ]);
    assert_eq!(
        quiet(&nodes, &[executing("b", 4), executing("a", 0)]),
        Quiet::Quiet
    );
    let running = [
        executing("b", 4),
        executing("a", 1),
        executing("c", 2),
        executing("never seen", 3),
    ];
    assert_eq!(
        quiet(&nodes, &running),
        Quiet::WaitFor {
            nodes: vec!["a".into(), "c".into(), "never seen".into()],
            jobs: 6
        }
    );
}

#[test]
fn the_wait_is_skipped_only_on_proof() {
    let wait = |declared, live_nodes, client_hosts| {
        propagation_ms(NodeEvidence {
            declared,
            live_nodes,
            client_hosts,
        })
    };
    assert_eq!(wait(Declared::Unknown, None, None), PROPAGATION_MS);
    assert_eq!(wait(Declared::OneBehindItsBack, None, None), PROPAGATION_MS);
    assert_eq!(wait(Declared::OneThroughItsApi, None, None), 0);
    assert_eq!(wait(Declared::OneThroughItsApi, Some(2), None), PROPAGATION_MS);
    assert_eq!(wait(Declared::Unknown, Some(1), None), PROPAGATION_MS);
    assert_eq!(wait(Declared::Unknown, None, Some(1)), PROPAGATION_MS);
    assert_eq!(wait(Declared::Unknown, Some(1), Some(1)), 0);
    assert_eq!(wait(Declared::Unknown, Some(1), Some(2)), PROPAGATION_MS);
}
