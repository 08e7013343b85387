//! A network that gives neither answers nor errors: nothing waits for it longer than its limit, and each answer may take
//! what it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::Ended;
use metaferry_test_kit::fake::{Call, Fault, World};

use crate::node::{Node, Run, assert_kept, recover, row_says};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// From the first part of the upload on, as many of the calls in question as `times` says are not answered; the upload
/// itself takes long.
fn silence(world: &World, times: u32, silent: fn(Call) -> bool) -> Arc<AtomicBool> {
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&begun);
    let left = AtomicU32::new(times);
    world.strike(move |strike| {
        if strike.call == Call::PutPart {
            seen.store(true, Ordering::Relaxed);
            return Fault::Slow(Duration::from_secs(600));
        }
        let strikes = seen.load(Ordering::Relaxed) && silent(strike.call);
        let fewer = |left: u32| left.checked_sub(1);
        if strikes
            && left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer)
                .is_ok()
        {
            Fault::Slow(AN_HOUR)
        } else {
            Fault::Nothing
        }
    });
    begun
}

/// The driver waited for the row, and heard of nothing else.
#[tokio::test(start_paused = true)]
async fn a_look_at_the_row_that_is_never_answered_does_not_hold_up_a_cancel() {
    let world = World::new(1);
    let node = Node::new(&world);
    let begun = silence(&world, 1, |call| call == Call::GetRow);
    node.orchestrator.start().await.unwrap();
    while !begun.load(Ordering::Relaxed) {
        world.pass(Duration::from_secs(1)).await;
    }
    // Until the driver is in the middle of a look.
    world.pass(Duration::from_secs(2)).await;
    cancel_is_heard(&world, &node).await;
}

/// Somebody keeps the row locked.
#[tokio::test(start_paused = true)]
async fn progress_that_cannot_be_written_does_not_hold_up_a_cancel() {
    let world = World::new(1);
    let node = Node::new(&world);
    let writes = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&writes);
    world.strike(move |strike| {
        // The first one is that of the state.
        let is_progress =
            strike.call == Call::Update(Phase::Dump) && seen.fetch_add(1, Ordering::Relaxed) == 1;
        if is_progress {
            Fault::Slow(AN_HOUR)
        } else {
            Fault::Nothing
        }
    });
    node.orchestrator.start().await.unwrap();
    while writes.load(Ordering::Relaxed) < 2 {
        world.pass(Duration::from_millis(10)).await;
    }
    cancel_is_heard(&world, &node).await;
}

/// Somebody keeps it locked: who asks is answered later, and the worker hears of it all the same.
#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_cancelled_does_not_hold_up_a_cancel() {
    let world = World::new(1);
    let node = Node::new(&world);
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&begun);
    world.strike(move |strike| match strike.call {
        Call::CancelAll => Fault::Slow(AN_HOUR),
        Call::PutPart => {
            seen.store(true, Ordering::Relaxed);
            Fault::Slow(Duration::from_secs(600))
        }
        _ => Fault::Nothing,
    });
    node.orchestrator.start().await.unwrap();
    while !begun.load(Ordering::Relaxed) {
        world.pass(Duration::from_secs(1)).await;
    }
    let asked_ms = world.now_ms();
    let orchestrator = node.orchestrator.clone();
    let asking = tokio::spawn(async move { orchestrator.cancel(Canceller::Interrupt).await });
    let ended = node.orchestrator.ended().await.unwrap();
    assert!(world.now_ms() - asked_ms < 2_000, "{ended:?}");
    assert_eq!(row_says(&world), Some(Phase::Cancelled));
    asking.abort();
}

async fn cancel_is_heard(world: &World, node: &Node) {
    let asked_ms = world.now_ms();
    let cancelled = node.orchestrator.cancel(Canceller::Interrupt).await;
    assert!(cancelled.is_ok(), "{cancelled:?}");
    let ended = node.orchestrator.ended().await;
    let took_ms = world.now_ms() - asked_ms;
    assert!(matches!(ended, Some(Ended::Settled(_))), "{ended:?}");
    assert_eq!(row_says(world), Some(Phase::Cancelled));
    assert!(took_ms < 2_000, "it took {took_ms} ms");
    assert_kept(world, "silent row");
}

/// The driver waited for its journal while its lease ended, and did not know that it had.
#[tokio::test(start_paused = true)]
async fn a_network_that_went_silent_ends_the_driver_before_its_lease() {
    let world = World::new(1);
    let node = Node::new(&world);
    let begun = silence(&world, u32::MAX, |call| {
        matches!(call, Call::GetRow | Call::Append | Call::Renew | Call::Update(_))
    });
    assert!(matches!(node.migrate().await, Run::Ended(Ended::LeaseLost)));
    assert!(begun.load(Ordering::Relaxed));
    let ends_at_ms = world.durable().lease.unwrap().ends_at_ms.unwrap().unsigned_abs();
    assert!(
        world.now_ms() < ends_at_ms,
        "it stopped before anybody else may begin"
    );
    recover(&world).await;
    assert_eq!(row_says(&world), Some(Phase::Done), "the upload was resumed");
    assert_kept(&world, "silent network");
}

/// All the tables that had to be still are read for it: after half a minute it was given up, again and again.
#[tokio::test(start_paused = true)]
async fn a_proof_of_read_only_that_takes_minutes_is_waited_for() {
    let world = World::new(1);
    let node = Node::new(&world);
    let asked = Arc::new(AtomicU32::new(0));
    let times = Arc::clone(&asked);
    world.strike(move |strike| {
        if strike.call != Call::Prove {
            return Fault::Nothing;
        }
        times.fetch_add(1, Ordering::Relaxed);
        Fault::Slow(Duration::from_secs(600))
    });
    assert_eq!(node.migrate().await.settled().phase(), Phase::Done);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once");
    assert_kept(&world, "long proof");
}
