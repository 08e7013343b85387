//! Another attempt of what did not arrive: on the same row, one at a time, and undone as well as the first.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::{Attempt, Phase};
use metaferry_domain::plan::Scope;
use metaferry_orchestrator::{Ended, NotBegun};
use metaferry_test_kit::fake::{Call, Fault, When, World};

use crate::node::{Node, Run, assert_kept, recover, row_says, settings};

/// A first attempt that failed, in a world where nothing goes wrong any more.
async fn failed_once() -> World {
    let world = World::new(1);
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::Fail(ErrorKind::Corrupt),
        _ => Fault::Nothing,
    });
    let run = Node::new(&world).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Error);
    world.calm();
    world
}

/// A first attempt that somebody cancelled.
async fn cancelled_once() -> World {
    let world = World::new(1);
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::CancelOutside,
        _ => Fault::Nothing,
    });
    let run = Node::new(&world).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Cancelled);
    world.calm();
    world
}

/// Tries again and waits for the end.
async fn retry(node: &Node) -> Run {
    let run = async {
        match node.orchestrator.retry().await {
            Ok(row) => {
                assert!(!row.phase.is_terminal(), "the row is open again: {row:?}");
                Run::Ended(node.orchestrator.ended().await.expect("it was begun"))
            }
            Err(not_begun) => Run::NotBegun(not_begun),
        }
    };
    tokio::select! {
        biased;
        () = node.process.crashed() => Run::Crashed,
        run = run => run,
    }
}

fn refused(run: &Run) -> ErrorKind {
    match run {
        Run::NotBegun(NotBegun { error, .. }) => error.kind,
        Run::Ended(_) | Run::Crashed => panic!("it was begun: {run:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_arrives_on_the_same_row_under_a_new_id() {
    let world = failed_once().await;
    let before = world.durable().rows;
    let run = retry(&Node::new(&world)).await;
    let state = run.settled();
    assert_eq!((state.phase(), state.run().attempt), (Phase::Done, Attempt(2)));
    let rows = world.durable().rows;
    assert_eq!((rows.len(), rows[0].id), (1, before[0].id));
    assert_ne!(rows[0].external_id, before[0].external_id);
    assert_kept(&world, "tried again");
    let again = retry(&Node::new(&world)).await;
    assert_eq!(refused(&again), ErrorKind::Precondition, "it arrived");
}

#[tokio::test(start_paused = true)]
async fn another_attempt_that_crashes_at_any_call_is_settled_by_another_process() {
    for when in [When::Before, When::After] {
        let mut undone = 0;
        for number in 1.. {
            let world = failed_once().await;
            world.strike(move |strike| {
                if strike.process == 2 && strike.number == number {
                    Fault::Crash(when)
                } else {
                    Fault::Nothing
                }
            });
            let node = Node::new(&world);
            let run = retry(&node).await;
            let what = format!("crashed {when:?} call {number}");
            if let Run::Ended(_) = run
                && node.process.calls() < number
            {
                assert_eq!(row_says(&world), Some(Phase::Done));
                break;
            }
            recover(&world).await;
            assert_kept(&world, &what);
            undone += usize::from(row_says(&world) == Some(Phase::Error));
            // Whatever became of it, it can be tried once more, unless it arrived.
            if row_says(&world) == Some(Phase::Error) {
                let run = retry(&Node::new(&world)).await;
                assert_eq!(run.settled().phase(), Phase::Done, "{what}");
                assert_kept(&world, &what);
            }
        }
        assert!(undone > 20, "{when:?}: {undone} undone");
    }
}

/// What went wrong before: while its row was being opened again, the end of the attempt before was taken for a cancel of
/// this one, and the row said `init` for ever.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_attempt_before_does_not_end_one_whose_row_opens_slowly() {
    let world = failed_once().await;
    world.strike(|strike| match strike.call {
        Call::Reopen => Fault::Slow(Duration::from_secs(2)),
        _ => Fault::Nothing,
    });
    let run = retry(&Node::new(&world)).await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_eq!(row_says(&world), Some(Phase::Done));
    assert_kept(&world, "opened slowly");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_row_never_opens_leaves_the_row_as_it_was() {
    for (kind, first) in [
        (ErrorKind::Denied, Phase::Error),
        (ErrorKind::Denied, Phase::Cancelled),
    ] {
        let world = match first {
            Phase::Cancelled => cancelled_once().await,
            _ => failed_once().await,
        };
        let before = world.durable().rows;
        world.strike(move |strike| match strike.call {
            Call::Reopen => Fault::Fail(kind),
            _ => Fault::Nothing,
        });
        assert_eq!(refused(&retry(&Node::new(&world)).await), kind, "{first}");
        assert_eq!(world.durable().rows, before, "{first}");
        world.calm();
        let run = retry(&Node::new(&world)).await;
        assert_eq!(run.settled().phase(), Phase::Done, "{first}");
        assert_kept(&world, format!("{first}, not opened, then tried again"));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_at_once_one_goes_through() {
    let world = failed_once().await;
    let nodes = [Node::new(&world), Node::new(&world)];
    let (one, two) = tokio::join!(retry(&nodes[0]), retry(&nodes[1]));
    let done = |run: &Run| matches!(run, Run::Ended(Ended::Settled(state)) if state.phase() == Phase::Done);
    assert!(done(&one) != done(&two), "{one:?} {two:?}");
    assert_eq!(refused(if done(&one) { &two } else { &one }), ErrorKind::Conflict);
    assert_kept(&world, "two at once");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_begun_or_was_left_is_not_tried_again() {
    let world = World::new(1);
    assert_eq!(refused(&retry(&Node::new(&world)).await), ErrorKind::NotFound);
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::Crash(When::After),
        _ => Fault::Nothing,
    });
    assert!(matches!(Node::new(&world).migrate().await, Run::Crashed));
    world.calm();
    world.cancel_outside();
    assert_eq!(
        refused(&retry(&Node::new(&world)).await),
        ErrorKind::Conflict,
        "it must be undone first"
    );
    recover(&world).await;
    let run = retry(&Node::new(&world)).await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_kept(&world, "tried again after it was undone");
}

#[tokio::test(start_paused = true)]
async fn a_process_made_for_other_tables_does_not_try_it_again() {
    let world = World::new(1);
    let mut planned = settings();
    planned.plan.scope = Some(Scope {
        exclude: vec!["audit_log".to_owned()],
        include: Vec::new(),
        read_only_max_seconds: 1800,
    });
    world.strike(|strike| match strike.call {
        Call::CopyRows => Fault::Fail(ErrorKind::Corrupt),
        _ => Fault::Nothing,
    });
    let run = Node::with(&world, planned.clone()).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Error);
    world.calm();
    let mut other = planned.clone();
    other.plan.scope = Some(Scope {
        exclude: Vec::new(),
        include: Vec::new(),
        read_only_max_seconds: 1800,
    });
    assert_eq!(
        refused(&retry(&Node::with(&world, other)).await),
        ErrorKind::Precondition
    );
    assert_eq!(row_says(&world), Some(Phase::Error), "the row is as it was");
    // Without triggers nobody asks how long they would hold.
    if let Some(scope) = &mut planned.plan.scope {
        scope.read_only_max_seconds = 60;
    }
    let run = retry(&Node::with(&world, planned)).await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_kept(&world, "tried again by one made for the same tables");
}
