//! Eight sessions that write without pause, to tables that must be still and to those that stay writable, while the program
//! migrates their app DB in each strength of read-only: who is refused, who passes, and what H2 reads out of the dump. Every
//! table is written to in every way (`tables`).

mod tables;

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::api::SLOW_BYTES_PER_SECOND;
use crate::api::network::Network;
use crate::api::world::{Options, Schema, World};
use crate::app_db::{AppDb, ended, told};
use crate::sessions::Sessions;

const WRITERS: usize = 8;
/// Between two looks at what was tried: a look costs the writers their time.
const PACE: Duration = Duration::from_millis(50);

/// What the writers keep, and a record of each write in a schema that is none of Metabase's.
const BEGINNING: &str = "
    UPDATE report_card SET cache_ttl = 0;
    UPDATE report_dashboard SET cache_ttl = 0;
    INSERT INTO setting SELECT 'writer-' || w, '0' FROM generate_series(1, 8) w;
    TRUNCATE user_parameter_value;
    INSERT INTO user_parameter_value (id, user_id, parameter_id, value)
        SELECT w, (SELECT min(id) FROM core_user), 'p' || w, '0' FROM generate_series(1, 8) w;
    CREATE SCHEMA writers;
    CREATE UNLOGGED TABLE writers.record (writer int, kind text, began timestamptz, micros bigint, refusal text,
        table_name text, op text)";

/// Round and round: it moves 1 from a dashboard to a card, so that the sum of all stays 0; then counts in two tables that stay
/// writable, where both must tell the same; then marks a card as used, which looking at it does; then adds to a log.
const WRITER: &str = "
DO $$ DECLARE
    n int := 0; began timestamptz; refusal text; job record; written int; cards int[]; boards int[]; somebody int;
BEGIN
    SELECT array_agg(id) INTO cards FROM report_card;
    SELECT array_agg(id) INTO boards FROM report_dashboard;
    SELECT min(id) INTO somebody FROM core_user;
    LOOP
        n := n + 1;
        began := clock_timestamp();
        refusal := NULL;
        BEGIN
            UPDATE report_card SET cache_ttl = cache_ttl + 1 WHERE id = cards[1 + n % cardinality(cards)];
            UPDATE report_dashboard SET cache_ttl = cache_ttl - 1 WHERE id = boards[1 + n % cardinality(boards)];
        EXCEPTION WHEN OTHERS THEN
            refusal := SQLERRM;
        END;
        INSERT INTO writers.record VALUES (WRITER, 'still', began,
            extract(epoch FROM clock_timestamp() - began) * 1000000, refusal);
        COMMIT;
        began := clock_timestamp();
        UPDATE setting SET value = n::text WHERE key = 'writer-WRITER';
        UPDATE user_parameter_value SET value = n::text WHERE id = WRITER;
        INSERT INTO writers.record VALUES (WRITER, 'exempt', began,
            extract(epoch FROM clock_timestamp() - began) * 1000000, NULL);
        COMMIT;
        began := clock_timestamp();
        UPDATE report_card SET last_used_at = began WHERE id = cards[1 + n % cardinality(cards)];
        INSERT INTO view_log (user_id, model, model_id, timestamp) VALUES (somebody, 'card', n, began);
        INSERT INTO writers.record VALUES (WRITER, 'looking', began,
            extract(epoch FROM clock_timestamp() - began) * 1000000, NULL);
        COMMIT;
ROUND
    END LOOP;
END $$";

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
    let Some(seen) = written_to(Strength::Flag) else {
        return;
    };
    assert_eq!(seen.refused, 0, "the flag is for Metabase's nodes");
    assert!(seen.passed_while_still > 0, "nobody wrote meanwhile");
    let warnings = seen.json["warnings"].to_string();
    for table in ["report_card", "report_dashboard"] {
        assert!(warnings.contains(table), "{table}: {warnings}");
    }
    for table in ["setting", "user_parameter_value", "view_log"] {
        assert!(!warnings.contains(table), "{table}: {warnings}");
    }
    assert!(seen.read_only_seconds.unwrap() >= seen.snapshot_seconds());
}

