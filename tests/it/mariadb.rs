//! `dump`, `load`, `copy` and `verify` on MariaDB, on the real binary. What MariaDB holds afterwards is judged by its own
//! `CHECKSUM TABLE`, beside the fixture that its own client loaded.

mod behaviour;
mod check;
mod duplicates;
mod endings;
pub(crate) mod enforced;
mod killed;
mod pairs;
mod refused;
mod restored;
mod schema;
mod server;
mod views;

use std::process::Command;

use crate::app_db::{AppDb, command, ended, listen, metaferry, psql, told};
use crate::load::schema::the_list_explains;
use crate::load::{copy as copy_between, done};

use self::server::url_parts;
pub(crate) use self::server::{Database, Held, Maria, With};

/// Tables that a copy changes or does not touch: details of databases that do not go along, the read-only setting, and
/// the target's own history.
const CHANGED: [&str; 4] = [
    "metabase_database",
    "setting",
    "databasechangelog",
    "databasechangeloglock",
];

/// Names of the tables that a report says were carried.
fn carried(json: &serde_json::Value) -> Vec<String> {
    let tables = json["tables"].as_array().unwrap();
    tables
        .iter()
        .map(|table| table["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn mariadb_to_h2_and_back_holds_the_same_rows() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    // A row that Metabase's own migrations leave, and one that nothing else has.
    to.ask("INSERT INTO permissions_group (name) VALUES ('seeded')");
    let file = maria.folder.path().join("app-db.mv.db");
    let file = file.to_str().unwrap();
    let (dumped, code) = ended(&metaferry(&[
        "--json",
        "dump",
        "--from",
        &from.url(),
        "--to",
        file,
    ]));
    assert_eq!(code, 0, "{dumped}");
    assert_eq!(carried(&dumped).len(), 61);
    assert_eq!(dumped["notes"], serde_json::json!([]));
    let (loaded, code) = ended(&metaferry(&["--json", "load", "--from", file, "--to", &to.url()]));
    assert_eq!(code, 0, "{loaded}");
    let same: Vec<String> = carried(&dumped)
        .into_iter()
        .filter(|table| !CHANGED.contains(&table.as_str()))
        .collect();
    assert!(same.len() > 55, "{same:?}");
    assert_eq!(to.checksums(&same), from.checksums(&same));
    let verified = metaferry(&["verify", "--left", &from.url(), "--right", &to.url()]);
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    // Whoever comes next gets a key of his own.
    assert_eq!(
        to.ask("INSERT INTO core_user (email, password) VALUES ('new@example.org', 'x'); SELECT last_insert_id() > 13371338"),
        ["1"]
    );
}

#[test]
fn postgres_and_mariadb_hold_the_same_and_copies_of_each_other() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let (rows, to) = (maria.database(With::Rows), maria.database(With::Schema));
    let (same, code) = ended(&metaferry(&[
        "--json",
        "verify",
        "--raw",
        "--left",
        &postgres.url,
        "--right",
        &rows.url(),
    ]));
    let unequal: Vec<&str> = same["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["equal"] != true)
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (unequal, code),
        (vec!["databasechangelog"], 4),
        "each has its own history"
    );

    let (copied, code) = ended(&metaferry(&[
        "--json",
        "copy",
        "--from",
        &postgres.url,
        "--to",
        &to.url(),
    ]));
    assert_eq!(code, 0, "{copied}");
    let tables: Vec<String> = carried(&copied)
        .into_iter()
        .filter(|table| !CHANGED.contains(&table.as_str()))
        .collect();
    assert!(tables.len() > 55, "{tables:?}");
    assert_eq!(to.checksums(&tables), rows.checksums(&tables));
}

/// Every difference between what a copy from MariaDB makes and what Metabase's own migrations make on Postgres, with its
/// reason.
const POSTGRES_DIFFERENCES: &str = include_str!("../data/postgres_from_mariadb_differences.txt");

#[test]
fn a_schema_from_mariadb_is_metabases_own_on_postgres_but_for_what_the_list_explains() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let from = maria.database(With::Rows);
    let target = postgres.empty_beside();
    done(&copy_between(&from.url(), &target.url, &[]));
    the_list_explains(&postgres, &target, POSTGRES_DIFFERENCES);
}

