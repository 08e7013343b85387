//! Metabase as a cluster: detect, wait, check, and go on; or time out, roll back, and tell. Nodes are a stand-in's, the
//! app DB is a real Postgres or an H2 file, and the program is the real one.

mod metabase;

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::SLOW_BYTES_PER_SECOND;
use crate::api::network::Network;
use crate::api::world::{Options, World};
use crate::app_db::{Process, ended, signal, told};
use metabase::{KEY, Metabase, Rows};

fn world(propagation_seconds: u32) -> Option<World> {
    World::start(Options {
        propagation_seconds,
        unserved: true,
        ..Options::default()
    })
}

fn postgres(world: &World) -> Rows {
    Rows::Postgres(world.url.clone())
}

/// The program, that knows these nodes.
fn asking(world: &World, metabase: &Metabase, arguments: &[&str]) -> Command {
    let mut command = world.metaferry();
    command
        .env("METAFERRY_METABASE_URL", metabase.addresses())
        .env("METAFERRY_METABASE_API_KEY", KEY)
        .env("METAFERRY_LEASE_SECONDS", "5")
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn migrating(world: &World, metabase: &Metabase, more: &[&str]) -> Child {
    let arguments = [&["migrate", "--yes", "--from", &world.url], more].concat();
    asking(world, metabase, &arguments).spawn().unwrap()
}

/// What another process says.
fn status(world: &World) -> Value {
    let output = world
        .metaferry()
        .args(["--json", "status", "--from", &world.url])
        .output()
        .unwrap();
    ended(&output).0
}

/// What it says that is waited for, as soon as it is of that sort.
fn waits_for(world: &World, what: &str) -> Value {
    let mut seen = Value::Null;
    world.wait_for(what, || {
        seen = status(world)["waiting"].clone();
        seen["for"] == what
    });
    seen
}

/// No key is shown, whatever was said.
fn finish(child: Child) -> (Value, i32, String) {
    let output: Output = child.wait_with_output().unwrap();
    let said = told(&output);
    assert!(!said.contains("horse"), "{said}");
    let code = output.status.code().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (json, code, said)
}

#[test]
fn every_node_is_told_waited_for_and_asked_and_then_it_goes_on_postgres() {
    let Some(world) = world(4) else { return };
    let metabase = Metabase::start(&postgres(&world), &[None, None]);
    let before = world.state_of_metabase();
    let child = migrating(&world, &metabase, &["--nodes", "2"]);
    let waiting = waits_for(&world, "nodes");
    let left = waiting["seconds_left"].as_u64().unwrap();
    assert!((1..=4).contains(&left), "{waiting}");
    assert_eq!(
        waiting["text"],
        format!("waiting until every node has seen read-only: {left} s left")
    );
    assert_eq!(world.read_only(), "true");
    let (json, code, said) = finish(child);
    assert_eq!(code, 0, "{said}");
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    assert!(json["read_only_seconds"].as_f64().unwrap() >= 4.0, "{json}");
    assert_eq!(status(&world).get("waiting"), None);
    assert_eq!(metabase.written().len(), 2, "{:?}", metabase.written());
    assert_eq!(metabase.written()[0], r#"{"value":true}"#);
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn a_node_whose_environment_overrides_it_rolls_it_back_and_is_named_postgres() {
    let Some(world) = world(1) else { return };
    let metabase = Metabase::start(&postgres(&world), &[None, Some(false)]);
    let before = world.state_of_metabase();
    let (_, code, said) = finish(migrating(&world, &metabase, &[]));
    assert_eq!(code, 1, "{said}");
    for word in [&metabase.address(1), "MB_READ_ONLY_MODE"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!said.contains(&format!("{} says", metabase.address(0))), "{said}");
    let status = status(&world);
    assert_eq!(status["state"], "error");
    assert!(
        status["reason"].as_str().unwrap().contains(&metabase.address(1)),
        "{status}"
    );
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn jobs_that_do_not_end_in_time_roll_it_back_and_are_named_postgres() {
    let Some(world) = world(0) else { return };
    let metabase = Metabase::start(&postgres(&world), &[None]);
    world.sql(
        "INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'node-a', (extract(epoch FROM now()) * 1000)::bigint, 7500);
         INSERT INTO qrtz_fired_triggers (sched_name, entry_id, trigger_name, trigger_group, instance_name, fired_time, sched_time,
             priority, state, job_name, job_group)
         VALUES ('MetabaseScheduler', 'e1', 't', 'g', 'node-a', 1, 1, 5, 'EXECUTING', 'sync-and-analyze', 'g')",
    );
    let before = world.state_of_metabase();
    let arguments = ["migrate", "--yes", "--from", &world.url];
    let child = asking(&world, &metabase, &arguments)
        .env("METAFERRY_JOBS_WAIT_SECONDS", "3")
        .spawn()
        .unwrap();
    let waiting = waits_for(&world, "jobs");
    assert_eq!(
        (&waiting["nodes"], &waiting["count"]),
        (&serde_json::json!(["node-a"]), &1.into()),
        "{waiting}"
    );
    assert!(waiting["seconds_left"].as_u64().unwrap() <= 3, "{waiting}");
    let (_, code, said) = finish(child);
    assert_eq!(code, 1, "{said}");
    let reason = status(&world)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("1 job (sync-and-analyze) on node-a"), "{reason}");
    assert_eq!(world.state_of_metabase(), before);
}

/// What a node carries out late is put back all the same.
#[test]
fn a_cancel_while_a_node_takes_its_time_is_heard_at_once_and_undone_when_it_has_answered_postgres() {
    let Some(world) = world(0) else { return };
    let metabase = Metabase::start(&postgres(&world), &[None]);
    let before = world.state_of_metabase();
    let by_signal: fn(&World, &Child) = |_, child| signal("INT", child.id());
    let by_row: fn(&World, &Child) = |world, _| {
        world.sql("UPDATE cloud_migration SET state = 'cancelled'");
    };
    for stop in [by_signal, by_row] {
        metabase.hold();
        let asked = metabase.written().len();
        let mut child = migrating(&world, &metabase, &[]);
        world.wait_for("the node is asked", || metabase.written().len() > asked);
        let begun = Instant::now();
        stop(&world, &child);
        let heard = "SELECT count(*) > 0 FROM metaferry.journal
            WHERE entry LIKE '%cancel_requested%' OR entry LIKE '%row_ended_outside%'";
        let state = "SELECT DISTINCT state FROM cloud_migration";
        world.wait_for("it is heard and everybody told", || {
            world.sql(heard) == "t" && world.sql(state) == "cancelled"
        });
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it must wait for what the node does"
        );
        metabase.let_go();
        let (_, code, said) = finish(child);
        assert_eq!(code, 130, "{said}");
        assert_eq!(world.state_of_metabase(), before);
        assert_eq!(world.sql(state), "cancelled");
        world.sql(
            "DELETE FROM cloud_migration; DELETE FROM metaferry.journal; DELETE FROM metaferry.migration",
        );
    }
}

#[test]
fn a_single_node_that_was_told_is_not_waited_for_and_writes_every_column_postgres() {
    let Some(world) = world(600) else { return };
    world
        .sql("ALTER TABLE setting ADD value_with_aad text; DELETE FROM setting WHERE key = 'read-only-mode'");
    let metabase = Metabase::start(&postgres(&world), &[None]);
    let before = world.state_of_metabase();
    let (json, code, said) = finish(migrating(&world, &metabase, &["--nodes", "1"]));
    assert_eq!(code, 0, "{said}");
    assert!(json["read_only_seconds"].as_f64().unwrap() < 60.0, "{json}");
    assert_eq!(metabase.written(), [r#"{"value":true}"#, r#"{"value":null}"#]);
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn how_long_is_still_waited_is_told_by_the_api_of_any_process_and_by_who_migrates_postgres() {
    let Some(world) = World::start(Options {
        propagation_seconds: 600,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    let log = world.folder().join("migrate.log");
    let child = world
        .metaferry()
        .args(["migrate", "--yes", "--from", &world.url])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut migrating = Process(child);
    let seconds_left = || {
        let answer = world.newest();
        let waiting = (answer.status == 200).then(|| answer.json()["waiting"].clone())?;
        (waiting["for"] == "nodes").then(|| waiting["seconds_left"].as_u64().unwrap())
    };
    world.wait_for("the API tells", || seconds_left().is_some());
    let first = seconds_left().unwrap();
    assert!(first <= 600, "{first}");
    world.wait_for("it counts down", || {
        seconds_left().is_some_and(|left| left < first)
    });
    let told = || {
        let said = std::fs::read_to_string(&log).unwrap();
        let words = "waiting until every node has seen read-only: ";
        let mut lines = said.lines().filter(|line| line.contains(" % setup, "));
        lines.find_map(|line| Some(line.split_once(words)?.1.to_owned()))
    };
    world.wait_for("who migrates tells", || told().is_some());
    let told = told().unwrap();
    let left: u64 = told.strip_suffix(" s left").unwrap().parse().unwrap();
    assert!((1..=600).contains(&left), "{told}");
    world.cancel();
    world.wait_for("it ends", || migrating.0.try_wait().unwrap().is_some());
    world.wait_for("everything is undone", || world.state_of_metabase() == before);
    assert_eq!(seconds_left(), None);
}

#[test]
fn more_nodes_that_check_in_than_are_declared_are_named_and_waited_for_postgres() {
    let Some(world) = world(6) else { return };
    let metabase = Metabase::start(&postgres(&world), &[None]);
    let check_in = "INSERT INTO qrtz_scheduler_state
            SELECT 'MetabaseScheduler', node, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 7500
            FROM (VALUES ('node-a'), ('node-b')) AS nodes (node)
        ON CONFLICT (sched_name, instance_name) DO UPDATE SET last_checkin_time = excluded.last_checkin_time";
    world.sql(check_in);
    let mut child = migrating(&world, &metabase, &["--nodes", "1"]);
    world.wait_for("it ends", || {
        world.sql(check_in);
        child.try_wait().unwrap().is_some()
    });
    let (json, code, said) = finish(child);
    assert_eq!(code, 0, "{said}");
    let warnings = json["warnings"].to_string();
    assert!(
        warnings.contains("--nodes says 1, and 2 nodes check in: node-a, node-b"),
        "{json}"
    );
    assert!(json["read_only_seconds"].as_f64().unwrap() >= 6.0, "{json}");
}

/// Only who has the lease is sent away when somebody else takes it.
#[test]
fn a_check_beside_a_migration_goes_on_to_its_end_postgres() {
    let network = Network::default();
    let Some(world) = World::behind(&network) else {
        return;
    };
    let check = world
        .metaferry()
        .args(["check", "--from", &world.through])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    network.slow_down_to(SLOW_BYTES_PER_SECOND / 8);
    let reads = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'setting'::regclass AND granted";
    world.wait_for("it reads the catalogue", || world.sql(reads) == "t");
    network.go_silent();
    let mut migrate = world.metaferry();
    let arguments = ["migrate", "--yes", "--read-only", "none", "--from", &world.url];
    let migrated = migrate.args(arguments).output().unwrap();
    assert_eq!(migrated.status.code(), Some(0), "{}", told(&migrated));
    assert_eq!(world.sql(reads), "t", "it came too late to tell anything");
    network.slow_down_to(usize::MAX);
    network.speak_again();
    let checked = check.unwrap().wait_with_output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", findings(&checked));
}

/// All that a command said.
fn findings(output: &Output) -> String {
    told(output) + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn what_does_not_answer_as_metabase_does_is_found_before_anything_is_begun_postgres() {
    let Some(world) = world(0) else { return };
    let mut metabase = Metabase::start(&postgres(&world), &[None]);
    let check = |key: &str| {
        let mut check = asking(&world, &metabase, &["check", "--from", &world.url]);
        let output = check.env("METAFERRY_METABASE_API_KEY", key).output().unwrap();
        (output.status.code(), findings(&output))
    };
    let (code, said) = check(KEY);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check("mb_wrong_horse");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("does not accept the API key") && !said.contains("horse"),
        "{said}"
    );
    let address = metabase.addresses();
    metabase.end();
    let output = asking(&world, &metabase, &["check", "--from", &world.url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(findings(&output).contains(&address), "{}", findings(&output));
    assert_eq!(world.rows(), 0);
}

#[test]
fn another_metabase_than_that_of_the_app_db_is_noticed_and_not_left_read_only_postgres() {
    let Some(world) = world(0) else { return };
    let row = Arc::new(Mutex::new(None));
    let metabase = Metabase::start(&Rows::Own(Arc::clone(&row)), &[None]);
    let before = world.state_of_metabase();
    let (_, code, said) = finish(migrating(&world, &metabase, &[]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not write into this app DB"), "{said}");
    assert_eq!(row.lock().unwrap().as_deref(), Some("false"));
    assert_eq!(world.state_of_metabase(), before);
}

/// Ends before the snapshot, with no warning.
#[cfg(debug_assertions)]
fn killed_before_the_snapshot(command: &mut Command) {
    let output = command
        .env("METAFERRY_FAULT", "CopySnapshot:abort-before")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "{}", told(&output));
}

#[cfg(debug_assertions)]
#[test]
fn where_metabase_does_not_answer_any_more_it_is_undone_in_the_app_db_postgres() {
    let Some(world) = world(0) else { return };
    let mut metabase = Metabase::start(&postgres(&world), &[None]);
    let before = world.state_of_metabase();
    killed_before_the_snapshot(&mut asking(
        &world,
        &metabase,
        &["migrate", "--yes", "--from", &world.url],
    ));
    assert_eq!(world.read_only(), "true");
    metabase.end();
    let recovered = asking(&world, &metabase, &["recover", "--from", &world.url])
        .output()
        .unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{}", told(&recovered));
    assert!(
        told(&recovered).contains("cannot be asked"),
        "{}",
        told(&recovered)
    );
    assert_eq!(world.state_of_metabase(), before);
}

#[cfg(debug_assertions)]
#[test]
fn an_h2_app_db_is_read_only_by_its_node_alone_and_is_put_back_there_postgres() {
    let Some(world) = world(600) else { return };
    let file = world.folder().join("app.mv.db");
    world.dump_to(&file);
    let from = format!("h2:{}", file.display());
    let row = Arc::new(Mutex::new(None));
    let metabase = Metabase::start(&Rows::Own(Arc::clone(&row)), &[None]);
    let migrate = ["migrate", "--yes", "--from", &from];
    killed_before_the_snapshot(&mut asking(&world, &metabase, &migrate));
    assert_eq!(row.lock().unwrap().as_deref(), Some("true"));
    // Who does not know the API must not say that everything is undone.
    let unknowing = world
        .metaferry()
        .env("METAFERRY_LEASE_SECONDS", "5")
        .args(["status", "--from", &from])
        .output()
        .unwrap();
    assert_eq!(unknowing.status.code(), Some(0), "{}", told(&unknowing));
    let recovered = asking(&world, &metabase, &["recover", "--from", &from])
        .output()
        .unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{}", told(&recovered));
    assert_eq!(*row.lock().unwrap(), None);
    let output = asking(&world, &metabase, &migrate).output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert!(json["read_only_seconds"].as_f64().is_some(), "{json}");
    let values = [r#"{"value":true}"#, r#"{"value":null}"#];
    assert_eq!(metabase.written(), [values, values].concat());
    assert_eq!(*row.lock().unwrap(), None);
}
