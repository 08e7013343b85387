//! `metaferry check` on a MariaDB app DB: each reason against a migration is named with what to do, and nothing is changed
//! by looking.

use serde_json::Value;

use super::{Database, Maria, With};
use crate::app_db::{command, ended, metaferry, told};
use crate::load::done;

/// What `check` found.
struct Found {
    json: Value,
    code: i32,
}

impl Found {
    fn by(database: &Database<'_>, url: &str, arguments: &[&str]) -> Self {
        let output = command()
            .args(["--json", "check", "--from", url, "--to", "s3://bucket/prefix"])
            .args(arguments)
            .env("METAFERRY_DATA_DIR", database.maria.folder.path().join("data"))
            .output()
            .unwrap();
        let (json, code) = ended(&output);
        assert!(!told(&output).contains("panicked"), "{}", told(&output));
        Self { json, code }
    }

    fn messages(&self, code: &str) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["code"] == code)
            .map(|finding| finding["message"].as_str().unwrap())
            .collect()
    }
}

#[test]
fn nothing_stands_against_metabases_own_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let database = maria.database(With::Rows);
    let before = database.tables();
    for strength in ["flag", "enforced"] {
        let found = Found::by(&database, &database.url(), &["--read-only", strength]);
        assert_eq!(found.code, 0, "{}", found.json);
    }
    assert_eq!(database.tables(), before, "looking has created something");
}

/// `check` said that nothing stood against it, and the migration failed in its setup.
#[test]
fn a_flag_of_mariadb_that_nodes_could_not_be_told_of_is_found_before_anything_is_begun() {
    let Some(maria) = Maria::new() else { return };
    let database = maria.database(With::Rows);
    database.ask("UPDATE setting SET value = 'false' WHERE `key` = 'read-only-mode'");
    for (told_at, why) in [
        (
            "2026-01-01 00:00:00.123456+00",
            "no time as Metabase writes it on MySQL",
        ),
        ("2999-01-01 00:00:00", "in the future"),
    ] {
        database.ask(&format!(
            "UPDATE setting SET value = '{told_at}' WHERE `key` = 'settings-last-updated'"
        ));
        let rows = database.ask("SELECT count(*) FROM cloud_migration");
        for strength in ["flag", "enforced"] {
            let found = Found::by(&database, &database.url(), &["--read-only", strength]);
            assert_eq!(found.code, 3, "{}", found.json);
            let messages = found.messages("read_only_setting");
            assert!(
                matches!(messages.as_slice(), [one] if one.contains(told_at) && one.contains(why)
                    && one.contains("METAFERRY_METABASE_URL")),
                "{}",
                found.json
            );
        }
        let without = Found::by(&database, &database.url(), &["--read-only", "none"]);
        assert_eq!(without.code, 0, "{}", without.json);
        let migrated = command()
            .args([
                "migrate",
                "--yes",
                "--from",
                &database.url(),
                "--to",
                "s3://bucket/prefix",
            ])
            .env("METAFERRY_DATA_DIR", maria.folder.path().join("data"))
            .output()
            .unwrap();
        assert_eq!(migrated.status.code(), Some(3), "{}", told(&migrated));
        assert!(told(&migrated).contains(why), "{}", told(&migrated));
        assert_eq!(
            database.ask("SELECT count(*) FROM cloud_migration"),
            rows,
            "a row was written"
        );
    }
    // Already on, it is not changed, and nobody has to be told.
    database.ask("UPDATE setting SET value = 'true' WHERE `key` = 'read-only-mode'");
    let on = Found::by(&database, &database.url(), &[]);
    assert_eq!(on.code, 0, "{}", on.json);
}

#[test]
fn values_of_mariadb_that_h2_cannot_hold_are_named_unless_their_table_stays() {
    let Some(maria) = Maria::new() else { return };
    let database = maria.database(With::Rows);
    database.ask(
        "SET SESSION sql_mode = '';
         CREATE TABLE odd (id int PRIMARY KEY, day date, moment datetime, zoned timestamp NULL, at time, flag tinyint(1),
             fine time, plain datetime, truth tinyint(1), small tinyint);
         INSERT INTO odd VALUES (1, '0000-00-00', '2020-00-10 00:00:00', '0000-00-00 00:00:00', '-00:00:01', 2,
             '23:59:59', '9999-12-31 23:59:59', 1, 7), (2, NULL, NULL, NULL, '24:00:00', NULL, NULL, NULL, NULL, NULL)",
    );
    let found = Found::by(&database, &database.url(), &["--include", "odd"]);
    assert_eq!(found.code, 3, "{}", found.json);
    let messages = found.messages("unholdable_value");
    for column in ["day", "moment", "zoned", "at", "flag"] {
        let start = format!("table odd, column {column} holds ");
        let named = messages
            .iter()
            .filter(|message| message.starts_with(&start))
            .count();
        assert_eq!(named, 1, "{start}: {messages:?}");
    }
    assert_eq!(messages.len(), 5, "{messages:?}");
    let found = Found::by(&database, &database.url(), &["--exclude", "odd"]);
    assert_eq!(found.code, 0, "{}", found.json);
}

