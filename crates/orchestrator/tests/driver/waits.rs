//! What is waited for before the snapshot: how long, what of it any process can tell, and what ends it.

use std::time::Duration;

use metaferry_domain::effect::Effect;
use metaferry_domain::event::FailureCause;
use metaferry_domain::migration::Phase;
use metaferry_domain::quiesce::{CheckIn, NodeEvidence, RunningJobs, Told, WaitFor};
use metaferry_orchestrator::{Settings, Waits};
use metaferry_test_kit::fake::World;

use crate::node::{Node, assert_kept, settings};

fn evidence(told: Told, nodes: &[&str]) -> NodeEvidence {
    let check_in = |node: &&str| CheckIn {
        node: (*node).to_owned(),
        last_ms: 1,
        interval_ms: 7_500,
    };
    NodeEvidence {
        told,
        check_ins: Some(nodes.iter().map(check_in).collect()),
        client_hosts: Some(vec!["h".to_owned()]),
    }
}

/// What a process that steers nothing tells of the newest migration.
async fn told_elsewhere(world: &World) -> Option<Waits> {
    let elsewhere = Node::new(world).orchestrator;
    let row = elsewhere.history(1).await.expect("the app DB answers").pop()?;
    let waits = elsewhere.waits_for(row.id, row.phase).await;
    waits.expect("the app DB answers")
}

/// How long read-only was waited for, in seconds.
async fn waited(world: &World, nodes: Option<u32>) -> u64 {
    let settings = Settings {
        nodes,
        propagation: None,
        ..settings()
    };
    let before = world.now_ms();
    let run = Node::with(world, settings).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_kept(world, "waits");
    (world.now_ms() - before) / 1000
}

#[tokio::test(start_paused = true)]
async fn every_node_is_waited_for_and_any_process_tells_how_long_it_takes() {
    let world = World::new(1);
    let node = Node::with(
        &world,
        Settings {
            propagation: Some(Duration::from_secs(90)),
            ..settings()
        },
    );
    node.orchestrator.start().await.unwrap();
    world.pass(Duration::from_secs(30)).await;
    let waits = told_elsewhere(&world).await.unwrap();
    assert_eq!(waits.what, WaitFor::Nodes { nodes: Vec::new() });
    assert!((55..=62).contains(&waits.seconds_left), "{waits:?}");
    world.pass(Duration::from_secs(20)).await;
    let later = told_elsewhere(&world).await.unwrap();
    assert_eq!(waits.seconds_left - later.seconds_left, 20);
    node.orchestrator.ended().await.unwrap();
    assert_eq!(told_elsewhere(&world).await, None);
    assert_kept(&world, "waits");
}

#[tokio::test(start_paused = true)]
async fn the_one_node_that_was_told_itself_is_not_waited_for_unless_there_are_more() {
    let told = |nodes: &'static [&'static str]| {
        let world = World::new(1);
        world.change(|durable| durable.nodes = evidence(Told::ThroughItsApi, nodes));
        world
    };
    assert!(waited(&told(&["a"]), Some(1)).await < 20);
    assert!(waited(&told(&["a"]), Some(2)).await >= 90);
    // The other one is gone, which shows after two of its check-ins.
    let watched = waited(&told(&["a", "gone"]), Some(1)).await;
    assert!((15..60).contains(&watched), "{watched}");
    let behind = World::new(1);
    behind.change(|durable| durable.nodes = evidence(Told::BehindItsBack, &["a"]));
    assert!(waited(&behind, Some(1)).await >= 90);
}

#[tokio::test(start_paused = true)]
async fn more_nodes_than_declared_are_waited_for_and_named() {
    let world = World::new(1);
    world.change(|durable| durable.nodes = evidence(Told::ThroughItsApi, &["a", "b"]));
    let settings = Settings {
        nodes: Some(1),
        propagation: None,
        ..settings()
    };
    let before = world.now_ms();
    let node = Node::with(&world, settings);
    node.orchestrator.start().await.unwrap();
    // Both check in while they are watched.
    world.pass(Duration::from_secs(5)).await;
    world.change(|durable| {
        for check_in in durable.nodes.check_ins.iter_mut().flatten() {
            check_in.last_ms += 7_500;
        }
    });
    node.orchestrator.ended().await.unwrap();
    assert!(world.now_ms() - before >= 90_000);
    let account = node.orchestrator.accounts(1).await.unwrap().remove(0);
    let story = account.journal.unwrap().story.unwrap();
    assert_eq!(story.state.phase(), Phase::Done);
    let warnings = story.state.run().warnings.join("; ");
    assert!(
        warnings.contains("--nodes says 1, and 2 nodes check in: a, b"),
        "{warnings}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_say_so_fails_the_migration_which_is_undone() {
    let world = World::new(1);
    world.change(|durable| durable.unconvinced = vec!["http://n2:3000 says false".to_owned()]);
    let run = Node::new(&world).migrate().await;
    let failure = run.settled().failure().unwrap();
    assert_eq!(failure.cause, FailureCause::Effect(Effect::AwaitReadOnly));
    for word in ["http://n2:3000", "MB_READ_ONLY_MODE"] {
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    assert_kept(&world, "a node overrides the setting");
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_waited_for_are_told_with_their_nodes() {
    let running = |jobs: &[&str]| {
        vec![RunningJobs {
            node: "n1".to_owned(),
            jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        }]
    };
    let world = World::new(1);
    world.change(|durable| durable.running_jobs = running(&["pulse", "sync"]));
    let node = Node::new(&world);
    node.orchestrator.start().await.unwrap();
    world.pass(Duration::from_secs(10)).await;
    let waits = told_elsewhere(&world).await.unwrap();
    assert_eq!(
        waits.what,
        WaitFor::Jobs {
            running: running(&["pulse", "sync"])
        }
    );
    assert!((45..60).contains(&waits.seconds_left), "{waits:?}");
    world.change(|durable| durable.running_jobs = running(&["sync"]));
    world.pass(Duration::from_secs(3)).await;
    let later = told_elsewhere(&world).await.unwrap();
    assert_eq!(
        later.what,
        WaitFor::Jobs {
            running: running(&["sync"])
        }
    );
    assert!(later.seconds_left < waits.seconds_left);
    world.change(|durable| durable.running_jobs = Vec::new());
    node.orchestrator.ended().await.unwrap();
    assert_kept(&world, "jobs");
}
