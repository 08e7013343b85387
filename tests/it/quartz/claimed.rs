//! A schedule that a node has claimed well before its time, while everything is paused and runs again: the claim stays that
//! node's. It was everybody's: a second node claimed the same time, and once the first was late, both fired it.

use std::process::Output;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Pace};
use super::shared_app_db::SharedAppDb;
use crate::app_db::{told, wait_for};

/// The schedule, and how often it fires, as the node's command `later` has it.
const SCHEDULE: &str = "later.one";
const EVERY_MS: i64 = 20_000;
/// For how much longer than its check-ins are apart Quartz takes a silent node for alive, in milliseconds.
const GRACE_MS: u64 = 7_500;
/// How late a node may be on a machine with others at work, in milliseconds.
const LATE_MS: i64 = 2_000;

/// Twice migrated: while the node that has claimed the schedule lives, and is late at its time, and after it was killed.
pub(super) fn fires_once(place: &dyn SharedAppDb, pace: Pace) {
    let Some(mut cluster) = Cluster::idle(&place.properties(), pace) else {
        return;
    };
    // Not by the first: it checks in before the others, and so it is the one that a migration's end wakes.
    cluster.tell(3, "later one");
    let first = claim(place);
    migrate(place);
    wait_for("a node is woken", || {
        place.sql("SELECT * FROM qrtz_scheduler_state WHERE instance_name = 'metaferry'") == [""; 0]
    });
    for number in cluster
        .numbers()
        .into_iter()
        .filter(|number| *number != first.node)
    {
        cluster.tell(number, "look");
    }
    let held = claim(place);
    assert_eq!(held.for_ms, first.for_ms, "too slow to prove anything");
    wait_for("its time has almost come", || now_ms(place) > held.for_ms - 500);
    cluster.while_it_stands_still(held.node, || {
        wait_for("its time has passed", || now_ms(place) > held.for_ms + 1_000);
    });
    let since = held.for_ms - EVERY_MS;
    assert_eq!(fired(place, &cluster, 2), [since, held.for_ms], "each once");

    let next = claim(place);
    cluster.kill(next.node);
    let killed = Instant::now();
    migrate(place);
    assert_eq!(claims(place), [next], "the claim stays until Quartz recovers it");
    wait_for("Quartz recovers the claim of the node that was killed", || {
        claim(place).node != next.node
    });
    // By the first check-in after its silence, as what is blocked by its jobs.
    let most = Duration::from_millis(2 * pace.check_in_ms + GRACE_MS + LATE_MS.unsigned_abs());
    assert!(killed.elapsed() < most, "{:?}", killed.elapsed());
    assert_eq!(
        fired(place, &cluster, 3),
        [since, held.for_ms, next.for_ms],
        "each once"
    );
    assert!(
        now_ms(place) < next.for_ms + LATE_MS,
        "recovered before its time, and fired at that"
    );
}

/// A row of a trigger's that a node is about to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    node: usize,
    /// The time that it is to be fired for, in milliseconds since 1970.
    for_ms: i64,
}

/// Who has claimed the schedule.
fn claims(place: &dyn SharedAppDb) -> Vec<Claim> {
    let rows = place.sql(
        "SELECT concat(instance_name, '-', sched_time) FROM qrtz_fired_triggers
         WHERE trigger_group = 'later' AND trigger_name = 'one' AND state = 'ACQUIRED' ORDER BY 1",
    );
    let claim = |row: &String| {
        let ["node", node, for_ms] = *row.split('-').collect::<Vec<_>>() else {
            panic!("{row}")
        };
        Claim {
            node: node.parse().unwrap(),
            for_ms: for_ms.parse().unwrap(),
        }
    };
    rows.iter().map(claim).collect()
}

/// Waits until somebody has claimed the schedule; never have two.
fn claim(place: &dyn SharedAppDb) -> Claim {
    let mut found = None;
    wait_for("the schedule is claimed", || {
        let claims = claims(place);
        assert!(claims.len() < 2, "claimed by two: {claims:?}");
        found = claims.first().copied();
        found.is_some()
    });
    found.unwrap()
}

/// Waits until it has fired so often, and is claimed again; scheduled times, in order, in milliseconds since 1970.
fn fired(place: &dyn SharedAppDb, cluster: &Cluster, times: usize) -> Vec<i64> {
    let scheduled = || {
        let firings = cluster.firings().into_iter();
        let of_schedule = firings.filter(|firing| firing.trigger == SCHEDULE);
        let mut scheduled: Vec<i64> = of_schedule.map(|firing| firing.scheduled_ms).collect();
        scheduled.sort_unstable();
        scheduled
    };
    wait_for("the schedule fires", || scheduled().len() >= times);
    claim(place);
    scheduled()
}

fn now_ms(place: &dyn SharedAppDb) -> i64 {
    place.sql(place.clock())[0].parse::<i64>().unwrap() / 1000
}

fn migrate(place: &dyn SharedAppDb) {
    let migrated: Output = place
        .metaferry()
        .args(["migrate", "--yes", "--from", &place.url()])
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", told(&migrated));
}
