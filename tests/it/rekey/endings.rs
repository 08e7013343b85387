//! `rekey` that fails, is killed or is interrupted: everything is as it was.

use std::process::{Command, Stdio};

use super::{NEW_SECRET, done, plain_and_encrypted, rekey, state, variables};
use crate::app_db::{AppDb, Process, command, psql, signal, told, wait_for};
use crate::encryption::SECRET;

#[test]
fn a_new_key_that_fails_or_dies_in_the_middle_leaves_the_postgres_app_db_as_it_was() {
    let Some((_, encrypted)) = plain_and_encrypted() else {
        return;
    };
    let url = &encrypted.url;
    let before = state(url);
    // The last table of the walk that has values fails at one of its rows.
    psql(
        url,
        "CREATE FUNCTION oracle.fails() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN IF new.id = 3 THEN RAISE EXCEPTION 'no room for row three'; END IF; RETURN new; END $$;
         CREATE TRIGGER fails BEFORE UPDATE ON public.somebodys_own FOR EACH ROW EXECUTE FUNCTION oracle.fails()",
    );
    let failed = rekey(Some(SECRET), Some(NEW_SECRET), &[url]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert!(told(&failed).contains("somebodys_own"), "{}", told(&failed));
    assert_eq!(state(url), before);

    // The same row waits for somebody, in which the program is killed, or interrupted.
    psql(
        url,
        "CREATE OR REPLACE FUNCTION oracle.fails() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN IF new.id = 3 THEN PERFORM pg_advisory_lock(3); END IF; RETURN new; END $$",
    );
    for (name, code) in [("KILL", None), ("TERM", Some(130)), ("INT", Some(130))] {
        let _somebody = holding(&encrypted, "SELECT pg_advisory_lock(3)");
        let mut child = waiting(&encrypted);
        signal(name, child.0.id());
        if code.is_none() {
            assert_eq!(child.0.wait().unwrap().code(), code);
            release(&encrypted);
        } else {
            // The row that it writes is written first.
            release(&encrypted);
            interrupted(&mut child, code);
        }
        wait_for("the server has noticed", || sessions(&encrypted, "true") == "0");
        assert_eq!(state(url), before, "{name}");
    }
    // Before anything is written nobody's lock is waited for.
    let _somebody = holding(
        &encrypted,
        "BEGIN; LOCK TABLE public.setting IN ROW EXCLUSIVE MODE",
    );
    let mut child = waiting(&encrypted);
    signal("INT", child.0.id());
    interrupted(&mut child, Some(130));
    release(&encrypted);
    wait_for("the server has noticed", || sessions(&encrypted, "true") == "0");
    assert_eq!(state(url), before);
    psql(url, "DROP TRIGGER fails ON public.somebodys_own");
    done(&rekey(Some(SECRET), Some(NEW_SECRET), &[url]));
}

/// Somebody who holds a lock until [`release`].
fn holding(app_db: &AppDb, lock: &str) -> Process {
    let holder = Command::new("psql")
        .args([
            "-qAtX",
            "-d",
            &app_db.url,
            "-c",
            &format!("{lock}; SELECT pg_sleep(60)"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Process)
        .unwrap();
    wait_for("somebody holds the lock", || asleep(app_db, "count(*)") == "1");
    holder
}

fn release(app_db: &AppDb) {
    asleep(app_db, "pg_terminate_backend(pid)");
    wait_for("nobody holds the lock", || asleep(app_db, "count(*)") == "0");
}

fn asleep(app_db: &AppDb, what: &str) -> String {
    psql(
        &app_db.url,
        &format!(
            "SELECT {what} FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        ),
    )
}

/// How many of the program's own sessions are so.
fn sessions(app_db: &AppDb, so: &str) -> String {
    psql(
        &app_db.url,
        &format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'metaferry' AND {so}"
        ),
    )
}

/// The program, as it waits for a lock.
fn waiting(app_db: &AppDb) -> Process {
    let child = command()
        .envs(variables(Some(SECRET), Some(NEW_SECRET)))
        .args(["rekey", &app_db.url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
        .unwrap();
    wait_for("it waits for the lock", || {
        sessions(app_db, "wait_event_type = 'Lock'") == "1"
    });
    child
}

fn interrupted(child: &mut Process, code: Option<i32>) {
    let status = child.0.wait().unwrap();
    let said = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), code, "{said}");
    assert!(said.contains("interrupted; nothing is changed"), "{said}");
}
