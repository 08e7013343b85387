use proptest::prelude::*;

use super::*;

fn parts(size_bytes: u64) -> PartPlan {
    match PartRules::default().plan(size_bytes).unwrap() {
        UploadPlan::Parts(plan) => plan,
        UploadPlan::Single { .. } => panic!("{size_bytes} bytes go in parts"),
    }
}

#[test]
fn the_threshold_itself_still_goes_in_one_put() {
    let rules = PartRules::default();
    assert_eq!(
        rules.plan(100_000_000),
        Ok(UploadPlan::Single {
            size_bytes: 100_000_000
        })
    );
    assert_eq!(rules.plan(0), Ok(UploadPlan::Single { size_bytes: 0 }));
    let sizes: Vec<_> = parts(100_000_001)
        .parts()
        .map(|part| (part.number.0, part.offset, part.size_bytes))
        .collect();
    assert_eq!(sizes, [(1, 0, 100_000_000), (2, 100_000_000, 1)]);
}

#[test]
fn an_exact_multiple_has_no_empty_last_part() {
    assert_eq!(parts(300_000_000).count(), 3);
    assert_eq!(parts(300_000_000).parts().last().unwrap().size_bytes, 100_000_000);
    assert_eq!(parts(300_000_001).count(), 4);
}

#[test]
fn parts_grow_so_that_there_are_never_more_than_ten_thousand() {
    assert_eq!(parts(1_000_000_000_000).count(), 10_000);
    assert_eq!(parts(1_000_000_000_000).part_size_bytes(), 100_000_000);
    let grown = parts(1_000_000_000_001);
    assert_eq!(grown.part_size_bytes(), 100_000_001);
    assert!(grown.count() <= 10_000);
}

#[test]
fn settings_outside_the_limits_are_refused_with_the_limits() {
    let rules = PartRules::default();
    assert!(rules.with_part_size(6_000_000).is_ok());
    assert_eq!(
        rules.with_part_size(5_999_999).unwrap_err().to_string(),
        "a part size of 5999999 bytes is not possible: choose 6000000 to 5368709120 bytes"
    );
    assert!(rules.with_part_size(PUT_MAX_BYTES).is_ok());
    assert!(rules.with_part_size(PUT_MAX_BYTES + 1).is_err());
    assert!(rules.with_single_put_max(PUT_MAX_BYTES).is_ok());
    assert!(matches!(
        rules.with_single_put_max(PUT_MAX_BYTES + 1),
        Err(PartPlanError::SinglePut { .. })
    ));
    assert!(matches!(
        rules.with_parts_max(0),
        Err(PartPlanError::PartLimit { .. })
    ));
}

#[test]
fn objects_beyond_the_store_are_refused() {
    let rules = PartRules::default();
    assert!(rules.plan(OBJECT_SIZE_MAX_BYTES).is_ok());
    assert!(matches!(
        rules.plan(OBJECT_SIZE_MAX_BYTES + 1),
        Err(PartPlanError::ObjectTooLarge { .. })
    ));
    let few = rules.with_parts_max(2).unwrap();
    assert!(few.plan(2 * PUT_MAX_BYTES).is_ok());
    assert!(matches!(
        few.plan(2 * PUT_MAX_BYTES + 1),
        Err(PartPlanError::ObjectTooLarge { .. })
    ));
}

#[test]
fn what_does_not_fit_cannot_be_resumed() {
    let rules = PartRules::default();
    assert_eq!(rules.resume(250_000_000, 100_000_000), Ok(parts(250_000_000)));
    assert!(matches!(rules.resume(10, 0), Err(PartPlanError::PartSize { .. })));
    assert!(matches!(
        rules.resume(10_001, 1),
        Err(PartPlanError::TooManyParts { .. })
    ));
    assert_eq!(parts(250_000_000).part(PartNumber(0)), None);
    assert_eq!(parts(250_000_000).part(PartNumber(4)), None);
}

proptest! {
    #[test]
    fn parts_cover_the_object_once_and_keep_every_limit(
        size_bytes in 0..=OBJECT_SIZE_MAX_BYTES,
        part_size_bytes in PART_SIZE_MIN_BYTES..=PUT_MAX_BYTES,
        single in 0..=PUT_MAX_BYTES,
    ) {
        let rules = PartRules::default().with_part_size(part_size_bytes).unwrap().with_single_put_max(single).unwrap();
        let plan = rules.plan(size_bytes).unwrap();
        prop_assert_eq!(plan.size_bytes(), size_bytes);
        match plan {
            UploadPlan::Single { .. } => prop_assert!(size_bytes <= single),
            UploadPlan::Parts(plan) => {
                prop_assert!(size_bytes > single);
                prop_assert!(plan.count() <= PARTS_MAX);
                let mut next = 0;
                for (index, part) in plan.parts().enumerate() {
                    prop_assert_eq!(part.number.0 as usize, index + 1);
                    prop_assert_eq!(part.offset, next);
                    prop_assert!(part.size_bytes > 0 && part.size_bytes <= PUT_MAX_BYTES);
                    if part.number.0 < plan.count() {
                        prop_assert!(part.size_bytes >= PART_SIZE_MIN_BYTES);
                    }
                    next += part.size_bytes;
                }
                prop_assert_eq!(next, size_bytes);
                prop_assert_eq!(rules.resume(size_bytes, plan.part_size_bytes()), Ok(plan));
            }
        }
    }
}
