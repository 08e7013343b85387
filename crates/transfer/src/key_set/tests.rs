use std::collections::BTreeSet;

use proptest::prelude::*;

use super::KeySet;

fn set(keys: &[u128]) -> KeySet {
    let mut set = KeySet::default();
    for &key in keys {
        set.insert(key);
    }
    set
}

proptest! {
    #[test]
    fn misses_what_a_plain_set_misses(
        children in prop::collection::vec(0u128..60, 0..40),
        parents in prop::collection::vec(0u128..60, 0..40),
    ) {
        let plain_parents: BTreeSet<u128> = parents.iter().copied().collect();
        let expected: Vec<u128> =
            children.iter().copied().collect::<BTreeSet<_>>().into_iter().filter(|key| !plain_parents.contains(key)).collect();
        prop_assert_eq!(set(&children).missing_from(&mut set(&parents), usize::MAX), expected);
    }
}

#[test]
fn dense_keys_take_one_range_in_any_order() {
    let mut keys: Vec<u128> = (0..100_000).collect();
    keys.reverse();
    let mut dense = set(&keys);
    dense.merge();
    assert_eq!(dense.ranges, [(0, 99_999)]);
}

#[test]
fn the_highest_key_does_not_overflow() {
    assert_eq!(set(&[u128::MAX, 0]).missing_from(&mut set(&[u128::MAX]), 9), [0]);
}
