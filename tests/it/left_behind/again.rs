//! Commands given once more, or too early: another attempt does what was planned, triggers that somebody's lock kept are
//! found again, and an answer of no leaves nothing.

use std::process::Command;

use super::enforced::{enforced, write_is_refused};
use super::{command, hold, hold_quartz, let_go, ours, run, succeeds, world};
use crate::api::world::Schema;
use crate::app_db::{ended, told};

/// In a row of a table that was excluded.
const STAYS: &str = "stays-behind-7131";
/// In a row of another one.
const GOES: &str = "goes-along-7131";

/// Whether any dump at the store has that text.
fn arrived(dumps: &[Vec<u8>], text: &str) -> bool {
    let has = |dump: &Vec<u8>| dump.windows(text.len()).any(|found| found == text.as_bytes());
    dumps.iter().any(has)
}

#[test]
fn a_retry_leaves_out_what_was_excluded_and_refuses_writes_as_long_as_planned_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    world.sql(&format!(
        "INSERT INTO audit_log (topic, timestamp, details) VALUES ('test', now(), '{{\"a\":\"{STAYS}\"}}');
         INSERT INTO setting (key, value) VALUES ('site-name', '{GOES}') ON CONFLICT (key) DO UPDATE SET value = '{GOES}'"
    ));
    let from = ["--from", &world.url];
    let quartz = hold_quartz(&world);
    let migrating = enforced(&world)
        .args(["--read-only-max", "2h", "--exclude", "audit_log"])
        .spawn()
        .unwrap();
    world.wait_for("tables are guarded", || write_is_refused(&world));
    succeeds(&world, &[&["cancel"][..], &from].concat());
    let_go(&world, quartz);
    let output = migrating.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert!(world.arrived().is_empty());

    let others = run(
        &world,
        &[&["retry", "--yes", "--exclude", "core_session"][..], &from].concat(),
    );
    assert_eq!(others.status.code(), Some(3), "{}", told(&others));
    assert!(told(&others).contains("--exclude audit_log"), "{}", told(&others));

    let quartz = hold_quartz(&world);
    let retrying = command(&world, &[&["retry", "--yes"][..], &from].concat())
        .spawn()
        .unwrap();
    world.wait_for("tables are guarded again", || write_is_refused(&world));
    let for_long = "SELECT guard_until > clock_timestamp() + interval '100 minutes' FROM metaferry.lease";
    assert_eq!(world.sql(for_long), "t");
    let_go(&world, quartz);
    let output = retrying.wait_with_output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(json["attempt"], 2, "{json}");
    let dumps = world.arrived();
    assert!(
        arrived(&dumps, GOES),
        "it does not lie in the file as it is: this test sees nothing"
    );
    assert!(!arrived(&dumps, STAYS), "{}", json["left_out"]);
}

#[test]
fn triggers_that_a_lock_kept_are_found_again_and_our_tables_stay_for_them_postgres() {
    let Some(world) = world(Schema::Metabase) else {
        return;
    };
    let from = ["--from", &world.url];
    let reader = hold(&world, "SELECT count(*) FROM metabase_database");
    let output = enforced(&world).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!write_is_refused(&world));
    assert!(ours(&world).contains("metaferry_guard_rows"), "{}", ours(&world));

    let refused = run(&world, &["uninstall", &world.url]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(
        told(&refused).contains("metaferry_guard_rows on metabase_database"),
        "{}",
        told(&refused)
    );
    assert_eq!(world.sql("SELECT to_regclass('metaferry.lease') IS NULL"), "f");
    let_go(&world, reader);

    let left = ours(&world);
    let would = succeeds(&world, &[&["recover", "--dry-run"][..], &from].concat());
    let named = would["would_remove"].to_string();
    assert!(
        named.contains("metaferry_guard_rows on metabase_database"),
        "{would}"
    );
    assert_eq!(ours(&world), left, "a dry run touches nothing");
    let recovered = succeeds(&world, &[&["recover"][..], &from].concat());
    assert_eq!(recovered["removed"], would["would_remove"]);
    assert_eq!(ours(&world), "");
    let removed = succeeds(&world, &["uninstall", &world.url]);
    assert_ne!(removed["removed"], serde_json::json!([]));
    assert_eq!(world.sql("SELECT to_regnamespace('metaferry') IS NULL"), "t");
}

/// Python's terminal, and a person who answers no.
const ANSWERS_NO: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen, typed = b"", False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    seen += some
    if not typed and b"Type yes" in seen:
        os.write(terminal, b"no\n")
        typed = True
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn who_answers_no_has_changed_nothing_postgres() {
    let Some(world) = world(Schema::Sample) else {
        return;
    };
    // Which is a warning.
    world.sql("CREATE TABLE somebodys_own (id integer PRIMARY KEY)");
    let metaferry = world.metaferry();
    let mut terminal = Command::new("python3");
    for (name, value) in metaferry.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let answered = terminal
        .args(["-c", ANSWERS_NO])
        .arg(metaferry.get_program())
        .args(["migrate", "--from", &world.url])
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&answered.stdout).into_owned();
    assert_eq!(answered.status.code(), Some(3), "{seen} {}", told(&answered));
    assert!(
        seen.contains("somebodys_own") && seen.contains("nothing was touched"),
        "{seen}"
    );
    assert_eq!(world.sql("SELECT to_regnamespace('metaferry') IS NULL"), "t");
    assert_eq!(world.rows(), 0);
}
