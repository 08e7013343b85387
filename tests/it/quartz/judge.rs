//! What Quartz promises of its schedules, asked of what its nodes did.

use std::collections::BTreeMap;

use super::cluster::{Claims, Firing, Pace};

/// How often the simple schedules fire, in milliseconds.
const EVERY_MS: i64 = 200;
const THREADS_OF_A_NODE: i64 = 10;

/// How often a trigger fires, in milliseconds.
fn interval_ms(trigger: &str) -> i64 {
    match trigger {
        "cron.smart" => 1_000,
        "cron.nothing" => 2_000,
        slow if slow.ends_with("-slow") => 600,
        _ => EVERY_MS,
    }
}

/// Does a misfire move it to other times than multiples of its interval?
fn moves_by_misfire(trigger: &str) -> bool {
    [
        "simple.fire-now",
        "simple.now-existing-slow",
        "simple.now-remaining-slow",
        "cron.smart",
    ]
    .contains(&trigger)
}

/// Scheduled times of each trigger, with the moment at which each began, in order of the former.
pub(super) fn by_trigger(firings: &[Firing]) -> BTreeMap<&str, Vec<(i64, i64)>> {
    let mut all: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for firing in firings {
        let times = all.entry(&firing.trigger).or_default();
        times.push((firing.scheduled_ms, firing.began_us / 1000));
    }
    for times in all.values_mut() {
        times.sort_unstable();
    }
    all
}

/// By what rules Quartz fires.
pub(super) struct Rules<'a> {
    pub(super) pace: Pace,
    /// From when to when nothing began, in microseconds since 1970, each time.
    pub(super) still: &'a [(i64, i64)],
    /// When a node was killed, in milliseconds since 1970: it may have begun runs without saying so.
    pub(super) killed: Option<i64>,
}

/// Irregularities that are not ours.
#[derive(Debug, Default)]
pub(super) struct OfQuartz {
    /// Runs that were left out by the misfire rule.
    pub(super) misfired: usize,
    /// Scheduled times that came twice: nodes that claim a trigger without Quartz's lock do so with a time that another one
    /// has just fired.
    pub(super) doubled: usize,
}

/// No scheduled time of a trigger comes both before and after it stood still, or at all twice where nodes claim under the
/// lock; and none is left out but by the misfire rule: what could not begin within the threshold, unless it ignores
/// misfires. A killed node leaves out as many as it has threads.
pub(super) fn none_is_lost_or_doubled(firings: &[Firing], rules: &Rules<'_>) -> OfQuartz {
    let mut of_quartz = OfQuartz::default();
    let mut unsaid = 0;
    for (trigger, times) in by_trigger(firings) {
        let interval = interval_ms(trigger);
        for pair in times.windows(2) {
            let [(earlier, earlier_began), (later, began)] = *pair else {
                unreachable!()
            };
            if earlier == later {
                let is_ours = rules.pace.claims == Claims::UnderTheLock
                    || (rules.still.iter())
                        .any(|(from, to)| earlier_began < *from / 1000 && began > *to / 1000);
                assert!(
                    !is_ours,
                    "{trigger} fired twice for {later}: at {earlier_began} and {began}"
                );
                of_quartz.doubled += 1;
                continue;
            }
            let missing = earlier + interval;
            if later <= missing {
                assert!(
                    later == missing || moves_by_misfire(trigger),
                    "{trigger}: {later} after {earlier}"
                );
                continue;
            }
            let has_misfired = began - missing >= rules.pace.misfire_ms && trigger != "simple.ignore";
            if has_misfired {
                of_quartz.misfired += 1;
                assert!(
                    moves_by_misfire(trigger) || (later - earlier) % interval == 0,
                    "{trigger}: {later} after {earlier}"
                );
            } else if rules.killed.is_some_and(|killed| missing <= killed) {
                unsaid += (later - missing) / interval;
            } else {
                panic!("{trigger} was not fired for {missing}, but for {later} at {began}");
            }
        }
    }
    assert!(
        unsaid <= THREADS_OF_A_NODE,
        "{unsaid} runs of a killed node that nobody saw"
    );
    of_quartz
}

/// Nothing began between these moments, in microseconds since 1970.
pub(super) fn nothing_began(firings: &[Firing], from_us: i64, to_us: i64) {
    assert!(from_us < to_us, "{from_us} {to_us}");
    let begun: Vec<&Firing> = firings
        .iter()
        .filter(|firing| (from_us..=to_us).contains(&firing.began_us))
        .collect();
    assert!(begun.is_empty(), "between {from_us} and {to_us}: {begun:?}");
}
