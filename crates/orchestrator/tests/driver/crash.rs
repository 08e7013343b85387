//! The process ends before, after or while every call takes place, or its machine does; another one recovers.

use std::time::Duration;

use metaferry_domain::migration::Phase;
use metaferry_domain::state::MigrationState;
use metaferry_test_kit::fake::{Call, Fault, PARTS, When, World, state_of};

use crate::node::{LEASE_TERM, Node, Run, assert_kept, recover, row_says};

/// Where the only journal ends, if anything was written.
fn journaled(world: &World) -> Option<MigrationState> {
    let durable = world.durable();
    let journal = durable.journals.first()?;
    Some(state_of(journal.entries.values()).expect("it is a journal"))
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_at_any_call_another_process_settles_it() {
    for fault in [
        Fault::Crash(When::Before),
        Fault::Crash(When::After),
        Fault::Crash(When::InFlight(LEASE_TERM / 2)),
        Fault::PowerLoss,
    ] {
        let (mut resumed, mut undone) = (0, 0);
        for number in 1.. {
            let world = World::new(1);
            world.strike(move |strike| {
                if strike.number == number {
                    fault
                } else {
                    Fault::Nothing
                }
            });
            let node = Node::new(&world);
            let run = node.migrate().await;
            let what = format!("{fault:?} at call {number}");
            if let Run::Ended(_) = run
                && node.process.calls() < number
            {
                assert_eq!(row_says(&world), Some(Phase::Done));
                break;
            }
            let before = journaled(&world);
            recover(&world).await;
            assert_kept(&world, &what);
            match before {
                Some(MigrationState::Upload { .. } | MigrationState::Done { .. }) => {
                    assert_eq!(
                        row_says(&world),
                        Some(Phase::Done),
                        "{what}: the dump was complete"
                    );
                    resumed += 1;
                    sent_again_at_most(&world, 1, &what);
                }
                Some(_) => {
                    assert_ne!(row_says(&world), Some(Phase::Done), "{what}");
                    undone += 1;
                }
                None => assert_eq!(row_says(&world), None, "{what}: nothing was begun"),
            }
        }
        assert!(
            resumed > 15 && undone > 30,
            "{fault:?}: {resumed} resumed, {undone} undone"
        );
    }
}

#[track_caller]
fn sent_again_at_most(world: &World, parts: u32, what: &str) {
    for object in world.durable().store.values() {
        let sent: u32 = object.sent.values().sum();
        assert!(sent <= PARTS + parts, "{what}: {:?}", object.sent);
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_itself_may_crash_at_any_call() {
    for first in [
        Call::Engage,
        Call::CopyRows,
        Call::PutPart,
        Call::DiscardDump,
        Call::Settle,
    ] {
        for number in 1.. {
            let world = World::new(1);
            world.strike(move |strike| {
                if strike.process == 1 && strike.call == first
                    || strike.process == 2 && strike.number == number
                {
                    Fault::Crash(When::After)
                } else {
                    Fault::Nothing
                }
            });
            assert!(matches!(Node::new(&world).migrate().await, Run::Crashed));
            world.pass(LEASE_TERM).await;
            let second = Node::new(&world);
            let has_crashed = tokio::select! {
                biased;
                () = second.process.crashed() => true,
                ended = second.orchestrator.recover() => { ended.unwrap(); false }
            };
            recover(&world).await;
            assert_kept(
                &world,
                format!("crashed after {first:?}, then call {number} of recovery"),
            );
            if !has_crashed {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_something_is_owed() {
    // A crash, then a cancel: the row has ended, and the debts are still there.
    let world = World::new(1);
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::Crash(When::Before),
        _ => Fault::Nothing,
    });
    assert!(matches!(Node::new(&world).migrate().await, Run::Crashed));
    world.calm();
    world.cancel_outside();
    world.pass(LEASE_TERM).await;
    let node = Node::new(&world);
    let Run::NotBegun(not_begun) = node.migrate().await else {
        panic!("it began")
    };
    assert_eq!(not_begun.error.kind, metaferry_domain::ErrorKind::Conflict);
    assert_eq!(world.durable().read_only.as_deref(), Some("true"), "still owed");
    assert_eq!(node.orchestrator.recover().await.unwrap().len(), 1);
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    assert_eq!(node.migrate().await.settled().phase(), Phase::Done);
    assert_kept(&world, "recovered, then another");
}

/// It was told the lease's whole term, which is long over for who waits it out.
#[tokio::test(start_paused = true)]
async fn who_finds_the_migration_of_a_killed_one_is_told_how_long_its_lease_still_lasts() {
    let world = World::new(1);
    world.strike(|strike| match strike.call {
        Call::Engage => Fault::Crash(When::Before),
        _ => Fault::Nothing,
    });
    assert!(matches!(Node::new(&world).migrate().await, Run::Crashed));
    world.calm();
    let term = LEASE_TERM.as_secs();
    for (passes, left) in [(11, term - 11), (9, term - 20)] {
        world.pass(Duration::from_secs(passes)).await;
        let Run::NotBegun(not_begun) = Node::new(&world).migrate().await else {
            panic!("it began")
        };
        let why = not_begun.error.chain();
        assert!(why.contains(&format!("runs out within {left} s")), "{why}");
    }
    recover(&world).await;
    assert_kept(&world, "told, then recovered");
}

#[tokio::test(start_paused = true)]
async fn a_migration_that_lives_is_not_recovered() {
    let world = World::new(1);
    let (first, second) = (Node::new(&world), Node::new(&world));
    first.orchestrator.start().await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert!(second.orchestrator.recover().await.unwrap().is_empty());
    assert_eq!(
        second.orchestrator.orphans().await.unwrap().len(),
        1,
        "somebody is at it"
    );
    first.orchestrator.ended().await.unwrap();
    assert_eq!(row_says(&world), Some(Phase::Done));
    assert_kept(&world, "looked at");
}

#[tokio::test(start_paused = true)]
async fn recovery_deletes_the_dump_that_was_announced_wherever_dumps_go_now() {
    let world = World::new(1);
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::Crash(When::Before),
        _ => Fault::Nothing,
    });
    assert!(matches!(Node::new(&world).migrate().await, Run::Crashed));
    world.calm();
    world.pass(LEASE_TERM).await;
    let mut moved = crate::node::settings();
    moved.dump_folder = "/elsewhere".into();
    moved.dump_file = Some("/data/somebody/dump.mv.db".into());
    Node::with(&world, moved).orchestrator.recover().await.unwrap();
    assert_kept(&world, "configured otherwise");
}
