//! Slips of a nervous hand, and what must not be passed over.

use super::{copy, load_into};
use crate::app_db::{AppDb, metaferry, psql, told};
use crate::mariadb::{Maria, With};

fn verify(left: &str, right: &str, options: &[&str]) -> (String, Option<i32>) {
    let arguments = [&["verify", "--left", left, "--right", right], options].concat();
    let output = metaferry(&arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said + &told(&output), output.status.code())
}

#[test]
fn a_copy_of_an_app_db_onto_itself_is_refused() {
    let (Some(app_db), Some(maria)) = (AppDb::load(), Maria::new()) else {
        return;
    };
    let counted = "SELECT count(*) FROM query_execution";
    let before = psql(&app_db.url, counted);
    let by_another_name = app_db.url.replace("127.0.0.1", "localhost");
    for to in [&app_db.url, &by_another_name] {
        let refused = copy(&app_db.url, to, &["--force"]);
        assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
        assert!(told(&refused).contains("the app DB itself"), "{}", told(&refused));
    }
    assert_eq!(psql(&app_db.url, counted), before);

    let database = maria.database(With::Rows);
    let before = database.ask(counted);
    assert_ne!(before, ["0"]);
    let refused = copy(&database.url(), &database.url(), &["--force"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert_eq!(database.ask(counted), before);
}

#[test]
fn a_link_to_the_app_db_is_the_app_db() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let link = app_db.folder.path().join("link.mv.db");
    std::fs::hard_link(&file, &link).unwrap();
    let from = format!("h2:{}", file.display());
    let refused = copy(&from, &format!("h2:{}", link.display()), &["--force"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
}

/// `citext` is trusted: who owns a database may make it there, but what it holds belongs to the server.
#[test]
fn who_owns_an_empty_database_may_fill_it() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.empty_beside();
    let role = format!("{}_owner", target.database);
    psql(
        &target.url,
        &format!(
            "CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}",
            target.database
        ),
    );
    let (_, host) = target.url.split_once('@').unwrap();
    let url = format!("postgres://{role}@{host}");
    let loaded = load_into(&app_db.h2_fixture(), &url, &[]);
    assert_eq!(loaded.status.code(), Some(0), "{}", told(&loaded));
    assert_eq!(
        psql(
            &target.url,
            "SELECT n.nspname || ': ' || obj_description(e.oid, 'pg_extension') FROM pg_extension e
             JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'citext'"
        ),
        "public: data type for case-insensitive character strings"
    );
    psql(
        &app_db.url,
        &format!("DROP DATABASE {} WITH (FORCE)", target.database),
    );
    psql(&app_db.url, &format!("DROP ROLE {role}"));
}

#[test]
fn a_column_of_another_name_or_a_missing_table_is_a_difference() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = app_db.empty_beside();
    let loaded = load_into(&file, &target.url, &[]);
    assert_eq!(loaded.status.code(), Some(0), "{}", told(&loaded));
    let left = format!("h2:{}", file.display());
    let (text, code) = verify(&left, &target.url, &[]);
    assert_eq!(code, Some(0), "{text}");
    psql(
        &target.url,
        "ALTER TABLE metabase_database RENAME name TO nam; DROP TABLE label CASCADE",
    );
    let (text, code) = verify(&left, &target.url, &[]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("only left has column name; only right has column nam"),
        "{text}"
    );
    assert!(!text.contains("label"), "{text}");
    let (text, code) = verify(&left, &target.url, &["--raw"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("label: left 0 rows"), "{text}");

    let (one, other) = (app_db.empty_beside(), app_db.empty_beside());
    let (text, code) = verify(&one.url, &other.url, &["--raw"]);
    assert_eq!(code, Some(3), "{text}");
}

#[test]
fn a_row_that_is_refused_is_what_is_told() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = app_db.set_up_beside();
    psql(
        &target.url,
        "ALTER TABLE model_index_value ALTER COLUMN name TYPE varchar(1) USING left(name, 1)",
    );
    let refused = load_into(&file, &target.url, &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("model_index_value"), "{}", told(&refused));
    assert!(!told(&refused).contains("has ended"), "{}", told(&refused));

    let target = app_db.set_up_beside();
    psql(
        &target.url,
        "ALTER TABLE core_user ADD CONSTRAINT nobody CHECK (password IS NULL) NOT VALID",
    );
    let hash = psql(
        &app_db.url,
        "SELECT password FROM core_user WHERE password IS NOT NULL ORDER BY id LIMIT 1",
    );
    let refused = copy(&app_db.url, &target.url, &[]);
    assert!(
        told(&refused).contains("check constraint \"nobody\""),
        "{}",
        told(&refused)
    );
    assert!(!hash.is_empty() && !told(&refused).contains(&hash), "{hash}");
}

#[test]
fn what_stands_beside_a_set_up_target_is_left_alone() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = app_db.set_up_beside();
    psql(
        &target.url,
        "CREATE TABLE own_archive () INHERITS (audit_log);
         INSERT INTO own_archive (id, topic, timestamp, details) VALUES (1, 'x', now(), '{}')",
    );
    let refused = load_into(&file, &target.url, &[]);
    assert_ne!(refused.status.code(), Some(0), "{}", told(&refused));
    assert!(told(&refused).contains("own_archive"), "{}", told(&refused));
    assert_eq!(psql(&target.url, "SELECT count(*) FROM own_archive"), "1");
    psql(
        &target.url,
        "DROP TABLE own_archive; CREATE TABLE ruled (id int);
         CREATE RULE noted AS ON INSERT TO timeline_event DO ALSO INSERT INTO ruled VALUES (new.id)",
    );
    let loaded = load_into(&file, &target.url, &[]);
    assert_eq!(loaded.status.code(), Some(0), "{}", told(&loaded));
    assert_ne!(psql(&target.url, "SELECT count(*) FROM timeline_event"), "0");
    assert_eq!(psql(&target.url, "SELECT count(*) FROM ruled"), "0");
}

