//! A migration that is killed with no warning, and what is left of it: undone by hand, by Metabase's own check-ins, or
//! tried again; told with its reason; and the program removed without a trace.

mod again;
mod enforced;
#[cfg(debug_assertions)]
mod neighbours;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use metaferry_sample::credentials::{ORDINARY_API_KEY, SUPERUSER_API_KEY};
use serde_json::Value;

use crate::api::world::{Held, Options, Schema, World};
use crate::app_db::{Process, ended, told, undo_script_in};

/// The lease, in seconds.
const LEASE: u64 = 5;
/// How long after the lease has run out a check-in must have put everything back.
const CHECK_INS_TAKE: Duration = Duration::from_secs(15);

fn world(schema: Schema) -> Option<World> {
    World::start(Options {
        schema,
        // Time to lock a table, once preflight has passed.
        propagation_seconds: 4,
        unserved: true,
        ..Options::default()
    })
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.metaferry();
    command
        .env("METAFERRY_LEASE_SECONDS", LEASE.to_string())
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(world: &World, arguments: &[&str]) -> Output {
    command(world, arguments).output().unwrap()
}

fn succeeds(world: &World, arguments: &[&str]) -> Value {
    let output = run(world, arguments);
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{arguments:?}: {json} {}", told(&output));
    json
}

/// Killed, should the test end before it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A migration that was killed while it waited for the snapshot; everything of Metabase's is changed.
fn killed_in_the_dump(world: &World) -> Held<'_> {
    let (running, lock) = held_up_in_the_dump(world);
    drop(running);
    lock
}

/// A migration that waits for a table that somebody has locked.
fn held_up_in_the_dump(world: &World) -> (Running, Held<'_>) {
    let running = Running(
        command(world, &["migrate", "--yes", "--from", &world.url])
            .spawn()
            .unwrap(),
    );
    world.wait_for("read-only is on", || world.read_only() == "true");
    let lock = world.lock_table("core_user");
    // The row says so a moment before the journal does.
    let begun =
        "SELECT count(*) FROM metaferry.journal WHERE entry LIKE '%\"effect_started\":{\"copy_snapshot\"%'";
    world.wait_for("the dump begins", || world.sql(begun) != "0");
    (running, lock)
}

/// Quartz's own lock, in another session: whoever pauses or resumes waits.
fn hold_quartz(world: &World) -> Process {
    hold(
        world,
        "SELECT 1 FROM qrtz_locks WHERE lock_name = 'TRIGGER_ACCESS' FOR UPDATE",
    )
}

/// Another session that does that, and does not end its transaction.
fn hold(world: &World, sql: &str) -> Process {
    let process = Process(
        Command::new("psql")
            .args(["-q", "-d", &world.url, "-c"])
            .arg(format!("BEGIN; {sql}; SELECT pg_sleep(600)"))
            .env("PGAPPNAME", "metaferry-test-hold")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    world.wait_for("the lock is held", || {
        world.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'metaferry-test-hold' AND query LIKE '%pg_sleep%'
                 AND wait_event = 'PgSleep'",
        ) != "0"
    });
    process
}

fn let_go(world: &World, process: Process) {
    world.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'metaferry-test-hold'",
    );
    drop(process);
}

/// Triggers and functions of ours that are in the app DB.
pub(crate) fn ours(world: &World) -> String {
    world.sql(
        "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'metaferry%'
         UNION ALL SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'metaferry'",
    )
}

