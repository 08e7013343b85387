//! `metaferry check` on a Postgres app DB with Metabase's own schema: each reason against a migration is named with what
//! to do, and nothing is changed by looking.

use std::process::Output;

use serde_json::Value;

use crate::app_db::{AppDb, ended, psql, told};

/// What `check` found, by code.
struct Found {
    json: Value,
    code: i32,
}

impl Found {
    fn by(app_db: &AppDb, url: &str, arguments: &[&str]) -> Self {
        let data = app_db.folder.path().join("data");
        let output: Output = crate::app_db::command()
            .args(["--json", "check", "--from", url, "--to", "s3://bucket/prefix"])
            .args(arguments)
            .env("METAFERRY_DATA_DIR", data)
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

    fn blockers(&self) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["severity"] == "blocker")
            .map(|finding| finding["code"].as_str().unwrap())
            .collect()
    }
}

#[test]
fn nothing_stands_against_metabases_own_schema() {
    let Some(app_db) = AppDb::load() else { return };
    let found = Found::by(&app_db, &app_db.url, &[]);
    assert_eq!((found.code, found.blockers()), (0, vec![]), "{}", found.json);
    let schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'metaferry'";
    assert_eq!(psql(&app_db.url, schemas), "0", "looking has created something");
}

#[test]
fn values_that_h2_cannot_hold_are_named_unless_their_table_stays() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "CREATE TABLE odd (id integer PRIMARY KEY, day date, at time, zoned timetz, moment timestamptz, amount numeric,
             fine numeric, plain timestamp);
         INSERT INTO odd VALUES (1, '-infinity', '24:00', '24:00+02', 'infinity', 'NaN', 1.5, '9999-12-31 23:59:59')",
    );
    let found = Found::by(&app_db, &app_db.url, &["--include", "odd"]);
    assert_eq!(found.code, 3, "{}", found.json);
    let messages = found.messages("unholdable_value");
    for (column, what) in [
        ("day", "infinity"),
        ("at", "24:00:00"),
        ("zoned", "24:00:00"),
        ("moment", "infinity"),
        ("amount", "NaN"),
    ] {
        let start = format!("table odd, column {column} holds {what}");
        let named = messages
            .iter()
            .filter(|message| message.starts_with(&start))
            .count();
        assert_eq!(named, 1, "{start}: {messages:?}");
    }
    assert_eq!(messages.len(), 5, "{messages:?}");
    assert!(messages[0].contains("--exclude odd"), "{messages:?}");
    let found = Found::by(&app_db, &app_db.url, &["--exclude", "odd"]);
    assert_eq!((found.code, found.blockers()), (0, vec![]), "{}", found.json);
}

#[test]
fn a_flag_that_nodes_could_not_be_told_of_is_found() {
    let Some(app_db) = AppDb::load() else { return };
    let set = |key: &str, value: &str| {
        psql(
            &app_db.url,
            &format!(
                "INSERT INTO setting (key, value) VALUES ('{key}', '{value}') ON CONFLICT (key) DO UPDATE SET value = '{value}'"
            ),
        );
    };
    set("read-only-mode", "false");
    for (told_at, why) in [
        ("the day before", "no time as Metabase writes it on Postgres"),
        ("2999-01-01 00:00:00.123456+00", "in the future"),
    ] {
        set("settings-last-updated", told_at);
        for strength in ["flag", "enforced"] {
            let found = Found::by(&app_db, &app_db.url, &["--read-only", strength]);
            assert_eq!(found.code, 3, "{}", found.json);
            let messages = found.messages("read_only_setting");
            assert!(
                matches!(messages.as_slice(), [one] if one.contains(told_at) && one.contains(why)),
                "{}",
                found.json
            );
        }
        let without = Found::by(&app_db, &app_db.url, &["--read-only", "none"]);
        assert_eq!(without.code, 0, "{}", without.json);
    }
}

#[test]
fn what_cannot_be_translated_is_named() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "CREATE TABLE computed (a text, b int GENERATED ALWAYS AS (length(a)) STORED)",
    );
    let found = Found::by(&app_db, &app_db.url, &["--include", "computed"]);
    assert_eq!(found.code, 3, "{}", found.json);
    let messages = found.messages("untranslatable");
    assert_eq!(messages.len(), 1, "{}", found.json);
    assert!(
        messages[0].starts_with("table computed, column b"),
        "{messages:?}"
    );
}

#[test]
fn rights_that_are_missing_are_named() {
    let Some(app_db) = AppDb::load() else { return };
    let role = format!("{}_reader", app_db.database);
    psql(
        &app_db.url,
        &format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
             GRANT INSERT, UPDATE ON cloud_migration TO {role}"
        ),
    );
    let url = app_db
        .url
        .replacen("postgres://postgres@", &format!("postgres://{role}@"), 1);
    let found = Found::by(&app_db, &url, &["--read-only", "enforced"]);
    psql(&app_db.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
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
    // Whoever does not own a table may not take a trigger away from it again.
    for (code, table) in [
        ("read_only_strength", "does not own"),
        (
            "no_dead_mans_switch",
            "does not own the table qrtz_scheduler_state",
        ),
    ] {
        let messages = found.messages(code);
        assert!(
            messages.len() == 1 && messages[0].contains(table),
            "{code}: {messages:?}"
        );
    }
}

#[test]
fn it_is_asked_as_migrate_is() {
    let Some(app_db) = AppDb::load() else { return };
    let enforced = Found::by(&app_db, &app_db.url, &["--read-only", "enforced"]);
    assert_eq!(
        enforced.messages("read_only_strength").len(),
        0,
        "{}",
        enforced.json
    );
    let unknown = Found::by(&app_db, &app_db.url, &["--exclude", "no_such_table"]);
    assert_eq!(unknown.code, 3, "{}", unknown.json);
    assert!(
        unknown.messages("policy")[0].contains("no_such_table"),
        "{}",
        unknown.json
    );
    psql(&app_db.url, "CREATE TABLE ours (id integer)");
    let warned = Found::by(&app_db, &app_db.url, &[]);
    assert_eq!(warned.messages("unknown_table").len(), 1, "{}", warned.json);
    let decided = Found::by(&app_db, &app_db.url, &["--include", "ours"]);
    assert_eq!(decided.messages("unknown_table").len(), 0, "{}", decided.json);
}
