//! `metaferry store` and `metaferry serve` over a Postgres app DB, driven as Metabase's own admin screen would: who is
//! let in, one migration at a time, and a cancel in every phase that leaves everything as it was.

mod credentials;
pub(crate) mod network;
pub(crate) mod shore;
pub(crate) mod slow_store;
pub(crate) mod world;

use std::time::{Duration, Instant};

use metaferry_sample::credentials::{
    EMBEDDED_SESSION, ENDED_SESSION, EXPIRED_SESSION, INACTIVE_API_KEY, INACTIVE_SESSION, ORDINARY_API_KEY,
    ORDINARY_SESSION, SUPERUSER_API_KEY, SUPERUSER_PLAIN_SESSION, SUPERUSER_SESSION,
};
use network::Network;
use shore::Answer;
use slow_store::{Silent, SlowStore};
use world::{Options, Schema, World};

/// How soon users may write again after a cancel.
const UNDONE_WITHIN: Duration = Duration::from_secs(2);
/// Of one connection: the tables take seconds, and what else is said no time.
pub(crate) const SLOW_BYTES_PER_SECOND: usize = 150_000;
/// Each of these on our own sample and on Metabase's own schema.
macro_rules! on_every_schema {
    ($($test:ident),+ $(,)?) => {
        mod sample {
            $(
                #[test]
                fn $test() {
                    super::$test(super::Schema::Sample);
                }
            )+
        }
        mod metabase {
            $(
                #[test]
                fn $test() {
                    super::$test(super::Schema::Metabase);
                }
            )+
        }
    };
}

on_every_schema!(
    only_superusers_are_let_in,
    one_of_two_starts_goes_through_and_arrives,
    a_cancel_in_init_goes_no_further,
    a_cancel_while_read_only_spreads_undoes_it,
    a_cancel_while_the_snapshot_is_held_up_undoes_it,
    a_cancel_while_rows_are_copied_undoes_it,
    a_cancel_while_the_store_is_slow_undoes_it,
    a_cancel_by_somebody_else_undoes_it,
);

fn only_superusers_are_let_in(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        ..Options::default()
    }) else {
        return;
    };
    let ask = |method: &str, headers: &[&str]| world.ask(method, "/api/cloud-migration", headers).status;
    let session = |value: &str| format!("X-Metabase-Session: {value}");
    for nobody in [
        EXPIRED_SESSION,
        ENDED_SESSION,
        INACTIVE_SESSION,
        EMBEDDED_SESSION,
        "nobody",
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(ask(method, &[&session(nobody)]), 401, "{method} by {nobody}");
        }
    }
    for key in [
        INACTIVE_API_KEY,
        "mb_wrong",
        &format!("{}A", &SUPERUSER_API_KEY[..SUPERUSER_API_KEY.len() - 1]),
    ] {
        assert_eq!(ask("POST", &[&format!("X-API-KEY: {key}")]), 401, "{key}");
    }
    assert_eq!(ask("POST", &[]), 401);
    assert_eq!(world.ask("PUT", "/api/cloud-migration/cancel", &[]).status, 401);
    assert_eq!(ask("POST", &[&session(ORDINARY_SESSION)]), 403);
    assert_eq!(ask("GET", &[&format!("X-API-KEY: {ORDINARY_API_KEY}")]), 403);
    let cookie = format!("Cookie: metabase.SESSION={SUPERUSER_SESSION}");
    assert_eq!(ask("POST", &[&cookie, "Origin: https://elsewhere.example"]), 403);
    assert_eq!(world.rows(), 0, "nobody began anything");
    if schema == Schema::Sample {
        let plain = session(SUPERUSER_PLAIN_SESSION);
        assert_eq!(
            ask("GET", &[&plain]),
            204,
            "a session from before they were hashed"
        );
    }
    for header in [
        &cookie,
        &session(SUPERUSER_SESSION),
        &format!("X-API-KEY: {SUPERUSER_API_KEY}"),
    ] {
        let answer = world.ask("GET", "/api/cloud-migration", &[header]);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{header}");
    }
    assert_eq!(world.cancel().body, "0", "there is nothing to cancel");
}

