//! Eight sessions that write without pause, to tables that must be still and to those that stay writable, while the program
//! migrates their app DB in each strength of read-only: who is refused, who passes, how long that takes, and what H2 reads
//! out of the dump. Every table is written to in every way (`tables`).

mod latency;
mod mariadb;
mod place;
mod postgres;
mod record;
mod tables;

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::api::SLOW_BYTES_PER_SECOND;
use crate::api::network::Network;
use crate::app_db::{AppDb, ended, told};
use crate::mariadb::Maria;
use place::Place;
use record::{Kind, READING, Record, Write, moment};

const WRITERS: usize = 8;
/// Between two looks at what was tried: a look costs the writers their time.
const PACE: Duration = Duration::from_millis(50);
/// By how much what is reported may be longer than what the journal tells.
const AROUND_SECONDS: f64 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Flag,
    Enforced,
    None,
}

impl Strength {
    fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Enforced => "enforced",
            Self::None => "none",
        }
    }
}

#[test]
fn under_the_flag_sql_is_not_held_off_and_what_it_wrote_is_named_postgres() {
    on_postgres(Strength::Flag);
}

#[test]
fn under_the_flag_sql_is_not_held_off_and_what_it_wrote_is_named_mariadb() {
    on_mariadb(Strength::Flag);
}

#[test]
fn enforced_refuses_who_writes_what_must_be_still_and_nobody_else_postgres() {
    on_postgres(Strength::Enforced);
}

#[test]
fn enforced_refuses_who_writes_what_must_be_still_and_nobody_else_mariadb() {
    on_mariadb(Strength::Enforced);
}

#[test]
fn without_read_only_nobody_is_held_off_postgres() {
    on_postgres(Strength::None);
}

#[test]
fn without_read_only_nobody_is_held_off_mariadb() {
    on_mariadb(Strength::None);
}

fn on_postgres(strength: Strength) {
    let network = Network::default();
    let Some(judge) = AppDb::load() else { return };
    let Some(world) = postgres::start(&network) else {
        return;
    };
    is_written_to(&world, &judge, &network, strength);
}

fn on_mariadb(strength: Strength) {
    let network = Network::default();
    let Some(maria) = Maria::new() else { return };
    let Some(judge) = AppDb::load() else { return };
    is_written_to(
        &mariadb::InMaria::start(&maria, &network),
        &judge,
        &network,
        strength,
    );
}

/// One migration while everybody writes, and what became of it.
fn is_written_to(place: &impl Place, judge: &AppDb, network: &Network, strength: Strength) {
    let sent_away_before = place.sent_away_for_rows();
    let sessions = place.write();
    let record = place.theirs("record");
    let writers = format!("SELECT count(DISTINCT writer) FROM {record}");
    let everybody = |filter: &str| place.count(&format!("{writers} WHERE {filter}")) == WRITERS;
    place
        .shore()
        .wait_for("everybody writes", || everybody("kind = 'looking'"));
    let enough = |since: i64| {
        let exempt = format!("SELECT count(*) FROM {record} WHERE kind = 'exempt' AND began > {since}");
        place.count(&exempt) >= latency::COUNT_MIN
    };
    place.shore().wait_for("they have written enough", || enough(0));
    // Slow until everything was tried; whatever the network then does is as good.
    network.slow_down_to(SLOW_BYTES_PER_SECOND * 2);
    let (output, stood_still) = std::thread::scope(|scope| {
        let migration = scope.spawn(|| migrate(place, strength));
        let watched = scope.spawn(move || {
            let stood_still = latency::longest_pause(|| migration.is_finished());
            (migration.join().unwrap(), stood_still)
        });
        while !watched.is_finished() {
            let since = moment(place, READING);
            if since.is_some_and(|since| tables::all_were_tried(place, since) && enough(since)) {
                network.slow_down_to(usize::MAX);
                break;
            }
            std::thread::park_timeout(PACE);
        }
        watched.join().unwrap()
    });
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    let since = place
        .ask(&format!("SELECT max(began + micros) FROM {record}"))
        .concat();
    place.shore().wait_for("everybody writes again", || {
        everybody(&format!("kind = 'still' AND refusal IS NULL AND began > {since}"))
    });
    drop(sessions);
    let status = status(place);
    assert_eq!(
        status.get("read_only_seconds"),
        json.get("read_only_seconds").filter(|seconds| !seconds.is_null())
    );
    let record = Record::of(place);
    tell(&record, strength, &json);
    is_one_snapshot(judge, place);
    tables::are_one_snapshot(judge, place, &json);
    tables::are_held_off_as_they_should(&record, strength, &json);
    nobody_is_held_off_but_by_us(&record, strength);
    // Then the server may send away who reads that table and writes to it.
    if !told(&output).contains("is in use all the time") {
        nobody_is_sent_away_by_us(&record, place.sent_away_for_rows() - sent_away_before);
    }
    latency::is_small(&record, stood_still);
    what_is_reported_is_true(place, &record, strength, &json);
}