#[test]
fn enforced_refuses_who_writes_what_must_be_still_and_nobody_else_postgres() {
    let Some(seen) = written_to(Strength::Enforced) else {
        return;
    };
    assert_eq!(
        seen.passed_while_still, 0,
        "a write that should have been refused passed"
    );
    assert!(seen.refused > 0, "nobody wrote meanwhile");
    assert_eq!(seen.refused_for_other_reasons, 0);
    assert_eq!(seen.json["warnings"], serde_json::json!([]));
    assert_eq!(
        seen.refused_at_other_times, 0,
        "before it went on or after it was off"
    );
    assert!(seen.read_only_seconds.unwrap() >= seen.snapshot_seconds());
}

#[test]
fn without_read_only_nobody_is_held_off_postgres() {
    let Some(seen) = written_to(Strength::None) else {
        return;
    };
    assert_eq!(seen.refused, 0);
    assert_eq!(seen.read_only_seconds, None);
    assert_eq!(seen.json["warnings"], serde_json::json!([]));
}

/// What became of the writers' writes.
struct Seen {
    json: Value,
    read_only_seconds: Option<f64>,
    /// Of writes to tables that must be still.
    refused: u64,
    refused_for_other_reasons: u64,
    /// Before read-only went on, or once the journal says that it is off.
    refused_at_other_times: u64,
    /// That began between the proof that read-only holds everywhere and the end of the snapshot.
    passed_while_still: u64,
}

impl Seen {
    fn snapshot_seconds(&self) -> f64 {
        self.json["snapshot_seconds"].as_f64().unwrap()
    }
}

/// One migration while everybody writes; what is so in every strength is judged here.
fn written_to(strength: Strength) -> Option<Seen> {
    let network = Network::default();
    let judge = AppDb::load()?;
    let world = World::start(Options {
        schema: Schema::Metabase,
        network: Some(network.clone()),
        unserved: true,
        ..Options::default()
    })?;
    world.sql(BEGINNING);
    world.sql(tables::JOBS);
    let mut sessions = Sessions::new(&world.url);
    for writer in 1..=WRITERS {
        let rounds = WRITER.replace("ROUND", tables::ROUND);
        sessions.run(&rounds.replace("WRITER", &writer.to_string()));
    }
    let rounds = "SELECT count(DISTINCT writer) FROM writers.record WHERE kind = 'looking'";
    world.wait_for("everybody writes", || world.sql(rounds) == WRITERS.to_string());
    // Slow until everything was tried; whatever the network then does is as good.
    network.slow_down_to(SLOW_BYTES_PER_SECOND * 2);
    let output = std::thread::scope(|scope| {
        let migration = scope.spawn(|| migrate(&world, strength));
        while !migration.is_finished() {
            if is_read(&world) && tables::all_were_tried(&world) {
                network.slow_down_to(usize::MAX);
                break;
            }
            std::thread::park_timeout(PACE);
        }
        migration.join().unwrap()
    });
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    let since = world.sql("SELECT clock_timestamp()");
    let again = format!(
        "SELECT count(DISTINCT writer) FROM writers.record
        WHERE kind = 'still' AND refusal IS NULL AND began > '{since}'"
    );
    world.wait_for("everybody writes again", || {
        world.sql(&again) == WRITERS.to_string()
    });
    drop(sessions);
    let status = status(&world);
    assert_eq!(
        status.get("read_only_seconds"),
        json.get("read_only_seconds").filter(|seconds| !seconds.is_null())
    );
    is_one_snapshot(&judge, &world);
    tables::are_one_snapshot(&judge, &world, &json);
    tables::are_held_off_as_they_should(&world, strength, &json);
    let seen = seen(&world, json);
    tell_times(&world, strength, &seen);
    Some(seen)
}

