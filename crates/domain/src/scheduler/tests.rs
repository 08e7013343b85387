use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// These futures never wait: one look finishes them, without a runtime.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waited"),
    }
}

#[test]
fn what_was_paused_before_stays_paused_and_nothing_else() {
    let scheduler = InProcessScheduler::new();
    scheduler.pause("by hand");
    let before = now(scheduler.before()).unwrap();
    now(scheduler.quiesce(FencingToken(1), &before, &Cancellation::new())).unwrap();
    assert!(scheduler.begin("sync").is_none());
    assert!(scheduler.begin("never named before").is_none());
    now(scheduler.restore(FencingToken(1), &before)).unwrap();
    now(scheduler.restore(FencingToken(1), &before)).unwrap();
    assert!(scheduler.begin("sync").is_some());
    assert!(scheduler.begin("by hand").is_none());
}

#[test]
fn running_jobs_end_in_their_own_time() {
    let scheduler = InProcessScheduler::new();
    let (first, second) = (scheduler.begin("sync"), scheduler.begin("sync"));
    let before = now(scheduler.before()).unwrap();
    now(scheduler.quiesce(FencingToken(1), &before, &Cancellation::new())).unwrap();
    let running = || now(scheduler.running_jobs()).unwrap();
    assert_eq!(running()[0].jobs, ["sync", "sync"]);
    drop(first);
    assert_eq!(running()[0].jobs, ["sync"]);
    drop(second);
    assert_eq!(running(), []);
}

#[test]
fn resuming_one_job_meanwhile_takes_effect_afterwards() {
    let scheduler = InProcessScheduler::new();
    scheduler.pause("pulse");
    let before = now(scheduler.before()).unwrap();
    now(scheduler.quiesce(FencingToken(1), &before, &Cancellation::new())).unwrap();
    scheduler.resume("pulse");
    assert!(scheduler.begin("pulse").is_none());
    now(scheduler.restore(FencingToken(1), &before)).unwrap();
    assert!(scheduler.begin("pulse").is_some());
}

#[test]
fn what_somebody_else_remembered_is_refused() {
    let foreign = PausedBefore { json: "[]".into() };
    let refused = now(InProcessScheduler::new().restore(FencingToken(1), &foreign)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Corrupt);
}