fn migrate(place: &impl Place, strength: Strength) -> Output {
    let mut migrate = place.shore().metaferry();
    migrate
        .args(["--json", "migrate", "--yes", "--read-only", strength.word()])
        .args(["--from", &place.through()])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `metaferry status` says.
fn status(place: &impl Place) -> Value {
    let mut status = place.shore().metaferry();
    status.args(["--json", "status", "--from", &place.url()]);
    ended(&status.output().unwrap()).0
}

/// Every refusal is ours and of its time, and every writer passed where it may write.
fn nobody_is_held_off_but_by_us(record: &Record, strength: Strength) {
    for write in record.writes.iter().filter(|write| write.refusal.is_some()) {
        assert!(write.is_refused_by_us(), "{write:?}");
        assert!(
            record.while_read_only(write),
            "before it went on or after it was off: {write:?}"
        );
        assert_eq!(strength, Strength::Enforced, "{write:?}");
        assert!(matches!(write.kind, Kind::Still | Kind::Table), "{write:?}");
    }
    for kind in [Kind::Exempt, Kind::Looking] {
        let passed = record.passed_while_still(kind);
        assert_eq!(passed.len(), WRITERS, "{kind:?} writes pass: {passed:?}");
    }
}

/// Who was sent away waited for rows, of which the server told so many times; and never for those that nobody else writes to.
fn nobody_is_sent_away_by_us(record: &Record, for_rows: usize) {
    let sent_away = &record.sent_away;
    assert!(
        sent_away.len() <= for_rows,
        "{} were sent away, {for_rows} of them for rows: {sent_away:?}",
        sent_away.len()
    );
    let from_his_own = sent_away.iter().find(|write| write.kind == Kind::Exempt);
    assert!(from_his_own.is_none(), "{from_his_own:?}");
}

/// The result of the migration, beside what the writers know.
fn what_is_reported_is_true(place: &impl Place, record: &Record, strength: Strength, json: &Value) {
    let passed = record.passed_while_still(Kind::Still);
    let warnings: Vec<&str> = json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning.as_str().unwrap())
        .filter(|warning| !place.usual_warnings().iter().any(|usual| warning.contains(usual)))
        .collect();
    let read_only_seconds = json["read_only_seconds"].as_f64();
    match strength {
        Strength::Flag => {
            assert!(!passed.is_empty(), "nobody wrote meanwhile");
            let warnings = warnings.concat();
            for table in ["report_card", "report_dashboard"] {
                assert!(warnings.contains(table), "{table}: {warnings}");
            }
            for table in ["setting", "user_parameter_value", "view_log"] {
                assert!(!warnings.contains(table), "{table}: {warnings}");
            }
        }
        Strength::Enforced => {
            assert!(
                passed.is_empty(),
                "a write that should have been refused passed: {passed:?}"
            );
            let refused = record
                .of_kind(Kind::Still)
                .filter(|write| write.refusal.is_some());
            assert!(refused.count() > 0, "nobody wrote meanwhile");
            assert_eq!(warnings, [""; 0]);
        }
        Strength::None => {
            assert_eq!(read_only_seconds, None);
            assert_eq!(warnings, [""; 0]);
            return;
        }
    }
    let seconds = read_only_seconds.unwrap();
    let (in_force, off) = (
        record.in_force.unwrap(),
        *record.read_only.as_ref().unwrap().end(),
    );
    // Whoever is refused is while it is on; on MariaDB the first ones before it is in force for all tables.
    let refused = || record.writes.iter().filter(|write| write.is_refused_by_us());
    let first = refused().map(Write::ended).min().unwrap_or(off).max(in_force);
    let last = refused().map(|write| write.began).max().unwrap_or(first);
    let (least, most) = (seconds_between(first, last), seconds_between(in_force, off));
    assert!(
        (least..=most + AROUND_SECONDS).contains(&seconds)
            && seconds >= json["snapshot_seconds"].as_f64().unwrap(),
        "{seconds} s read-only, which lasted {least} to {most}"
    );
}

fn seconds_between(from: i64, to: i64) -> f64 {
    Duration::from_micros(u64::try_from(to - from).unwrap_or(0)).as_secs_f64()
}

/// What H2 reads was true at one instant.
fn is_one_snapshot(judge: &AppDb, place: &impl Place) {
    let [file] = <[_; 1]>::try_from(place.shore().arrived()).unwrap();
    std::fs::write(judge.folder.path().join("arrived.mv.db"), file).unwrap();
    let rows = judge.java(
        &judge.h2_url("arrived"),
        &[
            (
                "sum",
                "SELECT (SELECT SUM(CACHE_TTL) FROM REPORT_CARD) + (SELECT SUM(CACHE_TTL) FROM REPORT_DASHBOARD)",
            ),
            (
                "same",
                "SELECT COUNT(*) FROM USER_PARAMETER_VALUE P JOIN SETTING S ON S.\"KEY\" = 'writer-' || P.ID
                     WHERE P.\"VALUE\" = S.\"VALUE\" AND S.\"VALUE\" <> '0'",
            ),
        ]
        .map(|(name, sql)| (name, sql.split_whitespace().collect::<Vec<_>>().join(" ")))
        .each_ref()
        .map(|(name, sql)| (*name, sql.as_str())),
    );
    assert_eq!(rows["sum"], ["0"], "what moves between cards and dashboards");
    assert_eq!(rows["same"], [WRITERS.to_string()], "what is counted twice");
}

/// Numbers of this run.
#[expect(clippy::print_stderr, reason = "how long it takes depends on the machine")]
fn tell(record: &Record, strength: Strength, json: &Value) {
    let still = || record.of_kind(Kind::Still);
    eprintln!("{} were sent away for each other's rows", record.sent_away.len());
    eprintln!(
        "{}: {} s read-only, {} s snapshot; of writes to two guarded tables {} refused, {} passed while rows were read",
        strength.word(),
        json["read_only_seconds"],
        json["snapshot_seconds"],
        still().filter(|write| write.refusal.is_some()).count(),
        still()
            .filter(|write| write.refusal.is_none() && record.while_still(write))
            .count(),
    );
    latency::tell(record);
}
