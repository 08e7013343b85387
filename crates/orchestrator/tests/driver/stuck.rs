//! What cannot be undone at once is undone later.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::Ended;
use metaferry_test_kit::fake::{Call, Fault, World};

use crate::failures::fail;
use crate::node::{LEASE_TERM, Node, Run, assert_kept, recover, row_says};

#[tokio::test(start_paused = true)]
async fn what_could_not_be_undone_is_tried_again_until_it_is() {
    for call in [
        Call::RestoreReadOnly,
        Call::RestoreScheduler,
        Call::DiscardDump,
        Call::AbortUpload,
        Call::Update(Phase::Error),
    ] {
        for kind in ErrorKind::ALL {
            let world = World::new(1);
            let failures = std::sync::atomic::AtomicU32::new(0);
            world.strike(move |strike| {
                let fails =
                    strike.call == call && failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 25;
                match strike.call {
                    // Two parts arrive, then it fails.
                    Call::VerifyObject => Fault::Fail(ErrorKind::Corrupt),
                    _ if fails => Fault::Fail(kind),
                    _ => Fault::Nothing,
                }
            });
            let run = Node::new(&world).migrate().await;
            let what = format!("{call:?} {kind:?}");
            match run {
                Run::Ended(Ended::Settled(_)) => {}
                // More often than rounds: left to whoever recovers.
                Run::Ended(Ended::Stuck(_)) => {
                    recover(&world).await;
                }
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(row_says(&world), Some(Phase::Error), "{what}");
            assert_kept(&world, &what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_holds_the_lease_and_can_still_be_cancelled() {
    let world = World::new(1);
    let node = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::VerifyObject => Fault::Fail(ErrorKind::Corrupt),
        Call::Update(Phase::Error) => Fault::Fail(ErrorKind::Denied),
        _ => Fault::Nothing,
    });
    node.orchestrator.start().await.unwrap();
    world.pass(Duration::from_secs(120)).await;
    let Run::NotBegun(not_begun) = Node::new(&world).migrate().await else {
        panic!("a second one began")
    };
    assert_eq!(not_begun.error.kind, ErrorKind::Conflict);
    world.cancel_outside();
    world.pass(Duration::from_secs(2)).await;
    assert!(matches!(node.orchestrator.ended().await, Some(Ended::Settled(_))));
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    assert_kept(&world, "cancelled while stuck");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_undone_ends_and_is_recovered_later() {
    let world = World::new(1);
    fail(
        &world,
        Call::DiscardDump,
        Fault::Fail(ErrorKind::Denied),
        u32::MAX,
    );
    let run = Node::new(&world).migrate().await;
    assert!(matches!(run, Run::Ended(Ended::Stuck(_))), "{run:?}");
    assert_eq!(row_says(&world), Some(Phase::Done));
    recover(&world).await;
    assert_kept(&world, "recovered at last");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_stops_everything_until_it_can() {
    for kind in [ErrorKind::Denied, ErrorKind::Unavailable] {
        for from in [12, 40, 70, 95] {
            let world = World::new(1);
            world.strike(move |strike| {
                if strike.call == Call::Append && strike.number >= from {
                    Fault::Fail(kind)
                } else {
                    Fault::Nothing
                }
            });
            let node = Node::new(&world);
            let run = node.migrate().await;
            let what = format!("{kind:?} from call {from}");
            assert!(
                matches!(run, Run::Ended(Ended::LeaseLost) | Run::NotBegun(_)),
                "{what}: {run:?}"
            );
            let calls = node.process.calls();
            world.pass(LEASE_TERM).await;
            assert_eq!(node.process.calls(), calls, "{what}: it went on");
            recover(&world).await;
            assert_kept(&world, what);
        }
    }
}
