use super::*;

fn seen(node: &str, last_ms: i64) -> CheckIn {
    CheckIn {
        node: node.into(),
        last_ms,
        interval_ms: 7_500,
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

fn evidence(told: Told, nodes: Option<&[&str]>, hosts: Option<&[&str]>) -> NodeEvidence {
    NodeEvidence {
        told,
        check_ins: nodes.map(|nodes| nodes.iter().map(|node| seen(node, 1)).collect()),
        client_hosts: hosts.map(|hosts| hosts.iter().map(|host| (*host).to_owned()).collect()),
    }
}

const WAIT: Propagation = Propagation::Wait { contradiction: None };

#[test]
fn the_wait_is_skipped_only_on_proof() {
    use Told::{BehindItsBack, ThroughItsApi};
    let decide = |told, declared, nodes, hosts| propagation(&evidence(told, nodes, hosts), declared);
    for told in [ThroughItsApi, BehindItsBack] {
        assert_eq!(decide(told, None, None, None), WAIT);
        assert_eq!(decide(told, None, Some(&["a"]), None), WAIT);
        assert_eq!(decide(told, None, None, Some(&["h"])), WAIT);
        assert_eq!(decide(told, None, Some(&["a"]), Some(&["h", "i"])), WAIT);
        assert_eq!(decide(told, Some(3), Some(&["a"]), Some(&["h"])), WAIT);
    }
    assert_eq!(
        decide(BehindItsBack, None, Some(&[]), Some(&[])),
        Propagation::NobodyIsThere
    );
    // Somebody was told, so that somebody is there, seen or not.
    assert_eq!(decide(ThroughItsApi, None, Some(&[]), Some(&[])), WAIT);
    assert_eq!(
        decide(ThroughItsApi, Some(1), Some(&[]), Some(&[])),
        Propagation::TheOneWasTold
    );
    assert_eq!(
        decide(ThroughItsApi, Some(1), None, None),
        Propagation::TheOneWasTold
    );
    assert_eq!(
        decide(ThroughItsApi, None, Some(&["a"]), Some(&["h"])),
        Propagation::TheOneWasTold
    );
    // A single node that was not told has its cache all the same.
    assert_eq!(decide(BehindItsBack, Some(1), Some(&["a"]), Some(&["h"])), WAIT);
    assert_eq!(
        decide(ThroughItsApi, Some(2), Some(&["a", "b"]), Some(&["h", "i"])),
        WAIT
    );
}

#[test]
fn more_nodes_than_declared_are_named_and_waited_for() {
    let told = Told::ThroughItsApi;
    let contradicted = |found: &Propagation, name: &str| match found {
        Propagation::Wait {
            contradiction: Some(why),
        } => why.contains(name),
        Propagation::Wait { contradiction: None }
        | Propagation::NobodyIsThere
        | Propagation::TheOneWasTold
        | Propagation::Watch => false,
    };
    let hosts = propagation(&evidence(told, None, Some(&["10.0.0.1", "10.0.0.2"])), Some(1));
    assert!(contradicted(&hosts, "10.0.0.2"), "{hosts:?}");
    let first = evidence(told, Some(&["a", "b"]), Some(&["h"]));
    assert_eq!(propagation(&first, Some(1)), Propagation::Watch);
    let mut now = first.clone();
    now.check_ins = Some(vec![seen("a", 2), seen("b", 1)]);
    assert_eq!(propagation_watched(&first, &now, 8_000, 1), Propagation::Watch);
    // The row of the other one is of a node that is gone: it never advanced.
    assert_eq!(
        propagation_watched(&first, &now, 15_000, 1),
        Propagation::TheOneWasTold
    );
    now.check_ins = Some(vec![seen("a", 2), seen("b", 2)]);
    let both = propagation_watched(&first, &now, 8_000, 1);
    assert!(contradicted(&both, "a, b"), "{both:?}");
}

#[test]
fn a_wait_is_told_with_what_is_left() {
    let nodes = WaitFor::Nodes { nodes: Vec::new() };
    assert_eq!(
        nodes.in_words(75),
        "waiting until every node has seen read-only: 75 s left"
    );
    let running = vec![
        RunningJobs {
            node: "n1".into(),
            jobs: (1..=7).map(|job| format!("j{job}")).collect(),
        },
        RunningJobs {
            node: "n2".into(),
            jobs: vec!["k".into()],
        },
    ];
    assert_eq!(
        WaitFor::Jobs { running }.in_words(9),
        "waiting for running jobs: 7 jobs (j1, j2, j3, j4, j5, 2 more) on n1, 1 job (k) on n2; 9 s left at most"
    );
}
