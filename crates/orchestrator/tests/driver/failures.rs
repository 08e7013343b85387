//! Each effect fails, with each kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_domain::ErrorKind;
use metaferry_domain::effect::Effect;
use metaferry_domain::event::FailureCause;
use metaferry_domain::migration::Phase;
use metaferry_domain::quiesce::RunningJobs;
use metaferry_test_kit::fake::{Call, Change, DumpOnDisk, Durable, Fault, World};

use crate::node::{Node, Run, assert_kept, row_says};

/// More than any policy tries in one go.
const FAILURES: u32 = 8;

/// From now on the first so many of these calls fail; counts all of them.
pub(crate) fn fail(world: &World, call: Call, fault: Fault, failures: u32) -> Arc<AtomicU32> {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    world.strike(move |strike| {
        if strike.call == call && counted.fetch_add(1, Ordering::Relaxed) < failures {
            fault
        } else {
            Fault::Nothing
        }
    });
    calls
}

/// Effects without which a migration does not arrive.
fn needed() -> impl Iterator<Item = Effect> {
    Effect::ALL.into_iter().filter(|effect| match effect {
        Effect::WriteState(phase) => !phase.is_terminal(),
        Effect::DeleteDump | Effect::AbortUpload | Effect::ReleaseLease | Effect::WriteProgress => false,
        _ => true,
    })
}

