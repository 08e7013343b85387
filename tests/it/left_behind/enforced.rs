//! Read-only by force of the server: in force until all is read, over with the lease of who was killed.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{LEASE, Running, command, hold_quartz, let_go, ours, succeeds, world};
use crate::api::world::{Schema, World};
use crate::app_db::{ended, told};

/// A write to a table that must not change, by plain SQL; nothing of it is kept.
pub(super) fn write_is_refused(world: &World) -> bool {
    let output = Command::new("psql")
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &world.url, "-c"])
        .arg("BEGIN; UPDATE metabase_database SET name = name || '!'; ROLLBACK")
        .output()
        .unwrap();
    let refused = !output.status.success();
    assert!(
        !refused || told(&output).contains("is read-only while its snapshot is taken"),
        "{}",
        told(&output)
    );
    refused
}

pub(super) fn enforced(world: &World) -> Command {
    command(
        world,
        &[
            "migrate",
            "--yes",
            "--read-only",
            "enforced",
            "--from",
            &world.url,
        ],
    )
}

#[test]
fn enforced_holds_plain_sql_off_until_all_is_read_and_leaves_no_trace_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    assert!(!write_is_refused(&world));
    let quartz = hold_quartz(&world);
    let migrating = enforced(&world).spawn().unwrap();
    world.wait_for("tables are guarded", || write_is_refused(&world));
    world.sql("UPDATE report_card SET last_used_at = now(); UPDATE core_user SET last_login = now()");
    world.sql("UPDATE metabase_database SET name = name");
    let_go(&world, quartz);
    let output = migrating.wait_with_output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(
        (&json["state"], &json["warnings"]),
        (&"done".into(), &serde_json::json!([])),
        "{json}"
    );
    assert!(!write_is_refused(&world));
    assert_eq!(ours(&world), "");
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn enforced_is_over_with_the_lease_of_who_was_killed_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    let quartz = hold_quartz(&world);
    let running = Running(enforced(&world).spawn().unwrap());
    world.wait_for("tables are guarded", || write_is_refused(&world));
    drop(running);
    let killed_at = Instant::now();
    world.wait_for("tables can be written again", || !write_is_refused(&world));
    let took = killed_at.elapsed();
    assert!(took <= Duration::from_secs(LEASE + 1), "{took:?}");
    let_go(&world, quartz);
    let recovered = succeeds(&world, &["recover", "--from", &world.url]);
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(ours(&world), "");
}

#[test]
fn triggers_that_stay_because_others_use_the_table_are_named_and_go_when_they_can_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    let quartz = hold_quartz(&world);
    let migrating = enforced(&world).spawn().unwrap();
    world.wait_for("tables are guarded", || write_is_refused(&world));
    let kept = world.keep_in_use("collection");
    world.sql("UPDATE cloud_migration SET state = 'cancelled'");
    let_go(&world, quartz);
    let output = migrating.wait_with_output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 130, "{}", told(&output));
    let left = ["rows", "truncate", "update"].map(|kind| format!("metaferry_guard_{kind} on collection"));
    assert_eq!(json["left"], serde_json::json!(left), "{json}");
    assert!(
        told(&output).contains("`metaferry recover` takes them away"),
        "{}",
        told(&output)
    );
    assert!(!write_is_refused(&world));
    let would = succeeds(&world, &["recover", "--dry-run", "--from", &world.url]);
    assert_eq!(would["would_remove"], serde_json::json!(left), "{would}");
    let serving = ["serve", "--listen", "127.0.0.1:0", "--from", &world.url];
    let serving = Running(command(&world, &serving).spawn().unwrap());
    drop(kept);
    world.wait_for("a node that serves has taken them away", || {
        ours(&world).is_empty()
    });
    drop(serving);
    assert_eq!(world.state_of_metabase(), before);
}

#[test]
fn who_keeps_the_setting_locked_keeps_nobody_from_writing_once_it_is_cancelled_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let before = world.state_of_metabase();
    let quartz = hold_quartz(&world);
    let migrating = enforced(&world).spawn().unwrap();
    world.wait_for("tables are guarded", || write_is_refused(&world));
    world.wait_for("the flag is on", || world.read_only() == "true");
    let kept = world.keep_locked("SELECT * FROM setting FOR UPDATE");
    let_go(&world, quartz);
    world.sql("UPDATE cloud_migration SET state = 'cancelled'");
    let cancelled_at = Instant::now();
    world.wait_for("tables can be written again", || !write_is_refused(&world));
    let took = cancelled_at.elapsed();
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(world.read_only(), "true", "it is locked");
    drop(kept);
    let output = migrating.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert_eq!(world.state_of_metabase(), before);
    assert_eq!(ours(&world), "");
}
