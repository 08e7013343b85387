use proptest::prelude::*;

use super::*;

fn record(token: u64, ends_at_ms: Option<i64>) -> LeaseRecord {
    LeaseRecord {
        token: FencingToken(token),
        ends_at_ms,
    }
}

#[test]
fn the_first_holder_gets_token_1_and_every_later_one_a_higher() {
    assert_eq!(take(None, 0), Some(FencingToken(1)));
    assert_eq!(take(Some(record(1, Some(100))), 99), None);
    assert_eq!(take(Some(record(1, Some(100))), 100), Some(FencingToken(2)));
    assert_eq!(take(Some(record(2, None)), 0), Some(FencingToken(3)));
}

#[test]
fn only_the_newest_token_writes_and_only_within_its_term() {
    let lease = record(2, Some(100));
    assert!(lease.admits(FencingToken(2), 99));
    assert!(!lease.admits(FencingToken(2), 100));
    assert!(!lease.admits(FencingToken(1), 99));
    assert!(!record(2, None).admits(FencingToken(2), 0));
}

#[test]
fn a_holder_renews_in_time_and_stops_before_its_term_ends() {
    let terms = LeaseTerms::default();
    assert_eq!(terms.duty(0), HolderDuty::CarryOn { renew_in_ms: 10_000 });
    assert_eq!(terms.duty(9_999), HolderDuty::CarryOn { renew_in_ms: 1 });
    assert_eq!(terms.duty(10_000), HolderDuty::Renew);
    assert_eq!(terms.duty(24_999), HolderDuty::Renew);
    assert_eq!(terms.duty(25_000), HolderDuty::Stop);
    assert_eq!(LeaseTerms::of_term(999), None);
    assert_eq!(LeaseTerms::of_term(30_000), Some(terms));
}

proptest! {
    /// However slow the answer was and whatever the two clocks say: a holder that does as told never acts when
    /// the database would give the lease to somebody else.
    #[test]
    fn a_holder_that_does_as_told_has_stopped_before_anybody_else_may_take(
        term_ms in 1_000u64..600_000,
        asked_at_ms in 0i64..1_000_000_000,
        delay_ms in 0i64..100_000,
        elapsed_ms in 0u64..1_000_000,
    ) {
        let terms = LeaseTerms::of_term(term_ms).unwrap();
        // The request reached the database `delay_ms` after it was sent.
        let lease = record(1, Some(asked_at_ms + delay_ms + term_ms as i64));
        let now = asked_at_ms + elapsed_ms as i64;
        if terms.duty(elapsed_ms) != HolderDuty::Stop {
            prop_assert_eq!(take(Some(lease), now), None);
        }
    }
}
