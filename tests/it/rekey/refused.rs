//! What speaks against changing a key: told, and nothing is written.

use std::process::Stdio;

use super::{NEW_KEY, NEW_SECRET, done, plain_and_encrypted, rekey, state, variables};
use crate::app_db::{AppDb, command, psql, told, wait_for};
use crate::encryption::SECRET;

/// Database, old key, new key, exit code, a word of the message.
type Refusal<'a> = (&'a AppDb, Option<&'a str>, Option<&'a str>, i32, &'a str);

#[test]
fn whatever_speaks_against_a_new_key_is_told_and_nothing_is_written() {
    let Some((plain, encrypted)) = plain_and_encrypted() else {
        return;
    };
    let other = "another horse, another staple";
    let refusals: [Refusal<'_>; 9] = [
        (
            &encrypted,
            Some(other),
            Some(NEW_SECRET),
            3,
            "is not the key of this app DB",
        ),
        (
            &encrypted,
            None,
            Some(NEW_SECRET),
            3,
            "give its MB_ENCRYPTION_SECRET_KEY",
        ),
        (&encrypted, Some(SECRET), Some(SECRET), 3, "the same"),
        (&encrypted, Some(SECRET), None, 2, NEW_KEY),
        (&encrypted, Some(SECRET), Some("too short"), 2, NEW_KEY),
        (
            &encrypted,
            Some("too short"),
            Some(NEW_SECRET),
            2,
            "MB_ENCRYPTION_SECRET_KEY",
        ),
        (&plain, Some(SECRET), Some(NEW_SECRET), 3, "data_encryption_key"),
        (&plain, None, Some(""), 3, "nothing to change"),
        (&plain, Some(SECRET), Some(""), 3, "not encrypted"),
    ];
    for (app_db, old, new, code, why) in refusals {
        let before = state(&app_db.url);
        if why == "data_encryption_key" {
            // Nothing in it is under that key.
            let refused = rekey(old, new, &[&app_db.url]);
            assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
            assert!(
                told(&refused).contains("not encrypted with MB_ENCRYPTION_SECRET_KEY"),
                "{}",
                told(&refused)
            );
        } else {
            let refused = rekey(old, new, &[&app_db.url]);
            assert_eq!(refused.status.code(), Some(code), "{why}: {}", told(&refused));
            assert!(told(&refused).contains(why), "{}", told(&refused));
        }
        assert_eq!(state(&app_db.url), before, "{why}");
    }
    // Values of a key that nobody has, in two columns, both named; a plain database with one is not encrypted either.
    let foreign = "AQEBAQEBAQEBAQEBAQEBAdrMZpJzVZ1mVn8SxU2zQ1kP0b5e9wCkT7oO3Yq4m2L6hX8uR1vJ5sFgH3dKQzWcEA==";
    for (app_db, old) in [(&encrypted, Some(SECRET)), (&plain, None)] {
        psql(
            &app_db.url,
            &format!(
                "UPDATE public.metabase_database SET details = '{foreign}' WHERE id = 2;
                 UPDATE public.somebodys_own SET c07 = '{foreign}' WHERE id = 3"
            ),
        );
        let before = state(&app_db.url);
        let refused = rekey(old, Some(NEW_SECRET), &[&app_db.url]);
        assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
        for column in [
            "table metabase_database, column details",
            "table somebodys_own, column c07",
        ] {
            assert!(told(&refused).contains(column), "{}", told(&refused));
        }
        assert_eq!(state(&app_db.url), before);
    }
    let kept = done(&rekey(
        Some(SECRET),
        Some(NEW_SECRET),
        &[&encrypted.url, "--keep-unreadable"],
    ));
    assert!(kept["notes"].to_string().contains("left as they are"), "{kept}");
    assert_eq!(
        psql(
            &encrypted.url,
            "SELECT c07 FROM public.somebodys_own WHERE id = 3"
        ),
        foreign
    );

    let file = plain.h2_fixture();
    let refused = rekey(
        Some(SECRET),
        Some(NEW_SECRET),
        &[&format!("h2:{}", file.display())],
    );
    assert_eq!(refused.status.code(), Some(3));
    assert!(told(&refused).contains("dump --plaintext"), "{}", told(&refused));
}

#[test]
fn a_metabase_that_runs_on_the_app_db_keeps_its_key_unless_forced() {
    let Some((_, encrypted)) = plain_and_encrypted() else {
        return;
    };
    let url = &encrypted.url;
    let check_in = "INSERT INTO public.qrtz_scheduler_state VALUES ('MetabaseScheduler', 'node-7',
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 7500)
        ON CONFLICT (sched_name, instance_name) DO UPDATE SET last_checkin_time = excluded.last_checkin_time";
    psql(url, check_in);
    let before = state(url);
    let child = command()
        .envs(variables(Some(SECRET), Some(NEW_SECRET)))
        .args(["rekey", url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let ended = std::thread::spawn(move || child.wait_with_output().unwrap());
    wait_for("it refuses", || {
        psql(url, check_in);
        ended.is_finished()
    });
    let refused = ended.join().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{id}: {}", told(&refused));
    assert!(told(&refused).contains("node-7"), "{}", told(&refused));
    psql(
        url,
        "DELETE FROM public.qrtz_scheduler_state WHERE instance_name = 'node-7'",
    );
    let others: String = before.lines().filter(|line| !line.contains("node-7")).collect();
    assert_eq!(state(url).lines().collect::<String>(), others);
    psql(url, check_in);
    let forced = done(&rekey(Some(SECRET), Some(NEW_SECRET), &[url, "--force"]));
    assert!(forced["notes"].to_string().contains("node-7"), "{forced}");
}