#[test]
fn what_a_server_quotes_of_parameters_is_not_shown() {
    let Some(app_db) = AppDb::load() else { return };
    let source = app_db.empty_beside();
    psql(
        &source.url,
        "CREATE TABLE core_user (id int PRIMARY KEY, email text, password text, is_superuser bool, is_active bool);
         CREATE TABLE timeline (id int PRIMARY KEY, name text, description text);
         INSERT INTO timeline VALUES (1, 'secretive', 'x'), (2, 'y', U&'\\05D3')",
    );
    let (server, name) = app_db.url.rsplit_once('/').unwrap();
    let target = format!("{name}_latin");
    // It has letters for few names.
    psql(
        &app_db.url,
        &format!("CREATE DATABASE {target} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"),
    );
    psql(
        &app_db.url,
        &format!("ALTER DATABASE {target} SET log_parameter_max_length_on_error = -1"),
    );
    let copied = copy(&source.url, &format!("{server}/{target}"), &[]);
    psql(&app_db.url, &format!("DROP DATABASE {target} WITH (FORCE)"));
    assert_ne!(copied.status.code(), Some(0), "{}", told(&copied));
    // What COPY says of it.
    assert!(
        told(&copied).contains("COPY timeline, line 2"),
        "{}",
        told(&copied)
    );
    assert!(!told(&copied).contains("secretive"), "{}", told(&copied));
}

#[test]
fn a_template_that_cannot_be_filled_in_shows_no_password() {
    let output = metaferry(&[
        "restore",
        "--from",
        "dump.mv.db",
        "--to",
        "mysql://ferry:s3{cret@127.0.0.1:1/rs_{nonsense}",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("rs_{nonsense}"), "{}", told(&output));
    assert!(!told(&output).contains("cret"), "{}", told(&output));
    for command in ["load", "restore"] {
        let from = "postgres://ferry:s3cret@127.0.0.1:1/metabase";
        let output = metaferry(&[command, "--from", from, "--to", "mysql://127.0.0.1:1/target"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(!told(&output).contains("cret"), "{}", told(&output));
    }
}

#[test]
fn a_cipher_that_cannot_be_kept_is_refused() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let to = format!("h2:{};CIPHER=AES", app_db.folder.path().join("secret").display());
    let from = format!("h2:{}", file.display());
    for command in ["copy", "restore"] {
        let from = if command == "copy" {
            from.as_str()
        } else {
            file.to_str().unwrap()
        };
        let output = metaferry(&["--json", command, "--from", from, "--to", &to]);
        let code = output.status.code();
        assert_eq!(code, Some(2), "{}", told(&output));
        assert!(told(&output).contains("CIPHER"), "{}", told(&output));
    }
    assert!(!app_db.folder.path().join("secret.mv.db").exists());
}
