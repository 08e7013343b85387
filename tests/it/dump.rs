//! `metaferry dump` and `verify` on a Postgres app DB with Metabase's own schema, judged by H2 over JDBC: which rows,
//! tables and views the file has, what can be done with it, and what a dump that is refused leaves behind.

mod app_db;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use app_db::{AppDb, ended, metaferry, psql, told};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// In the order of the canonical form; generated columns are no part of it.
const COLUMNS: &str = "SELECT TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS
    WHERE TABLE_SCHEMA = 'PUBLIC' AND IS_GENERATED = 'NEVER' ORDER BY TABLE_NAME, LOWER(COLUMN_NAME)";
const TABLES: &str =
    "SELECT TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'PUBLIC'";
/// Liquibase's tables: the fixture's expected rows are without them.
const CHANGELOG: [&str; 2] = ["databasechangelog", "databasechangeloglock"];

#[test]
fn h2_shows_every_row_table_and_view_of_the_dump() {
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

    let expected = std::fs::read(app_db.fixtures.join("expected-s001-h2.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let expected = expected["tables"].as_object().unwrap();
    assert_eq!(expected.len(), 92);
    let (tables, views, rows) = contents(&app_db);
    assert_eq!((tables.len(), views.len()), (94, 13));
    for (table, wanted) in expected {
        let mut found = rows[table].clone();
        assert_eq!(wanted["rows"], found.len(), "rows of {table}");
        found.sort_unstable();
        let mut hash = Sha256::new();
        for row in found {
            hash.update(row + "\n");
        }
        assert_eq!(
            wanted["sha256"],
            hex::encode(hash.finalize()),
            "content of {table}"
        );
    }
    for table in CHANGELOG {
        assert!(tables.contains(table) && !rows[table].is_empty(), "{table}");
    }
    for report in carried {
        let name = report["name"].as_str().unwrap();
        assert_eq!(report["rows"], rows[name].len(), "reported rows of {name}");
    }
}

/// Tables and views by lower-case name, and the rows of both in canonical form.
fn contents(app_db: &AppDb) -> (BTreeSet<String>, BTreeSet<String>, BTreeMap<String, Vec<String>>) {
    let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url("app-db"));
    let mut catalogue = app_db.java(&h2, &[("tables", TABLES), ("columns", &one_line(COLUMNS))]);
    let (mut tables, mut views) = (BTreeSet::new(), BTreeSet::new());
    for line in &catalogue.remove("tables").unwrap() {
        match line.split_once('\t').unwrap() {
            (name, "VIEW") => views.insert(name.to_lowercase()),
            (name, _) => tables.insert(name.to_lowercase()),
        };
    }
    let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in &catalogue["columns"] {
        let (table, column) = line.split_once('\t').unwrap();
        columns.entry(table).or_default().push(format!("\"{column}\""));
    }
    let queries: Vec<(String, String)> = columns
        .iter()
        .map(|(name, columns)| {
            let sql = format!("SELECT {} FROM \"{name}\"", columns.join(", "));
            (name.to_lowercase(), sql)
        })
        .collect();
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let rows = app_db.java(&h2, &queries);
    for (name, rows) in &rows {
        let refused = rows.iter().find(|row| row.starts_with("!ERROR"));
        assert_eq!(refused, None, "{name}");
    }
    for view in &views {
        assert!(rows.contains_key(view), "{view} has no columns");
    }
    (tables, views, rows)
}

#[test]
fn verify_finds_the_one_row_that_has_changed() {
    let Some(app_db) = AppDb::load() else { return };
    app_db.dump_to(&app_db.file());
    let right = format!("h2:{}", app_db.file().display());
    let verify = || metaferry(&["--json", "verify", "--left", &app_db.url, "--right", &right]);
    let (json, code) = ended(&verify());
    assert_eq!((code, &json["equal"]), (0, &Value::Bool(true)), "{json}");
    assert_eq!(json["tables"].as_array().unwrap().len(), 61);

    psql(
        &app_db.url,
        "UPDATE report_card SET name = name || '.' WHERE id = (SELECT min(id) FROM report_card)",
    );
    let (json, code) = ended(&verify());
    assert_eq!((code, &json["equal"]), (4, &Value::Bool(false)), "{json}");
    let differing: Vec<&str> = json["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["equal"] != true)
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(differing, ["report_card"]);
}

#[test]
fn h2_goes_on_with_the_file() {
    let Some(app_db) = AppDb::load() else { return };
    app_db.dump_to(&app_db.file());
    // What the fixture has is not taken for granted: a group with members.
    let highest: i64 = psql(&app_db.url, "SELECT max(id) FROM permissions_group")
        .parse()
        .unwrap();
    let members = psql(
        &app_db.url,
        "SELECT count(*) FROM permissions_group_membership WHERE group_id = 1",
    );
    assert_ne!(members, "0", "a cascade must have something to delete");
    let h2 = app_db.h2_url("app-db");
    let answers = app_db.java(
        &h2,
        &[
            (
                "insert",
                "INSERT INTO PERMISSIONS_GROUP (NAME) VALUES ('new group')",
            ),
            ("inserted", "SELECT ID FROM PERMISSIONS_GROUP WHERE NAME = 'new group'"),
            (
                "unique",
                "INSERT INTO PERMISSIONS_GROUP (NAME) VALUES ('new group')",
            ),
            (
                "foreign key",
                "INSERT INTO PERMISSIONS_GROUP_MEMBERSHIP (USER_ID, GROUP_ID) VALUES ((SELECT MIN(ID) FROM CORE_USER), 987654)",
            ),
            (
                "before",
                "SELECT COUNT(*) FROM PERMISSIONS_GROUP_MEMBERSHIP WHERE GROUP_ID = 1",
            ),
            ("delete", "DELETE FROM PERMISSIONS_GROUP WHERE ID = 1"),
            ("after", "SELECT COUNT(*) FROM PERMISSIONS_GROUP_MEMBERSHIP WHERE GROUP_ID = 1"),
            (
                "update",
                "UPDATE PERMISSIONS_GROUP SET IS_TENANT_GROUP = TRUE WHERE NAME = 'new group'",
            ),
            ("shutdown", "SHUTDOWN DEFRAG"),
        ],
    );
    assert_eq!(answers["inserted"], [(highest + 1).to_string()]);
    assert_eq!(answers["before"], [members]);
    assert_eq!(answers["after"], ["0"]);
    // Codes of H2's: a unique index or primary key, and a parent that is missing.
    for (what, code) in [("unique", "23505"), ("foreign key", "23506")] {
        let answer = answers[what].join("\n");
        assert!(
            answer.starts_with("!ERROR") && answer.contains(code),
            "{what}: {answer}"
        );
    }
    for done in ["insert", "delete", "update", "shutdown"] {
        assert!(answers[done].is_empty(), "{done}: {:?}", answers[done]);
    }

    let again = app_db.java(
        &h2,
        &[
            (
                "group",
                "SELECT ID, IS_TENANT_GROUP FROM PERMISSIONS_GROUP WHERE NAME = 'new group'",
            ),
            ("deleted", "SELECT COUNT(*) FROM PERMISSIONS_GROUP WHERE ID = 1"),
            ("cards", "SELECT COUNT(*) FROM REPORT_CARD"),
        ],
    );
    let cards = psql(&app_db.url, "SELECT count(*) FROM report_card");
    assert_eq!(again["group"], [format!("{}\tt", highest + 1)]);
    assert_eq!((&*again["deleted"][0], &again["cards"][0]), ("0", &cards));

    let recovered = Command::new("java")
        .args(["-ea:org.h2...", "-cp"])
        .arg(&app_db.jar)
        .args(["org.h2.tools.Recover", "-db", "app-db", "-dir"])
        .arg(app_db.folder.path())
        .output()
        .unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{}", told(&recovered));
    let script = std::fs::read_to_string(app_db.folder.path().join("app-db.h2.sql")).unwrap();
    assert!(script.contains("new group"), "what was recovered has the new row");
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
fn a_moment_that_h2_cannot_hold_is_named_and_nothing_is_left() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "CREATE TABLE of_somebody (id integer PRIMARY KEY, moment timestamptz);
         INSERT INTO of_somebody VALUES (1, now()), (2, 'infinity')",
    );
    let ended = app_db.dump(&app_db.file());
    assert!(matches!(ended.status.code(), Some(1 | 3)), "{}", told(&ended));
    for name in ["of_somebody", "moment"] {
        assert!(told(&ended).contains(name), "{name}: {}", told(&ended));
    }
    assert_eq!(app_db.left_behind(), [""; 0]);
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
    let wrong = metaferry(&["dump", "--from", &app_db.url]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    assert!(told(&wrong).contains("--to"), "{}", told(&wrong));
    assert_eq!(app_db.left_behind(), [""; 0]);
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
