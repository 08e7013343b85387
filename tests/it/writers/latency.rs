//! What read-only costs those who may write all the while: how long their writes take meanwhile, beside how long they took
//! just before, with the same writers on the same machine.

use std::time::{Duration, Instant};

use super::record::{Kind, Record, Write};

/// How many times as long a write may take at the median. Half of them take no longer for a machine that is busy: each ends
/// before somebody else gets its processor.
const MEDIAN_MAX: i64 = 10;
/// And what nobody feels, on a machine where it is next to nothing.
const MEDIAN_FREE_MICROS: i64 = 1000;
/// How much longer than the longest at other times, and than the machine stood still, somebody may wait once. A second is what
/// the program may keep a table of a MariaDB waiting, to make a trigger or to take one away.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Writes of which a median tells something.
pub(super) const COUNT_MIN: usize = 50;
/// Between two beats.
const BEAT: Duration = Duration::from_millis(10);

/// How long writes took, in microseconds.
#[derive(Debug)]
#[expect(dead_code, reason = "some is only shown")]
struct Times {
    count: usize,
    median: i64,
    of_99_percent: i64,
    longest: i64,
}

impl Times {
    fn of(writes: &[&Write]) -> Self {
        let mut micros: Vec<i64> = writes.iter().map(|write| write.micros).collect();
        micros.sort_unstable();
        let at = |percent: usize| {
            micros
                .get(micros.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: micros.len(),
            median: at(50),
            of_99_percent: at(99),
            longest: micros.last().copied().unwrap_or_default(),
        }
    }
}

/// Of one kind of writes.
struct Phases {
    /// Before read-only went on, or rows were read.
    before: Times,
    /// While it went on.
    going_on: Times,
    /// While rows were read.
    reading: Times,
    /// That had to do with any of that, and all others.
    longest: (i64, i64),
}

impl Phases {
    fn of(record: &Record, kind: Kind) -> Self {
        let time = record.read_only.as_ref().unwrap_or(&record.reading);
        let of = |is_so: &dyn Fn(&Write) -> bool| -> Times {
            Times::of(
                &record
                    .of_kind(kind)
                    .filter(|write| is_so(write))
                    .collect::<Vec<_>>(),
            )
        };
        let is_during = |write: &Write| write.began <= *time.end() && write.ended() >= *time.start();
        Self {
            before: of(&|write| write.ended() < *time.start()),
            going_on: of(&|write| (*time.start()..*record.reading.start()).contains(&write.began)),
            reading: of(&|write| record.while_still(write)),
            longest: (of(&is_during).longest, of(&|write| !is_during(write)).longest),
        }
    }
}

/// Numbers of this run.
#[expect(clippy::print_stderr, reason = "how long it takes depends on the machine")]
pub(super) fn tell(record: &Record) {
    for kind in Kind::ALL {
        let Phases {
            before,
            going_on,
            reading,
            longest,
        } = Phases::of(record, kind);
        let word = kind.word();
        eprintln!(
            "{word}, us before: {before:?}\n    going on: {going_on:?}\n    reading: {reading:?}\n    longest meanwhile and else: {longest:?}"
        );
    }
}

/// Who may write is hardly held up; the machine stood still for so long. At the median only those are judged who wait for no
/// other writer: how long the others queue for a row differs more than anything that we do.
pub(super) fn is_small(record: &Record, stood_still: Duration) {
    let exempt = Phases::of(record, Kind::Exempt);
    // Where there is no read-only it does not go on.
    let going_on = record.read_only.as_ref().map(|_| &exempt.going_on);
    for times in [&exempt.before, &exempt.reading] {
        assert!(times.count >= COUNT_MIN, "too few to tell anything: {times:?}");
    }
    // It may go on too fast for many.
    let going_on = going_on.filter(|times| times.count >= COUNT_MIN);
    for times in going_on.into_iter().chain([&exempt.reading]) {
        assert!(
            times.median <= exempt.before.median * MEDIAN_MAX + MEDIAN_FREE_MICROS,
            "{times:?}, and before {:?}",
            exempt.before
        );
    }
    for kind in [Kind::Exempt, Kind::Looking] {
        let phases = Phases::of(record, kind);
        let (meanwhile, else_) = phases.longest;
        let bound = Duration::from_micros(else_.unsigned_abs()) + stood_still + WAIT_MAX;
        assert!(
            Duration::from_micros(meanwhile.unsigned_abs()) <= bound,
            "{kind:?}: somebody waited {meanwhile} us, and {else_} us at other times; the machine stood still for {stood_still:?}"
        );
    }
}

/// The longest that the machine let us wait, for nothing, until that is so.
pub(super) fn longest_pause(mut is_over: impl FnMut() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    while !is_over() {
        let began = Instant::now();
        std::thread::park_timeout(BEAT);
        longest = longest.max(began.elapsed().saturating_sub(BEAT));
    }
    longest
}
