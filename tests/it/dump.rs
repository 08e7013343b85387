//! `metaferry dump` on a Postgres app DB with Metabase's own schema: what it says of itself, and what a dump that is
//! refused leaves behind. What is in the file is judged in `crossing.rs`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::app_db::{AppDb, Process, command, ended, metaferry, psql, told, wait_for};

#[test]
fn the_manifest_says_what_the_json_says() {
    let Some(app_db) = AppDb::load() else { return };
    let json = app_db.dump_to(&app_db.file());
    let manifest_file = app_db.folder.path().join("app-db.mv.db.manifest.json");
    assert_eq!(json["manifest"], manifest_file.to_str().unwrap());
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest_file).unwrap()).unwrap();
    for same in ["tables", "left_out", "notes", "sha256", "snapshot_micros"] {
        assert_eq!(
            manifest[same], json[same],
            "{same} in the manifest and in the JSON"
        );
    }
    assert_eq!(manifest["size_bytes"], json["bytes"]);
    let file = std::fs::read(app_db.file()).unwrap();
    assert_eq!(json["bytes"], file.len());
    assert_eq!(json["sha256"], hex::encode(Sha256::digest(&file)));

    let carried = json["tables"].as_array().unwrap();
    assert_eq!(carried.len(), 61);
    for table in carried {
        let digest = table["digest"].as_str().unwrap();
        let digits = digest.strip_prefix("mf1:").unwrap_or_default();
        assert!(
            digits.len() == 32 && digits.chars().any(|digit| digit != '0'),
            "{table}"
        );
    }
    let left_out = json["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 94 - 61);
    for table in left_out {
        assert!(!table["why"].as_str().unwrap().is_empty(), "{table}");
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.file();
    std::fs::write(&file, "somebody's own").unwrap();
    let to = file.to_str().unwrap();
    let refused = metaferry(&["dump", "--from", &app_db.url, "--to", to]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("app-db.mv.db"), "{}", told(&refused));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's own");
    assert_eq!(app_db.left_behind(), ["app-db.mv.db"]);

    let unknown = metaferry(&[
        "dump",
        "--from",
        &app_db.url,
        "--to",
        to,
        "--force",
        "--exclude",
        "no_such",
    ]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
    assert!(told(&unknown).contains("no_such"), "{}", told(&unknown));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's own");

    let forced = metaferry(&["dump", "--from", &app_db.url, "--to", to, "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", told(&forced));
    let users = app_db.java(
        &app_db.h2_url("app-db"),
        &[("users", "SELECT COUNT(*) FROM CORE_USER")],
    );
    assert_eq!(
        users["users"],
        [psql(&app_db.url, "SELECT count(*) FROM core_user")]
    );
}

#[test]
fn what_h2_cannot_hold_is_named_once_and_nothing_is_left() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "CREATE TABLE of_somebody (at time PRIMARY KEY, moment timestamptz)",
    );
    for (values, column, shown) in [
        (
            "'01:02:03', 'infinity'",
            "moment",
            "row number 1 as read: the value is infinite",
        ),
        (
            "'24:00', now()",
            "at",
            "key 24:00:00: 24:00:00 is no time of day for H2",
        ),
    ] {
        psql(
            &app_db.url,
            &format!("TRUNCATE of_somebody; INSERT INTO of_somebody VALUES ({values})"),
        );
        let ended = app_db.dump(&app_db.file());
        // Rows were already on their way: it has failed, it was not refused.
        assert_eq!(ended.status.code(), Some(1), "{}", told(&ended));
        let line = format!("metaferry: table of_somebody, column {column}, ");
        assert!(told(&ended).contains(&line), "{}", told(&ended));
        assert!(told(&ended).contains(shown), "{shown}: {}", told(&ended));
        assert_eq!(
            told(&ended).matches("table of_somebody").count(),
            1,
            "{}",
            told(&ended)
        );
        assert_eq!(app_db.left_behind(), [""; 0]);
    }
}

#[test]
fn what_is_no_app_db_is_said_to_be_none() {
    let Some(app_db) = AppDb::load() else { return };
    psql(&app_db.url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let empty = app_db.dump(&app_db.file());
    assert_eq!(empty.status.code(), Some(3), "{}", told(&empty));
    assert!(told(&empty).contains("no tables"), "{}", told(&empty));
    assert_eq!(app_db.left_behind(), [""; 0]);

    psql(&app_db.url, "CREATE TABLE orders (id integer PRIMARY KEY)");
    let json = app_db.dump_to(&app_db.file());
    assert_eq!(json["unknown_tables"], serde_json::json!(["orders"]));
    let notes = json["notes"].to_string();
    assert!(notes.contains("no tables of Metabase were found"), "{notes}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn what_cannot_be_reached_or_written_is_named() {
    let Some(app_db) = AppDb::load() else { return };
    let missing = app_db.folder.path().join("no-such-folder/app-db.mv.db");
    let ended = app_db.dump(&missing);
    assert_eq!(ended.status.code(), Some(3), "{}", told(&ended));
    assert!(told(&ended).contains("no-such-folder"), "{}", told(&ended));

    let closed_folder = app_db.folder.path().join("closed");
    std::fs::create_dir(&closed_folder).unwrap();
    std::fs::set_permissions(&closed_folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(closed_folder.join("probe"), "").is_ok() {
        eprintln!("SKIPPED: a folder that may not be written to: whoever runs this may write anywhere");
    } else {
        let ended = app_db.dump(&closed_folder.join("app-db.mv.db"));
        assert_eq!(ended.status.code(), Some(3), "{}", told(&ended));
        assert!(told(&ended).contains("closed/app-db.mv.db"), "{}", told(&ended));
    }
    std::fs::remove_dir_all(&closed_folder).unwrap();

    let to = app_db.file();
    let to = to.to_str().unwrap();
    let nowhere = format!("{}_absent", app_db.url);
    // A port of the system's choice that nobody listens on any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let unreachable = format!("postgres://postgres@{}/metabase", closed.unwrap());
    let database = format!("{}_absent", app_db.database);
    for (from, code, named) in [
        (&*nowhere, 3, &*database),
        (&unreachable, 1, "127.0.0.1"),
        ("mongodb://127.0.0.1/metabase", 2, "--from"),
    ] {
        let ended = metaferry(&["dump", "--from", from, "--to", to]);
        assert_eq!(ended.status.code(), Some(code), "{from}: {}", told(&ended));
        assert!(told(&ended).contains(named), "{named}: {}", told(&ended));
    }
    for nameless in [".mv.db", "", "/", &format!("{}/", app_db.folder.path().display())] {
        let ended = metaferry(&["dump", "--from", &app_db.url, "--to", nameless]);
        assert_eq!(ended.status.code(), Some(2), "{nameless}: {}", told(&ended));
        assert!(told(&ended).contains("--to"), "{}", told(&ended));
    }
    let wrong = metaferry(&["dump", "--from", &app_db.url]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    assert!(told(&wrong).contains("--to"), "{}", told(&wrong));
    assert_eq!(app_db.left_behind(), [""; 0]);
}

#[test]
fn an_ending_that_was_left_out_is_added() {
    let Some(app_db) = AppDb::load() else { return };
    let json = app_db.dump_to(&app_db.folder.path().join("name"));
    assert_eq!(app_db.left_behind(), ["name.mv.db", "name.mv.db.manifest.json"]);
    let file = app_db.folder.path().join("name.mv.db");
    assert_eq!(json["file"], file.to_str().unwrap());
    // Nor is it put behind one that is there.
    app_db.dump_to(&app_db.folder.path().join("other.mv.db"));
    assert!(app_db.left_behind().contains(&"other.mv.db".to_owned()));
    let users = app_db.java(
        &app_db.h2_url("name"),
        &[("users", "SELECT COUNT(*) FROM CORE_USER")],
    );
    assert_eq!(
        users["users"],
        [psql(&app_db.url, "SELECT count(*) FROM core_user")]
    );
}

#[test]
fn a_session_that_the_server_ends_is_named_with_its_table_and_nothing_is_left() {
    let Some(app_db) = AppDb::load() else { return };
    // Some hundred megabytes: its session is met while it sends.
    psql(
        &app_db.url,
        "CREATE TABLE very_long AS SELECT n AS id, repeat(n::text, 60) AS body FROM generate_series(100000, 799999) AS n",
    );
    let running = command()
        .args(["dump", "--from", &app_db.url, "--to"])
        .arg(app_db.file())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the table is read and its session is ended", || {
        let ended = psql(
            &app_db.url,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_progress_copy
             WHERE datname = current_database() AND command = 'COPY TO' AND tuples_processed > 1000
                 AND relid IN (0, 'very_long'::regclass)
                 AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%very_long%')",
        );
        ended != "0"
    });
    let failed = running.wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    // It was told as bytes that are missing.
    for words in ["table very_long", "the server ended the session", "server's log"] {
        assert!(told(&failed).contains(words), "{words}: {}", told(&failed));
    }
    assert_eq!(app_db.left_behind(), [""; 0]);
}

/// A session that holds a table; ended with it.
struct Locked {
    psql: Process,
}

impl Locked {
    fn table(app_db: &AppDb, table: &str) -> Self {
        let psql = Command::new("psql")
            .args(["-qX", "-d", &app_db.url, "-c"])
            .arg(format!(
                "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)"
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Process)
            .unwrap();
        let held = format!(
            "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = '{table}'::regclass"
        );
        wait_for("the table is locked", || {
            crate::app_db::psql(&app_db.url, &held) != "0"
        });
        Self { psql }
    }
}

#[test]
fn a_table_that_somebody_has_locked_is_told_as_that_and_a_password_is_in_no_process_list_meanwhile() {
    let Some(app_db) = AppDb::load() else { return };
    let mut locked = Locked::table(&app_db, "core_user");
    // The server of the tests lets everybody in, whatever the password.
    let url = app_db.url.replacen("postgres@", "postgres:hunter2@", 1);
    assert!(url.contains("hunter2"), "{url}");
    let running = command()
        .args(["--json", "dump", "--from", &url, "--to"])
        .arg(app_db.file())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = format!("/proc/{}/cmdline", running.id());
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'metaferry'
         AND datname = current_database()";
    wait_for("it waits for the lock", || psql(&app_db.url, waits) != "0");
    let arguments = String::from_utf8(std::fs::read(list).unwrap()).unwrap();
    assert!(
        !arguments.contains("hunter2") && arguments.contains("postgres:***@"),
        "{arguments:?}"
    );
    assert!(
        arguments.split('\0').any(|argument| argument == "--from"),
        "{arguments:?}"
    );
    let failed = running.wait_with_output().unwrap();
    let (json, code) = ended(&failed);
    // It was told as tables that change too often, which a retry would mend.
    assert_eq!(code, 3, "{json}");
    let message = json["error"].as_str().unwrap();
    assert!(message.contains("table core_user is locked by session"), "{json}");
    assert!(message.contains("psql") && message.contains("postgres"), "{json}");
    let what_to_do = json["what_to_do"].as_str().unwrap();
    assert!(what_to_do.contains("wait until that session has ended"), "{json}");
    assert!(
        told(&failed).contains(&format!("what to do: {what_to_do}")),
        "{}",
        told(&failed)
    );
    assert_eq!(app_db.left_behind(), [""; 0]);
    locked.psql.0.kill().unwrap();
    psql(
        &app_db.url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
    let to = app_db.file();
    let done = metaferry(&["dump", "--from", &url, "--to", to.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
}

/// A small disk in memory; unmounted with it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` for whoever may not mount.
    fn mount(folder: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "metaferry-test"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|mounted| mounted.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|unmounted| unmounted.success()));
    }
}

#[test]
fn an_argument_that_is_not_understood_is_told_without_its_password() {
    let url = "mysql://me:hunter2@host/db";
    let wrong: [(&[&str], &str); 5] = [
        (
            &["load", "--from", "file", url],
            "unexpected argument 'mysql://me:***@host/db'",
        ),
        (&[url], "mysql://me:***@host/db"),
        (
            &[
                "dump",
                "--to",
                "file",
                "--from",
                url,
                "--include-logs=mysql://me:hunter2@host/db",
            ],
            "mysql://me:***@host/db",
        ),
        (&["serve", "--listen", url], "'mysql://me:***@host/db'"),
        (
            &["load", "--to=mysql://me:hunter2@host/db", url],
            "unexpected argument 'mysql://me:***@host/db'",
        ),
    ];
    for (arguments, says) in wrong {
        let refused = metaferry(arguments);
        let said = told(&refused) + &String::from_utf8_lossy(&refused.stdout);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.contains("hunter2"), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let help = metaferry(&["load", "--help"]);
    assert_eq!(help.status.code(), Some(0), "{}", told(&help));
    assert!(String::from_utf8_lossy(&help.stdout).contains("--from"));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn a_full_disk_is_named_with_its_file_and_nothing_is_left() {
    let Some(app_db) = AppDb::load() else { return };
    let Some(disk) = SmallDisk::mount(app_db.folder.path().join("disk"), "600k") else {
        eprintln!("SKIPPED: a full disk: whoever runs this may not mount one in memory");
        return;
    };
    let to = disk.0.join("app-db.mv.db");
    let failed = app_db.dump(&to);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    for named in [to.to_str().unwrap(), "No space left on device"] {
        assert!(told(&failed).contains(named), "{named}: {}", told(&failed));
    }
    let left: Vec<_> = std::fs::read_dir(&disk.0).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // The same with room, lest it is something else that stood in the way.
    drop(disk);
    let (json, code) = ended(&app_db.dump(&to));
    assert_eq!(code, 0, "{json}");
    assert!(json["bytes"].as_u64().unwrap() > 600 * 1024, "{json}");
}
