//! A cancel, at every call of every port.

use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_test_kit::fake::{Call, Change, Fault, UploadStanding, World};
use tokio::sync::Notify;

use crate::node::{Node, Run, assert_kept, is_read_only_off, is_resumed, row_says, when};

/// How long after a cancel users may still be held off.
const USERS_WITHIN_MS: u64 = 2_000;
/// How long after a cancel all is settled, when nothing is slow.
const SETTLED_WITHIN_MS: u64 = 3_000;

fn is_cancelled(change: &Change) -> bool {
    matches!(
        change,
        Change::Row {
            phase: Phase::Cancelled,
            ..
        }
    )
}

#[track_caller]
fn assert_users_write_within(world: &World, what: &str) {
    let cancelled_at = when(world, is_cancelled).expect("the row was cancelled");
    for (switched, restored) in [
        (
            when(
                world,
                |change| matches!(change, Change::ReadOnly(Some(value)) if value == "true"),
            ),
            when(world, is_read_only_off),
        ),
        (
            when(world, |change| *change == Change::Paused(3)),
            when(world, is_resumed),
        ),
    ] {
        if switched.is_some() {
            let restored_at = restored.unwrap_or(u64::MAX);
            assert!(
                restored_at <= cancelled_at + USERS_WITHIN_MS,
                "{what}: cancelled at {cancelled_at}, users free at {restored_at}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_anybody_at_any_call_ends_it_and_frees_users_at_once() {
    let mut cancelled = 0;
    for number in 1.. {
        let world = World::new(1);
        let node = Node::new(&world);
        world.strike(move |strike| {
            if strike.number == number {
                Fault::CancelOutside
            } else {
                Fault::Nothing
            }
        });
        let run = node.migrate().await;
        let what = format!("cancelled before call {number}");
        assert_kept(&world, &what);
        let phase = run.settled().phase();
        assert_eq!(row_says(&world), Some(phase), "{what}");
        if phase == Phase::Cancelled {
            cancelled += 1;
            assert_users_write_within(&world, &what);
            let settled_ms = world.now_ms() - when(&world, is_cancelled).unwrap();
            assert!(
                settled_ms <= SETTLED_WITHIN_MS,
                "{what}: settled after {settled_ms} ms"
            );
        } else {
            assert_eq!(phase, Phase::Done, "{what}");
        }
        if node.process.calls() < number {
            break;
        }
    }
    assert!(cancelled > 60, "only {cancelled} cancels hit");
}

/// Asks the orchestrator to cancel when the n-th call is made.
async fn cancelled_by_request(world: &World, node: &Node, number: u64) -> Run {
    let reached = Arc::new(Notify::new());
    let reaches = Arc::clone(&reached);
    world.strike(move |strike| {
        if strike.number == number {
            reaches.notify_one();
        }
        Fault::Nothing
    });
    let orchestrator = node.orchestrator.clone();
    let canceller = tokio::spawn(async move {
        reached.notified().await;
        orchestrator
            .cancel(Canceller::Caller("test".into()))
            .await
            .expect("the app DB answers");
    });
    let run = node.migrate().await;
    canceller.abort();
    run
}

#[tokio::test(start_paused = true)]
async fn a_cancel_through_us_at_any_call_ends_it_even_before_there_is_a_row() {
    let mut without_row = 0;
    for number in 1.. {
        let world = World::new(1);
        let node = Node::new(&world);
        let run = cancelled_by_request(&world, &node, number).await;
        let what = format!("asked at call {number}");
        assert_kept(&world, &what);
        // The first calls are made before anything was begun.
        let phase = run.settled().phase();
        match phase {
            Phase::Cancelled => {
                if row_says(&world).is_some() {
                    assert_users_write_within(&world, &what);
                } else {
                    without_row += 1;
                }
            }
            Phase::Done => {}
            Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload | Phase::Error => {
                panic!("{what}: {phase}")
            }
        }
        if node.process.calls() < number {
            break;
        }
    }
    assert!(without_row > 1, "cancelled before the row was there");
}

#[tokio::test(start_paused = true)]
async fn slow_cleaning_up_and_slow_telling_hold_no_user_up() {
    for slow in [
        Call::AbortUpload,
        Call::DiscardDump,
        Call::CopyRows,
        Call::Notify,
        Call::Nodes,
        Call::RunningJobs,
        Call::PutPart,
        Call::VerifyObject,
        Call::TellStore,
        Call::StoreUndoScript,
    ] {
        let world = World::new(1);
        let node = Node::new(&world);
        world.strike(move |strike| {
            if strike.call == slow {
                Fault::Slow(Duration::from_secs(300))
            } else {
                Fault::Nothing
            }
        });
        // In the middle of the slow call where there is one on the way forward, else in the middle of copying.
        node.orchestrator.start().await.unwrap();
        let middle = match slow {
            Call::AbortUpload | Call::DiscardDump | Call::Notify => Duration::from_millis(3_030),
            _ => Duration::from_secs(60),
        };
        world.pass(middle).await;
        world.cancel_outside();
        node.orchestrator.ended().await.unwrap();
        let what = format!("{slow:?} is slow");
        assert_eq!(row_says(&world), Some(Phase::Cancelled), "{what}");
        assert_users_write_within(&world, &what);
        assert_kept(&world, &what);
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_waits_to_try_again_ends_at_once() {
    // Read-only could not be given back before the wait between two tries to set it was over, up to 30 s.
    let world = World::new(1);
    let node = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::Engage => Fault::Fail(metaferry_domain::ErrorKind::Unavailable),
        _ => Fault::Nothing,
    });
    node.orchestrator.start().await.unwrap();
    world.pass(Duration::from_millis(100)).await;
    world.cancel_outside();
    let cancelled_at = world.now_ms();
    node.orchestrator.ended().await.unwrap();
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    assert!(world.now_ms() - cancelled_at < 1_000);
    assert_kept(&world, "cancelled between two tries");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_just_being_begun_is_told_and_aborted() {
    // Dropped where it stood, it would have been left open at the store, with an id that nobody knows.
    let world = World::new(1);
    let node = Node::new(&world);
    let (somebody, mut seen) = (world.clone(), false);
    world.strike(move |strike| match strike.call {
        Call::CreateUpload => {
            somebody.cancel_outside();
            seen = true;
            Fault::SlowAnswer(Duration::from_millis(900))
        }
        // The cancel is seen before the store answers.
        Call::Append if seen => Fault::Slow(Duration::from_millis(20)),
        _ => Fault::Nothing,
    });
    let run = node.migrate().await;
    assert_eq!(run.settled().phase(), Phase::Cancelled);
    assert_kept(&world, "cancelled while an upload is begun");
    for object in world.durable().store.values() {
        assert_eq!(object.uploads.len(), 1, "it was begun");
        for upload in object.uploads.values() {
            assert_eq!(upload.standing, UploadStanding::Aborted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_can_be_cancelled_and_watched_too() {
    // It held the orchestrator's own lock once: cancelling waited for its end.
    let world = World::new(1);
    let first = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::VerifyObject => Fault::Crash(metaferry_test_kit::fake::When::Before),
        _ => Fault::Nothing,
    });
    assert!(matches!(first.migrate().await, Run::Crashed));
    world.strike(|strike| match strike.call {
        Call::VerifyObject => Fault::Slow(Duration::from_secs(1_000)),
        _ => Fault::Nothing,
    });
    world.pass(crate::node::LEASE_TERM).await;
    let second = Node::new(&world);
    let recovering = second.orchestrator.clone();
    let recovery = tokio::spawn(async move { recovering.recover().await.unwrap() });
    world.pass(Duration::from_secs(5)).await;
    assert!(second.orchestrator.view().await.is_some());
    assert!(second.orchestrator.start().await.is_err(), "one at a time");
    let cancelled = second.orchestrator.cancel(Canceller::Interrupt).await.unwrap();
    assert_eq!(cancelled, 1);
    assert_eq!(recovery.await.unwrap().len(), 1);
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    assert_kept(&world, "recovery cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_row_whose_key_was_never_told_is_found_cancelled() {
    // Writing its end was refused again and again, and nobody looked why: the lease was held for ever.
    let world = World::new(1);
    let node = Node::new(&world);
    world.strike(|strike| match strike.call {
        Call::Insert => Fault::LoseAnswer,
        Call::Update(_) => Fault::CancelOutside,
        _ => Fault::Nothing,
    });
    let run = node.migrate().await;
    assert_eq!(run.settled().phase(), Phase::Cancelled);
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    assert!(world.now_ms() < 1_700_000_000_000 + 60_000, "at once");
    assert_kept(&world, "cancelled, key unknown");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_somebody_deletes_at_any_call_ends_it_like_a_cancel() {
    for number in 1.. {
        let world = World::new(1);
        let node = Node::new(&world);
        let theirs = world.clone();
        world.strike(move |strike| {
            if strike.number == number {
                theirs.delete_rows();
            }
            Fault::Nothing
        });
        let run = node.migrate().await;
        assert_kept(&world, format!("deleted before call {number}"));
        assert!(
            matches!(run.settled().phase(), Phase::Cancelled | Phase::Done),
            "{run:?}"
        );
        if node.process.calls() < number {
            break;
        }
    }
}