/// `error` was written when nothing was owed any more.
fn error_was_written_last(durable: &Durable) {
    let mut read_only = Some("false".to_owned());
    let mut paused = 1;
    let mut dumps = 0;
    for happening in &durable.history {
        match &happening.change {
            Change::ReadOnly(value) => read_only.clone_from(value),
            Change::Paused(jobs) => paused = *jobs,
            Change::Snapshot => dumps += 1,
            Change::Discarded => dumps -= 1,
            Change::Row {
                phase: Phase::Error, ..
            } => {
                assert_eq!(
                    (read_only.as_deref(), paused, dumps),
                    (Some("false"), 1, 0),
                    "{:#?}",
                    durable.history
                );
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_everything_is_undone_and_then_the_row_says_error() {
    for effect in needed() {
        for kind in ErrorKind::ALL {
            let world = World::new(1);
            fail(&world, Call::of(effect), Fault::Fail(kind), FAILURES);
            let run = Node::new(&world).migrate().await;
            let what = format!("{effect} {kind:?}");
            let state = run.settled();
            assert_eq!(state.phase(), Phase::Error, "{what}: {run:?}");
            let failure = state.failure().unwrap();
            assert_eq!(failure.cause, FailureCause::Effect(effect), "{what}");
            assert_eq!(failure.kind, kind, "{what}");
            assert_kept(&world, &what);
            assert!(
                matches!(row_says(&world), None | Some(Phase::Error)),
                "{what}: {:?}",
                row_says(&world)
            );
            if !matches!(effect, Effect::RestoreScheduler | Effect::RestoreReadOnly) {
                error_was_written_last(&world.durable());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn error_is_written_last_however_slow_undoing_is() {
    for slow in [Call::RestoreReadOnly, Call::RestoreScheduler, Call::DiscardDump] {
        let world = World::new(1);
        world.strike(move |strike| match strike.call {
            Call::CopyRows => Fault::Fail(ErrorKind::Corrupt),
            call if call == slow => Fault::Slow(std::time::Duration::from_secs(5)),
            _ => Fault::Nothing,
        });
        let run = Node::new(&world).migrate().await;
        assert_eq!(run.settled().phase(), Phase::Error);
        error_was_written_last(&world.durable());
        assert_kept(&world, format!("{slow:?} is slow"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_to_arrive_does_not_fail_it() {
    let lasting = [
        Effect::WriteState(Phase::Done),
        Effect::DeleteDump,
        Effect::ReleaseLease,
    ];
    for effect in lasting {
        for kind in ErrorKind::ALL {
            let world = World::new(1);
            fail(&world, Call::of(effect), Fault::Fail(kind), FAILURES);
            let run = Node::new(&world).migrate().await;
            let what = format!("{effect} {kind:?}");
            assert_eq!(run.settled().phase(), Phase::Done, "{what}");
            if effect == Effect::ReleaseLease {
                // It runs out instead.
                world.pass(crate::node::LEASE_TERM).await;
            }
            assert_kept(&world, what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_twice_changes_nothing() {
    for effect in Effect::ALL {
        // A second migration at the store would be left over; the engines of copy and upload retry by themselves.
        if matches!(
            effect,
            Effect::AcquireLease
                | Effect::CreateAtStore
                | Effect::CopySnapshot
                | Effect::FinishDump
                | Effect::UploadDump
        ) {
            continue;
        }
        let world = World::new(1);
        fail(&world, Call::of(effect), Fault::LoseAnswer, 2);
        let run = Node::new(&world).migrate().await;
        assert_eq!(run.settled().phase(), Phase::Done, "{effect}");
        assert_kept(&world, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again() {
    for (effect, tries) in [
        (Effect::Preflight, 4),
        (Effect::AcquireLease, 4),
        // Somebody may have one of its tables to himself.
        (Effect::InsertRow, 7),
        (Effect::StoreUndoScript, 7),
        (Effect::ReadOnlyOn, 7),
        (Effect::QuiesceScheduler, 7),
        (Effect::AwaitRunningJobs, 7),
        (Effect::VerifyObject, 4),
        (Effect::TellStore, 4),
    ] {
        for kind in ErrorKind::ALL {
            let world = World::new(1);
            let calls = fail(&world, Call::of(effect), Fault::Fail(kind), u32::MAX);
            Node::new(&world).migrate().await;
            let expected = if kind == ErrorKind::Unavailable { tries } else { 1 };
            assert_eq!(calls.load(Ordering::Relaxed), expected, "{effect} {kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_leaves_nothing_behind() {
    for kind in [ErrorKind::NotFound, ErrorKind::Unsupported] {
        let world = World::new(1);
        let node = Node::new(&world);
        fail(&world, Call::CreateAtStore, Fault::Fail(kind), 1);
        let Run::NotBegun(not_begun) = node.migrate().await else {
            panic!("it began")
        };
        assert_eq!(not_begun.error.kind, kind);
        let state = not_begun.state.expect("what failed is told");
        let failure = state.failure().unwrap();
        assert_eq!(failure.cause, FailureCause::Effect(Effect::CreateAtStore));
        assert_eq!(row_says(&world), None);
        assert_kept(&world, format!("{kind:?}"));
        // At once, with the lease given back.
        assert_eq!(node.migrate().await.settled().phase(), Phase::Done);
        assert_kept(&world, format!("{kind:?}, then again"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_an_adapter_fails_its_effect_and_everything_is_undone() {
    for effect in needed() {
        let world = World::new(1);
        fail(&world, Call::of(effect), Fault::Panic, 1);
        // In forward writes of the row a panic is in the driver itself; see the stuck ones.
        let run = Node::new(&world).migrate().await;
        assert_eq!(run.settled().phase(), Phase::Error, "{effect}");
        let failure = run.settled().failure().unwrap();
        assert_eq!(failure.cause, FailureCause::Effect(effect), "{effect}");
        assert!(failure.message.contains("a bug"), "{}", failure.message);
        assert_kept(&world, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn read_only_that_somebody_switched_off_fails_the_migration_and_stays_as_they_want_it() {
    let world = World::new(1);
    let theirs = world.clone();
    world.strike(move |strike| {
        if strike.call == Call::Prove {
            theirs.change(|durable| durable.read_only = None);
        }
        Fault::Nothing
    });
    let run = Node::new(&world).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Error);
    assert_eq!(world.durable().read_only, None, "not written over");
    world.change(|durable| durable.read_only = Durable::default().read_only);
    assert_kept(&world, "switched off");
}

/// What went wrong before: read-only went on over what somebody had set since it was looked at, or since it went on and
/// nobody heard of it; in the end the value from before theirs was put back.
#[tokio::test(start_paused = true)]
async fn read_only_that_somebody_sets_just_before_it_goes_on_fails_the_migration_and_stays() {
    for (call, number) in [(Call::ArmSwitch, 1), (Call::Engage, 1), (Call::Engage, 2)] {
        let world = World::new(1);
        let theirs = world.clone();
        let mut calls = 0;
        world.strike(move |strike| {
            calls += usize::from(strike.call == call);
            if strike.call == call && calls == number {
                theirs.change(|durable| durable.read_only = Some("theirs".to_owned()));
            }
            if strike.call == Call::Engage && calls < number {
                return Fault::LoseAnswer;
            }
            Fault::Nothing
        });
        let run = Node::new(&world).migrate().await;
        assert_eq!(run.settled().phase(), Phase::Error, "{call:?} {number}");
        let failure = run.settled().failure().unwrap();
        assert_eq!(failure.cause, FailureCause::Effect(Effect::ReadOnlyOn));
        assert!(failure.message.contains("theirs"), "{}", failure.message);
        let there = world.durable().read_only;
        assert_eq!(there.as_deref(), Some("theirs"), "{call:?} {number}");
        world.change(|durable| durable.read_only = Durable::default().read_only);
        assert_kept(&world, "changed just before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_does_not_end_fails_the_migration() {
    let world = World::new(1);
    world.change(|durable| {
        durable.running_jobs = vec![RunningJobs {
            node: "n1".into(),
            jobs: vec!["pulse".into(), "sync".into()],
        }];
    });
    let run = Node::new(&world).migrate().await;
    let failure = run.settled().failure().unwrap();
    assert_eq!(failure.cause, FailureCause::Effect(Effect::AwaitRunningJobs));
    assert_eq!(failure.kind, ErrorKind::Exhausted);
    assert!(
        failure.message.contains("2 jobs (pulse, sync) on n1"),
        "{}",
        failure.message
    );
    assert_kept(&world, "jobs");
    assert!(
        !world
            .durable()
            .files
            .values()
            .any(|dump| *dump == DumpOnDisk::UNFINISHED)
    );
}
