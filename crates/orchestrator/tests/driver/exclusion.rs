//! One at a time; and who lost the lease touches nothing.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::Ended;
use metaferry_test_kit::fake::{Call, Fault, World};
use metaferry_test_kit::seed::Seed;
use tokio::task::JoinSet;

use crate::node::{Node, Run, assert_kept, recover, row_says};

#[tokio::test(start_paused = true)]
async fn of_many_starts_at_once_exactly_one_migrates() {
    for seed in 0..64 {
        let world = World::new(seed);
        let mut delays = Seed::new(seed);
        // Up to longer than a whole migration takes, but for the first look at what is there: who looks when all is
        // over begins a second one, and may.
        world.strike(move |strike| match strike.call {
            Call::Preflight | Call::Acquire | Call::CreateAtStore | Call::Migrations => {
                Fault::Slow(Duration::from_millis(delays.below(6_000)))
            }
            Call::NewestRows => Fault::Slow(Duration::from_millis(delays.below(1_000))),
            _ => Fault::Nothing,
        });
        let mut starts = JoinSet::new();
        for _ in 0..3 {
            let node = Node::new(&world);
            let again = node.orchestrator.clone();
            starts.spawn(async move { node.migrate().await });
            starts.spawn(async move {
                match again.start().await {
                    Ok(_) => Run::Ended(again.ended().await.unwrap()),
                    Err(error) => Run::NotBegun(error),
                }
            });
        }
        let mut begun = 0;
        for run in starts.join_all().await {
            match run {
                Run::Ended(Ended::Settled(_)) => begun += 1,
                Run::NotBegun(not_begun) => {
                    assert_eq!(
                        not_begun.error.kind,
                        ErrorKind::Conflict,
                        "seed {seed}: {not_begun:?}"
                    );
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!(begun, 1, "seed {seed}");
        assert_eq!(world.durable().rows.len(), 1, "seed {seed}");
        assert_eq!(row_says(&world), Some(Phase::Done), "seed {seed}");
        assert_kept(&world, format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_at_any_call_touches_nothing_any_more() {
    let mut lost = 0;
    for number in 1.. {
        let world = World::new(1);
        let node = Node::new(&world);
        world.strike(move |strike| {
            if strike.process == 1 && strike.number == number {
                Fault::EndLease
            } else {
                Fault::Nothing
            }
        });
        let run = node.migrate().await;
        let what = format!("the lease ended before call {number}");
        match run {
            Run::Ended(Ended::LeaseLost) => lost += 1,
            Run::NotBegun(ref not_begun) => {
                assert_eq!(not_begun.error.kind, ErrorKind::Unavailable, "{what}: {run:?}");
            }
            Run::Ended(Ended::Settled(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        let calls = node.process.calls();
        recover(&world).await;
        assert_eq!(node.process.calls(), calls, "{what}: it did something more");
        assert_kept(&world, &what);
        if calls < number {
            break;
        }
    }
    assert!(lost > 60, "only {lost} were lost");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_given_up_before_it_ends() {
    // While the upload runs, which no token guards.
    let world = World::new(1);
    let node = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::Renew => Fault::Fail(ErrorKind::Unavailable),
        Call::PutPart => Fault::Slow(Duration::from_secs(600)),
        _ => Fault::Nothing,
    });
    assert!(matches!(node.migrate().await, Run::Ended(Ended::LeaseLost)));
    let durable = world.durable();
    let ends_at_ms = durable.lease.unwrap().ends_at_ms.unwrap().unsigned_abs();
    assert!(
        world.now_ms() < ends_at_ms,
        "it stopped before anybody else may begin"
    );
    recover(&world).await;
    assert_eq!(row_says(&world), Some(Phase::Done), "the upload was resumed");
    assert_kept(&world, "not renewed");
}

#[tokio::test(start_paused = true)]
async fn a_slow_journal_and_a_long_copy_do_not_lose_the_lease() {
    let world = World::new(1);
    let node = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::Append => Fault::Slow(Duration::from_secs(20)),
        Call::CopyRows => Fault::Slow(Duration::from_secs(120)),
        _ => Fault::Nothing,
    });
    let run = node.migrate().await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_kept(&world, "slow");
}