fn one_of_two_starts_goes_through_and_arrives(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| world.begin());
        (world.begin(), other.join().unwrap())
    });
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {two:?}");
    let begun = if one.status == 200 { one } else { two };
    let row = begun.json();
    // As it is when it is answered: by then it may be a step further.
    assert!(["init", "setup"].contains(&begun.state().as_str()), "{begun:?}");
    let mut keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "created_at",
            "external_id",
            "id",
            "progress",
            "state",
            "updated_at",
            "upload_url"
        ]
    );
    assert!(
        !row["upload_url"].as_str().unwrap().contains('?'),
        "a presigned query is a secret"
    );

    let mut progress = 0;
    let last = world.wait_until("it ends", |answer| {
        let now = answer.json()["progress"].as_u64().unwrap();
        assert!(now >= progress, "progress fell from {progress} to {now}");
        progress = now;
        ["done", "error", "cancelled"].contains(&answer.state().as_str())
    });
    assert_eq!(
        (last.state().as_str(), progress),
        ("done", 100),
        "{}",
        world.log()
    );
    assert_eq!(world.rows(), 1);
    world.wait_for("the lease is given back", || world.lease_is_free());
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(world.dumps(), [""; 0], "the dump is deleted");
    let external_id = row["external_id"].as_str().unwrap();
    world.wait_for("the store has verified what arrived", || {
        world.state_at_store(external_id) == "verified"
    });
    assert_eq!(world.begin().status, 200, "another may begin");
    world.cancel();
}

fn a_cancel_in_init_goes_no_further(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    let held = world.hold_in_init();
    let begun = std::thread::scope(|scope| {
        let begun = scope.spawn(|| world.begin());
        world.wait_for("the row is there", || world.rows() == 1);
        let answer = world.cancel();
        assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
        assert_eq!(world.newest().state(), "cancelled", "whatever is held up");
        drop(held);
        undone(&world, &before, Instant::now());
        begun.join().unwrap()
    });
    assert_eq!((begun.status, begun.state().as_str()), (200, "cancelled"));
    let steps = "SELECT count(*) FROM metaferry.journal WHERE entry LIKE '%effect_started%read_only_on%'";
    assert_eq!(world.sql(steps), "0", "{}", world.log());
}

fn a_cancel_while_read_only_spreads_undoes_it(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        propagation_seconds: 60,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(world.begin().status, 200);
    world.wait_for("read-only is on", || world.read_only() == "true");
    assert_eq!(world.begin().status, 409);
    cancelled_and_undone(&world, &before);
    assert_eq!(world.begin().status, 200, "what was undone can begin again");
    world.cancel();
}

fn a_cancel_while_the_snapshot_is_held_up_undoes_it(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        propagation_seconds: 5,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(world.begin().status, 200);
    world.wait_for("read-only is on", || world.read_only() == "true");
    let lock = world.lock_table("report_card");
    world.wait_until("the dump begins", |answer| answer.state() == "dump");
    cancelled_and_undone(&world, &before);
    drop(lock);
}

