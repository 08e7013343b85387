use proptest::prelude::*;

use super::*;

fn again(after_ms: u64) -> RetryDecision {
    RetryDecision::Again {
        after: Duration::from_millis(after_ms),
    }
}

#[test]
fn three_retries_after_the_first_try_by_default() {
    let policy = RetryPolicy::default();
    let waits: Vec<_> = (1..=4)
        .map(|failed| policy.decide(failed, ErrorKind::Unavailable, None, 1.0))
        .collect();
    assert_eq!(
        waits,
        [again(500), again(1000), again(2000), RetryDecision::GiveUp]
    );
}

#[test]
fn jitter_reaches_down_to_nothing_and_never_above_the_cap() {
    let policy = RetryPolicy {
        retries_max: 100,
        ..RetryPolicy::default()
    };
    assert_eq!(policy.decide(1, ErrorKind::Unavailable, None, 0.0), again(0));
    assert_eq!(policy.decide(2, ErrorKind::Unavailable, None, 0.5), again(500));
    assert_eq!(
        policy.decide(100, ErrorKind::Unavailable, None, 1.0),
        again(30_000)
    );
    assert_eq!(policy.decide(1, ErrorKind::Unavailable, None, f64::NAN), again(0));
    assert_eq!(policy.decide(1, ErrorKind::Unavailable, None, 7.0), again(500));
}

#[test]
fn retry_after_is_waited_out_or_not_asked_again() {
    let policy = RetryPolicy::default();
    let asked = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(
        policy.decide(1, ErrorKind::Unavailable, asked(7), 0.3),
        again(7000)
    );
    assert_eq!(
        policy.decide(1, ErrorKind::Unavailable, asked(0), 1.0),
        again(500)
    );
    assert_eq!(
        policy.decide(1, ErrorKind::Unavailable, asked(301), 0.3),
        RetryDecision::GiveUp
    );
}

#[test]
fn only_what_may_pass_by_itself_is_tried_again() {
    for kind in ErrorKind::ALL {
        let expected = if kind == ErrorKind::Unavailable {
            again(500)
        } else {
            RetryDecision::GiveUp
        };
        assert_eq!(
            RetryPolicy::default().decide(1, kind, None, 1.0),
            expected,
            "{kind:?}"
        );
    }
    assert_eq!(
        RetryPolicy::upload().decide(1, ErrorKind::Corrupt, None, 1.0),
        again(500)
    );
}

proptest! {
    #[test]
    fn waits_are_within_every_limit(failed in 1u32.., fraction in any::<f64>(), asked_ms in proptest::option::of(0u64..600_000)) {
        let policy = RetryPolicy { retries_max: u32::MAX, ..RetryPolicy::default() };
        let asked = asked_ms.map(Duration::from_millis);
        match policy.decide(failed, ErrorKind::Unavailable, asked, fraction) {
            RetryDecision::Again { after } => {
                prop_assert!(after >= asked.unwrap_or_default());
                prop_assert!(after <= policy.cap.max(asked.unwrap_or_default()));
            }
            RetryDecision::GiveUp => prop_assert!(asked.unwrap_or_default() > policy.retry_after_max),
        }
    }
}