#[test]
fn rights_that_are_missing_on_mariadb_are_named() {
    let Some(maria) = Maria::new() else { return };
    let database = maria.database(With::Rows);
    let user = format!("c_{}", database.name);
    maria.client(
        "",
        &format!(
            "CREATE USER {user}; GRANT SELECT, SHOW VIEW ON {0}.* TO {user};
             GRANT INSERT, UPDATE ON {0}.cloud_migration TO {user}",
            database.name
        ),
    );
    let (_, place) = maria.server.split_once('@').unwrap();
    let url = format!("mysql://{user}@{place}/{}", database.name);
    let before = database.tables();
    let found = Found::by(&database, &url, &[]);
    let enforced = Found::by(&database, &url, &["--read-only", "enforced"]);
    // By a role it may all of it.
    let role = format!("r_{}", database.name);
    maria.client(
        "",
        &format!(
            "CREATE ROLE {role}; GRANT ALL ON {}.* TO {role}; GRANT {role} TO {user}; SET DEFAULT ROLE {role} FOR {user}",
            database.name
        ),
    );
    let allowed = Found::by(&database, &url, &["--read-only", "enforced"]);
    maria.client("", &format!("DROP USER {user}; DROP ROLE {role}"));
    assert_eq!(found.code, 3, "{}", found.json);
    let messages = found.messages("right_missing");
    for (table, rights) in [
        ("setting", "INSERT, UPDATE, DELETE"),
        ("qrtz_triggers", "UPDATE"),
        ("qrtz_paused_trigger_grps", "INSERT, DELETE"),
        ("qrtz_locks", "INSERT, UPDATE"),
    ] {
        let start = format!("this user may not {rights} on table {table}; GRANT {rights} ON {table}");
        assert!(
            messages.iter().any(|message| message.starts_with(&start)),
            "{start}: {messages:?}"
        );
    }
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!(found.messages("own_tables").len(), 1, "{}", found.json);
    let strength = enforced.messages("read_only_strength");
    assert!(
        matches!(strength.as_slice(), [one] if one.contains("GRANT TRIGGER")),
        "{strength:?}"
    );
    assert_eq!(allowed.code, 0, "{}", allowed.json);
    assert_eq!(database.tables(), before);
}

/// Such a user lost all views with no more than a line in the log.
#[test]
fn views_whose_queries_a_user_of_mariadb_is_not_shown_are_named_with_the_right_that_is_wanted() {
    let Some(maria) = Maria::new() else { return };
    let database = maria.database(With::Rows);
    let user = format!("v_{}", database.name);
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, LOCK TABLES";
    maria.client(
        "",
        &format!(
            "CREATE USER {user}; GRANT {rights} ON {}.* TO {user}",
            database.name
        ),
    );
    let (_, place) = maria.server.split_once('@').unwrap();
    let url = format!("mysql://{user}@{place}/{}", database.name);
    let hidden = Found::by(&database, &url, &[]);
    let dump = |name: &str| {
        let file = maria.folder.path().join(name);
        done(&metaferry(&[
            "--json",
            "dump",
            "--from",
            &url,
            "--to",
            file.to_str().unwrap(),
        ]))["notes"]
            .clone()
    };
    let notes_of_hidden = dump("hidden.mv.db");
    let wanted = format!("GRANT SHOW VIEW ON `{}`.* to", database.name);
    maria.client("", &format!("{wanted} {user}"));
    let shown = Found::by(&database, &url, &[]);
    let notes_of_shown = dump("shown.mv.db");
    maria.client("", &format!("DROP USER {user}"));

    assert_eq!(hidden.code, 3, "{}", hidden.json);
    let [message] = hidden.messages("view_hidden").try_into().unwrap();
    assert!(
        message.contains("v_alerts, v_audit_log, ") && message.contains(&wanted),
        "{message}"
    );
    let named = |notes: &Value| {
        let mut notes = notes
            .as_array()
            .unwrap()
            .iter()
            .map(|note| note.as_str().unwrap());
        notes.any(|note| note.contains("v_alerts, v_audit_log, ") && note.contains(&wanted))
    };
    assert!(named(&notes_of_hidden), "{notes_of_hidden}");
    assert_eq!(shown.code, 0, "{}", shown.json);
    assert!(!named(&notes_of_shown), "{notes_of_shown}");
}