fn a_cancel_while_rows_are_copied_undoes_it(schema: Schema) {
    let network = Network::default();
    let Some(world) = World::start(Options {
        schema,
        network: Some(network.clone()),
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    network.slow_down_to(SLOW_BYTES_PER_SECOND);
    assert_eq!(world.begin().status, 200);
    world.wait_until("rows are copied", |answer| {
        let progress = answer.json()["progress"].as_u64().unwrap();
        assert!(progress < 50, "all rows are copied: {}", world.log());
        progress > 22
    });
    assert!(world.state_of_metabase() != before, "users may not write");
    cancelled_and_undone(&world, &before);
}

fn a_cancel_while_the_store_is_slow_undoes_it(schema: Schema) {
    let store = SlowStore::start(Silent::Receiving);
    let Some(world) = World::start(Options {
        schema,
        store: Some(store.address()),
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(world.begin().status, 200);
    world.wait_until("the upload begins", |answer| answer.state() == "upload");
    assert_eq!(
        world.state_of_metabase(),
        before,
        "users write again before the upload begins"
    );
    assert_ne!(world.dumps(), [""; 0], "the dump waits to be sent");
    cancelled_and_undone(&world, &before);
}

/// Also by plain SQL, as Metabase's own cancel: nobody tells the server.
fn a_cancel_by_somebody_else_undoes_it(schema: Schema) {
    let Some(world) = World::start(Options {
        schema,
        propagation_seconds: 60,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(world.begin().status, 200);
    world.wait_for("read-only is on", || world.read_only() == "true");
    world.sql("UPDATE cloud_migration SET state = 'cancelled', updated_at = now() WHERE state <> 'done'");
    undone(&world, &before, Instant::now());
}

fn cancelled_and_undone(world: &World, before: &str) {
    let answer = world.cancel();
    let since = Instant::now();
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
    undone(world, before, since);
    assert_eq!(world.cancel().body, "0");
}

fn undone(world: &World, before: &str, since: Instant) {
    world.wait_for("read-only and triggers are as before", || {
        world.state_of_metabase() == before
    });
    let took = since.elapsed();
    assert!(took < UNDONE_WITHIN, "undone after {took:?}: {}", world.log());
    world.wait_for("the files are gone", || world.dumps().is_empty());
    world.wait_for("the lease is given back", || world.lease_is_free());
    let newest: Answer = world.newest();
    assert_eq!(newest.state(), "cancelled", "it stays cancelled");
}

/// Of a version whose sessions are their rows' ids.
#[test]
fn an_older_schema_knows_sessions_by_their_ids_and_migrates() {
    let Some(world) = World::start(Options {
        schema: Schema::Older,
        ..Options::default()
    }) else {
        return;
    };
    let ask = |session: &str| {
        let header = format!("X-Metabase-Session: {session}");
        world.ask("GET", "/api/cloud-migration", &[&header]).status
    };
    for (session, status) in [
        (SUPERUSER_PLAIN_SESSION, 204),
        (ORDINARY_SESSION, 403),
        (INACTIVE_SESSION, 401),
        (EXPIRED_SESSION, 401),
        ("nobody", 401),
    ] {
        assert_eq!(ask(session), status, "{session}");
    }
    assert_eq!(world.begin().status, 200, "{}", world.log());
    world.wait_until("it ends", |answer| {
        ["done", "error", "cancelled"].contains(&answer.state().as_str())
    });
    assert_eq!(world.newest().state(), "done", "{}", world.log());
}

/// The driver heard neither of the silence nor of its lease's end, and nothing was undone until the process ended.
#[test]
fn what_a_silent_network_left_is_undone_once_it_speaks_again() {
    let network = Network::default();
    let Some(world) = World::start(Options {
        propagation_seconds: 600,
        network: Some(network.clone()),
        environment: vec![("METAFERRY_LEASE_SECONDS", "6".to_owned())],
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(world.begin().status, 200, "{}", world.log());
    world.wait_for("read-only is on", || world.read_only() == "true");
    network.go_silent();
    world.wait_for("the driver gives up", || {
        world.log().contains("the lease or the journal is lost")
    });
    world.sql("UPDATE cloud_migration SET state = 'cancelled', updated_at = now()");
    network.speak_again();
    world.wait_for("read-only and triggers are as before", || {
        world.state_of_metabase() == before
    });
    world.wait_for("the lease is given back", || world.lease_is_free());
    assert_eq!(world.newest().state(), "cancelled");
}

/// Metabase's own variables: the file is sent as it is, under that version, and stays.
#[test]
fn a_dump_that_is_there_already_is_sent_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = World::start(Options {
        schema: Schema::Metabase,
        ..Options::default()
    }) else {
        return;
    };
    let file = folder.path().join("ready.mv.db");
    first.dump_to(&file);
    let bytes = std::fs::read(&file).unwrap();
    drop(first);
    let Some(world) = World::start(Options {
        schema: Schema::Metabase,
        environment: vec![
            ("MB_MIGRATION_DUMP_FILE", file.to_str().unwrap().to_owned()),
            ("MB_MIGRATION_DUMP_VERSION", "v0.55.7".to_owned()),
        ],
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    let begun = world.begin();
    assert_eq!(begun.status, 200, "{}", world.log());
    world.wait_until("it ends", |answer| {
        ["done", "error", "cancelled"].contains(&answer.state().as_str())
    });
    assert_eq!(world.newest().state(), "done", "{}", world.log());
    let external_id = begun.json()["external_id"].as_str().unwrap().to_owned();
    world.wait_for("the store has verified what arrived", || {
        world.state_at_store(&external_id) == "verified"
    });
    assert!(world.store_has(&bytes), "the store has that very file");
    assert!(
        world.told_by_store(&external_id).contains("v0.55.7"),
        "{}",
        world.told_by_store(&external_id)
    );
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "the file is somebody's own");
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(world.dumps(), [""; 0]);
}