#[test]
fn what_was_killed_is_recovered_by_hand_told_tried_again_and_uninstalled_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let from = ["--from", &world.url];
    let with = |words: &[&'static str]| [words, &from].concat();
    let before = world.state_of_metabase();
    assert_eq!(
        succeeds(&world, &with(&["recover"])),
        serde_json::json!({"recovered": [], "dry_run": false})
    );
    assert_eq!(
        succeeds(&world, &with(&["history"])),
        serde_json::json!({"migrations": []})
    );
    assert_eq!(
        world.sql("SELECT to_regnamespace('metaferry') IS NULL"),
        "t",
        "looking makes nothing"
    );

    let lock = killed_in_the_dump(&world);
    let left = world.state_of_metabase();
    assert_ne!(left, before);
    let would = succeeds(&world, &with(&["recover", "--dry-run"]));
    assert_eq!(would["would"][0]["course"], "undo", "{would}");
    let effects = would["would"][0]["effects"].as_array().unwrap();
    let put_back = Value::from("put the schedules back as they were");
    assert!(effects.contains(&put_back), "{would}");
    assert_eq!(world.state_of_metabase(), left, "a dry run touches nothing");
    let refused = run(&world, &["uninstall", &world.url]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));

    let recovered = succeeds(&world, &with(&["recover"]));
    assert_eq!(recovered["recovered"][0]["state"], "error", "{recovered}");
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    let did = recovered["recovered"][0]["did"].as_array().unwrap();
    assert!(did.contains(&put_back), "{recovered}");
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(ours(&world), "", "no trigger is left");
    assert_eq!(world.dumps(), [""; 0]);
    // Killed while it wrote the way back by hand: the file stayed for ever.
    let script = undo_script_in(&world.data_dir());
    let half = std::fs::File::create(script.with_file_name("undo.sql.new")).unwrap();
    half.set_modified(SystemTime::now() - Duration::from_secs(10 * LEASE))
        .unwrap();
    assert_eq!(
        succeeds(&world, &with(&["recover"]))["recovered"],
        serde_json::json!([])
    );
    assert_eq!(world.dumps(), [""; 0]);
    drop(lock);

    let status = succeeds(&world, &with(&["status"]));
    assert_eq!(status["state"], "error");
    assert_eq!(status["reason"], "the process that migrated ended in dump");
    assert_eq!(status["class"], Value::Null);
    assert!(
        status["what_to_do"].as_str().unwrap().contains("retry"),
        "{status}"
    );

    let output = run(&world, &with(&["retry", "--yes"]));
    let (retried, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(
        (&retried["state"], &retried["attempt"]),
        (&"done".into(), &2.into())
    );
    assert_eq!(world.rows(), 1, "the same row");
    assert_eq!(world.sql("SELECT state FROM cloud_migration"), "done");
    let history = succeeds(&world, &with(&["history"]));
    let attempts = history["migrations"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{history}");
    assert_eq!(attempts[0]["state"], "error");
    assert_eq!(attempts[0]["taken_over"], 1);
    assert_eq!(attempts[1]["state"], "done");
    assert_ne!(attempts[0]["external_id"], attempts[1]["external_id"]);
    assert_eq!(history["migrations"][0]["settled"], true);
    let again = run(&world, &with(&["retry", "--yes"]));
    assert_eq!(
        again.status.code(),
        Some(3),
        "what arrived is not tried again: {}",
        told(&again)
    );

    let removed = succeeds(&world, &["uninstall", &world.url]);
    assert_ne!(removed["removed"], serde_json::json!([]));
    assert_eq!(world.sql("SELECT to_regnamespace('metaferry') IS NULL"), "t");
    assert_eq!(ours(&world), "");
    assert_eq!(
        succeeds(&world, &["uninstall", &world.url]),
        serde_json::json!({"removed": []})
    );
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(
        world.sql("SELECT state FROM cloud_migration"),
        "done",
        "Metabase's own row stays"
    );
}

#[test]
fn a_recovery_that_is_killed_is_recovered_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    let _lock = killed_in_the_dump(&world);
    let quartz = hold_quartz(&world);
    let recovering = Running(
        command(&world, &["recover", "--from", &world.url])
            .spawn()
            .unwrap(),
    );
    world.wait_for("it waits for Quartz's lock", || {
        world.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'metaferry' AND wait_event_type = 'Lock'
                 AND query LIKE '%qrtz_locks%'",
        ) != "0"
    });
    drop(recovering);
    let_go(&world, quartz);
    let recovered = succeeds(&world, &["recover", "--from", &world.url]);
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn who_lives_is_not_recovered_postgres() {
    let Some(world) = world(Schema::Sample) else {
        return;
    };
    let (running, lock) = held_up_in_the_dump(&world);
    let refused = run(&world, &["recover", "--from", &world.url]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("lives"), "{}", told(&refused));
    assert_eq!(world.sql("SELECT state FROM cloud_migration"), "dump");
    drop(running);
    drop(lock);
}