/// Are rows being read, by the journal?
fn is_read(world: &World) -> bool {
    let journal = world.sql("SELECT to_regclass('metaferry.journal') IS NOT NULL");
    let begun = "SELECT count(*) > 0 FROM metaferry.journal WHERE entry LIKE '%\"effect_started\":{\"copy_snapshot\"%'";
    journal == "t" && world.sql(begun) == "t"
}

fn migrate(world: &World, strength: Strength) -> Output {
    let mut migrate = world.metaferry();
    migrate
        .args(["--json", "migrate", "--yes", "--read-only", strength.word()])
        .args(["--from", &world.through])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `metaferry status` says.
fn status(world: &World) -> Value {
    let mut status = world.metaferry();
    status.args(["--json", "status", "--from", &world.url]);
    ended(&status.output().unwrap()).0
}

/// From when to when every node has seen read-only and rows are read, in SQL, by the journal.
const WHILE_STILL: &str = "began BETWEEN
    (SELECT to_timestamp((entry::json ->> 'at_ms')::bigint / 1000.0) FROM metaferry.journal
     WHERE entry LIKE '%\"effect_started\":{\"copy_snapshot\"%')
    AND (SELECT to_timestamp(((entry::json ->> 'at_ms')::bigint - 1) / 1000.0) FROM metaferry.journal
     WHERE entry LIKE '%\"effect_done\":{\"copy_snapshot\"%')";

/// From when to when read-only may be on, likewise.
const WHILE_READ_ONLY: &str = "began BETWEEN
    (SELECT to_timestamp((entry::json ->> 'at_ms')::bigint / 1000.0) FROM metaferry.journal
     WHERE entry LIKE '%\"effect_started\":{\"read_only_on\"%')
    AND (SELECT to_timestamp(((entry::json ->> 'at_ms')::bigint + 1) / 1000.0) FROM metaferry.journal
     WHERE entry LIKE '%\"effect_done\":{\"plain\":\"restore_read_only\"%')";

fn seen(world: &World, json: Value) -> Seen {
    let number = |sql: &str| world.sql(&format!("SELECT {sql} FROM writers.record WHERE kind = 'still'"));
    let count = |filter: &str| {
        number(&format!("count(*) FILTER (WHERE {filter})"))
            .parse()
            .unwrap()
    };
    Seen {
        read_only_seconds: json["read_only_seconds"].as_f64(),
        json,
        refused: count("refusal IS NOT NULL"),
        refused_for_other_reasons: count("refusal NOT LIKE '%is read-only while its snapshot is taken%'"),
        refused_at_other_times: count(&format!("refusal IS NOT NULL AND NOT {WHILE_READ_ONLY}")),
        passed_while_still: count(&format!("refusal IS NULL AND {WHILE_STILL}")),
    }
}

/// What H2 reads was true at one instant, and every writer passed meanwhile where it may write.
fn is_one_snapshot(judge: &AppDb, world: &World) {
    let exempt =
        format!("SELECT count(DISTINCT writer) FROM writers.record WHERE kind <> 'still' AND {WHILE_STILL}");
    assert_eq!(world.sql(&exempt), WRITERS.to_string(), "exempt writes pass");
    let [file] = <[_; 1]>::try_from(world.arrived()).unwrap();
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

/// How long writes took, while rows were read and at other times.
#[expect(clippy::print_stderr, reason = "the times are news, and no promise")]
fn tell_times(world: &World, strength: Strength, seen: &Seen) {
    let times = world.sql(&format!(
        "SELECT kind, CASE WHEN {WHILE_STILL} THEN 'while rows were read' ELSE 'else' END AS at, count(*),
             percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY micros)
         FROM writers.record GROUP BY 1, 2 ORDER BY 1, 2"
    ));
    eprintln!(
        "{}: {} s read-only, {} refused, {} passed that should be still; writes, and us at the median and of 99 %:\n{times}",
        strength.word(),
        seen.read_only_seconds.unwrap_or_default(),
        seen.refused,
        seen.passed_while_still,
    );
}