#[test]
fn an_empty_postgres_is_filled_from_mariadb_with_every_view() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let from = maria.database(With::Rows);
    let empty = format!("{}_from_mariadb", postgres.database);
    psql(&postgres.url, &format!("CREATE DATABASE {empty}"));
    let to = format!("{}_from_mariadb", postgres.url);
    let (copied, code) = ended(&metaferry(&[
        "--json",
        "copy",
        "--from",
        &from.url(),
        "--to",
        &to,
    ]));
    let verified = metaferry(&["verify", "--left", &from.url(), "--right", &to]);
    let views = "SELECT count(*) FROM pg_views WHERE schemaname = 'public'";
    let seen = [
        views,
        "SELECT count(*) FROM v_alerts",
        "SELECT count(*) FROM v_users",
    ]
    .map(|question| psql(&to, question));
    psql(&postgres.url, &format!("DROP DATABASE {empty} WITH (FORCE)"));
    assert_eq!(code, 0, "{copied}");
    assert_eq!(copied["notes"], serde_json::json!([]), "nothing is left out");
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    assert_eq!(seen[0], "13");
    for (seen, view) in seen[1..].iter().zip(["v_alerts", "v_users"]) {
        let here = from.ask(&format!("SELECT count(*) FROM {view}"));
        assert_eq!([seen.clone()].to_vec(), here, "{view}");
    }
}

#[test]
fn texts_of_every_kind_come_through_whatever_the_servers_mode() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    from.ask(
        r#"UPDATE setting SET value = concat('it''s \\ "', char(0), char(10), char(26), ' % _ 😀 \'') WHERE `key` =
             (SELECT * FROM (SELECT min(`key`) FROM setting) first);
           UPDATE report_card SET description = repeat('0123456789abcde\'', 200000) WHERE id = 1"#,
    );
    let mode = Mode::set(&maria, "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT");
    let copied = metaferry(&["copy", "--from", &from.url(), "--to", &to.url()]);
    drop(mode);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    let tables = ["setting", "report_card"].map(str::to_owned);
    let sums = |database: &Database<'_>| {
        let texts =
            "SELECT md5(group_concat(value ORDER BY `key`)) FROM setting WHERE `key` <> 'read-only-mode'";
        [database.ask(texts), database.checksums(&tables[1..])].concat()
    };
    assert_eq!(sums(&to), sums(&from));
}

/// The whole server's mode, as it was before once this is dropped: also by a panic.
struct Mode<'a> {
    maria: &'a Maria,
    before: String,
}

impl<'a> Mode<'a> {
    fn set(maria: &'a Maria, mode: &str) -> Self {
        let before = maria.client("", "SELECT @@GLOBAL.sql_mode").concat();
        let mode_before = Self { maria, before };
        maria.client("", &format!("SET GLOBAL sql_mode = '{mode}'"));
        mode_before
    }
}

impl Drop for Mode<'_> {
    fn drop(&mut self) {
        let restored = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .args(["--execute", &format!("SET GLOBAL sql_mode = '{}'", self.before)])
            .output();
        assert!(std::thread::panicking() || restored.is_ok_and(|restored| restored.status.success()));
    }
}

#[test]
fn a_mariadb_app_db_is_migrated_and_left_as_it_was() {
    let Some(maria) = Maria::new() else { return };
    let from = maria.database(With::Rows);
    from.ask(
        "UPDATE setting SET value = 'false' WHERE `key` = 'read-only-mode';
         UPDATE setting SET value = '2026-01-01 00:00:00' WHERE `key` = 'settings-last-updated';
         DELETE FROM QRTZ_FIRED_TRIGGERS",
    );
    let looks = "SELECT trigger_name, trigger_state FROM QRTZ_TRIGGERS ORDER BY 1, 2;
         SELECT value FROM setting WHERE `key` = 'read-only-mode'; SELECT * FROM QRTZ_PAUSED_TRIGGER_GRPS";
    let before = from.ask(looks);
    let data = maria.folder.path().join("store");
    let (_store, store) = listen(
        command().arg("store").arg("--data").arg(data),
        &maria.folder.path().join("store.log"),
    );
    let url = url_parts(&from);
    let migrated = command()
        .args(["--json", "migrate", "--yes"])
        .env("MB_DB_TYPE", "mysql")
        .envs(url)
        .env("MB_STORE_API_URL", store)
        .env("METAFERRY_DATA_DIR", maria.folder.path().join("data"))
        .env("METAFERRY_METABASE_VERSION", "v0.55.3")
        .output()
        .unwrap();
    let (json, code) = ended(&migrated);
    assert_eq!(code, 0, "{}", told(&migrated));
    assert_eq!(carried(&json).len(), 61);
    assert_eq!(from.ask(looks), before);
    assert_eq!(
        from.ask("SELECT state, progress FROM cloud_migration ORDER BY id DESC LIMIT 1"),
        ["done\t100"]
    );
    // Two switches of the setting, each a second later than what was there.
    assert_eq!(
        from.ask("SELECT value FROM setting WHERE `key` = 'settings-last-updated'"),
        ["2026-01-01 00:00:02"]
    );
}