#[test]
fn metabases_own_check_ins_undo_what_nobody_comes_back_for_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    let last_updated = "SELECT value FROM setting WHERE key = 'settings-last-updated'";
    let _check_ins = Process(
        Command::new("sh")
            .args(["-c", "while :; do psql -q -d \"$0\" -c \"$1\"; sleep 1; done", &world.url])
            .arg(
                "INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', 1, 7500)
                 ON CONFLICT (sched_name, instance_name) DO UPDATE SET last_checkin_time = qrtz_scheduler_state.last_checkin_time + 7500",
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let lock = killed_in_the_dump(&world);
    let killed_at = Instant::now();
    let told_at = world.sql(last_updated);
    assert_ne!(world.state_of_metabase(), before);
    world.wait_for("check-ins have put everything back", || {
        world.state_of_metabase() == before
    });
    let took = killed_at.elapsed();
    assert!(took <= Duration::from_secs(LEASE) + CHECK_INS_TAKE, "{took:?}");
    assert_ne!(world.sql(last_updated), told_at, "nodes are told of the setting");
    drop(lock);
    // Whoever comes later finds nothing to put back, writes the end, and takes the trigger away.
    let recovered = succeeds(&world, &["recover", "--from", &world.url]);
    assert_eq!(recovered["recovered"][0]["state"], "error", "{recovered}");
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(ours(&world), "");
}

#[test]
fn the_api_tells_why_and_tries_again_postgres() {
    let Some(world) = World::start(Options {
        schema: Schema::Sample,
        propagation_seconds: 600,
        ..Options::default()
    }) else {
        return;
    };
    let root = format!("X-API-KEY: {SUPERUSER_API_KEY}");
    let ordinary = format!("X-API-KEY: {ORDINARY_API_KEY}");
    let history = || world.ask("GET", "/api/cloud-migration/history", &[&root]);
    let retry = |key: &str| world.ask("POST", "/api/cloud-migration/retry", &[key]);
    assert_eq!((history().status, history().body.as_str()), (200, "[]"));
    let none = retry(&root);
    assert_eq!((none.status, &none.json()["code"]), (404, &"not_found".into()));

    assert_eq!(world.begin().status, 200);
    assert_eq!(
        world.newest().json().get("reason"),
        None,
        "while it goes on the answer is Metabase's own"
    );
    world.wait_for("read-only is on", || world.read_only() == "true");
    let busy = retry(&root);
    assert_eq!((busy.status, &busy.json()["code"]), (409, &"conflict".into()));
    assert_eq!(world.cancel().status, 200);
    world.wait_for("everything is undone", || history().json()[0]["settled"] == true);
    let newest = world.newest().json();
    assert_eq!(newest["state"], "cancelled");
    assert!(
        newest["reason"].as_str().unwrap().contains("cancelled"),
        "{newest}"
    );
    assert!(
        newest["what_to_do"].as_str().unwrap().contains("retry"),
        "{newest}"
    );

    for (key, status, code) in [
        (&ordinary, 403, "forbidden"),
        (&"X-API-KEY: mb_x".to_owned(), 401, "unauthenticated"),
    ] {
        let refused = retry(key);
        assert_eq!((refused.status, &refused.json()["code"]), (status, &code.into()));
        assert_eq!(
            world.ask("GET", "/api/cloud-migration/history", &[key]).status,
            status
        );
    }
    let external_id = newest["external_id"].clone();
    let again = retry(&root);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["id"], newest["id"], "the same row");
    assert_ne!(again.json()["external_id"], external_id);
    assert_eq!(history().json()[0]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(world.cancel().status, 200);
}
