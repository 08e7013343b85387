//! `migrate --read-only enforced` of a MariaDB app DB: plain SQL is held off until all is read, and nothing stays behind; and
//! when the program is killed, all is free at once.

use std::process::{Command, Stdio};

use super::{Database, Held, Maria, With};
use crate::api::shore::Shore;
use crate::app_db::{Process, ended, told};

/// Changed by every migration, or by this test.
const WRITTEN: [&str; 5] = [
    "cloud_migration",
    "setting",
    "qrtz_scheduler_state",
    "report_card",
    "core_user",
];

/// With nothing of earlier migrations, and read-only off.
pub(crate) fn app_db(maria: &Maria) -> Database<'_> {
    let database = maria.database(With::Rows);
    database.ask(
        "DELETE FROM cloud_migration; DELETE FROM QRTZ_FIRED_TRIGGERS;
         UPDATE setting SET value = 'false' WHERE `key` = 'read-only-mode';
         UPDATE setting SET value = '2026-01-01 00:00:00' WHERE `key` = 'settings-last-updated'",
    );
    database
}

fn sums(database: &Database<'_>) -> Vec<String> {
    let mut tables = database.tables();
    tables.retain(|table| {
        !table.starts_with("metaferry_") && !WRITTEN.contains(&table.to_lowercase().as_str())
    });
    database.checksums(&tables)
}

fn command(shore: &Shore, arguments: &[&str]) -> Command {
    let mut command = shore.metaferry();
    command
        .env("METAFERRY_LEASE_SECONDS", "15")
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn migrate(shore: &Shore, url: &str) -> Command {
    command(
        shore,
        &["migrate", "--yes", "--read-only", "enforced", "--from", url],
    )
}

/// What the server says of a write to a table that must be still; nothing is kept of it.
fn refusal(database: &Database<'_>) -> Option<String> {
    let tried = Command::new("mariadb")
        .arg("--no-defaults")
        .args(database.maria.arguments())
        .arg(&database.name)
        .args([
            "--execute",
            "START TRANSACTION; UPDATE collection SET name = 'held off'; ROLLBACK",
        ])
        .output()
        .unwrap();
    (!tried.status.success()).then(|| told(&tried))
}

/// Quartz's own lock, in another session: whoever pauses waits.
fn hold_quartz<'a>(database: &'a Database<'_>) -> Held<'a> {
    database.hold("SELECT 1 FROM QRTZ_LOCKS WHERE LOCK_NAME = 'TRIGGER_ACCESS' FOR UPDATE")
}

fn triggers(database: &Database<'_>) -> Vec<String> {
    database.ask("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()")
}

#[test]
fn enforced_holds_plain_sql_off_until_all_is_read_and_leaves_no_trace_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let database = app_db(&maria);
    let before = sums(&database);
    let shore = Shore::start(None, 0);
    assert_eq!(refusal(&database), None);
    let quartz = hold_quartz(&database);
    let migrating = migrate(&shore, &database.url()).spawn().unwrap();
    shore.wait_for("tables are guarded", || refusal(&database).is_some());
    let words = refusal(&database).unwrap();
    assert!(
        words.contains("table collection is read-only while its snapshot is taken (Metaferry, until "),
        "{words}"
    );
    database.ask(
        "UPDATE report_card SET last_used_at = now(); UPDATE core_user SET last_login = now();
         UPDATE collection SET name = name",
    );
    drop(quartz);
    let output = migrating.wait_with_output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!((code, &json["state"]), (0, &"done".into()), "{}", told(&output));
    // That there is no dead man's switch, and nothing of writes.
    let warnings = json["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].as_str().unwrap().contains("dead man's switch"),
        "{warnings:?}"
    );
    assert_eq!(refusal(&database), None);
    assert_eq!(triggers(&database), [""; 0]);
    assert_eq!(sums(&database), before);
}

#[test]
fn of_who_was_killed_writes_are_free_before_its_lease_has_run_out_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let database = app_db(&maria);
    let before = sums(&database);
    let shore = Shore::start(None, 0);
    let quartz = hold_quartz(&database);
    let running = Process(migrate(&shore, &database.url()).spawn().unwrap());
    shore.wait_for("tables are guarded", || refusal(&database).is_some());
    drop(running);
    shore.wait_for("tables can be written again", || refusal(&database).is_none());
    assert_eq!(
        database.ask(
            "SELECT count(*) FROM metaferry_lease WHERE id = 1 AND expires_at_micros > UNIX_TIMESTAMP(SYSDATE(6)) * 1000000"
        ),
        ["1"],
        "by the end of its session, not of its lease"
    );
    assert!(!triggers(&database).is_empty(), "they do nothing");
    drop(quartz);
    database.ask("UPDATE metaferry_lease SET expires_at_micros = 0");
    let output = command(&shore, &["recover", "--from", &database.url()])
        .output()
        .unwrap();
    let (recovered, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    assert_eq!(triggers(&database), [""; 0]);
    assert_eq!(sums(&database), before);
}
