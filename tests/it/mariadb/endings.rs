//! How `load` ends where it does not end well, as scripts see it: 3 where it is refused and nothing was touched, 4 where
//! the target holds something else than was read, 1 where the rows break a key; and all is as it was.

use std::process::Output;

use super::{Database, Maria, With};
use crate::app_db::{AppDb, metaferry, psql, told};
use crate::load::{done, load_into};

/// Tables, views and the rows of all.
fn content(database: &Database<'_>) -> (Vec<String>, Vec<String>) {
    let tables = database.tables();
    let sums = if tables.is_empty() {
        Vec::new()
    } else {
        database.checksums(&tables)
    };
    (tables, sums)
}

/// They fired, and nobody was told what they wrote elsewhere.
fn triggers_are_named_before(refused: &Output) {
    let told = told(refused);
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(
        told.contains("timeline.meddles") && told.contains("--force"),
        "{told}"
    );
}

#[test]
fn what_differs_at_mariadb_ends_with_4_and_is_taken_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let to = maria.database(With::Schema);
    let before = content(&to);
    // Somebody at the target changes what is written.
    to.ask(
        "CREATE TRIGGER meddles BEFORE INSERT ON timeline FOR EACH ROW SET NEW.name = concat(NEW.name, '!')",
    );
    triggers_are_named_before(&load_into(&file, &to.url(), &[]));
    assert_eq!(content(&to), before);
    let differs = load_into(&file, &to.url(), &["--force"]);
    assert_eq!(differs.status.code(), Some(4), "{}", told(&differs));
    assert!(told(&differs).contains("timeline"), "{}", told(&differs));
    assert_eq!(content(&to), before);
    let unread = done(&load_into(&file, &to.url(), &["--force", "--no-verify"]));
    assert!(
        unread["notes"].to_string().contains("timeline.meddles"),
        "{unread}"
    );
    let refused = load_into(&file, &to.url(), &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("--force"), "{}", told(&refused));
}

#[test]
fn what_differs_at_postgres_ends_with_4_and_is_taken_back() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let to = app_db.set_up_beside();
    psql(
        &to.url,
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := NEW.name || ''!''; RETURN NEW; END';
         CREATE TRIGGER meddles BEFORE INSERT ON timeline FOR EACH ROW EXECUTE FUNCTION meddle()",
    );
    triggers_are_named_before(&load_into(&file, &to.url, &[]));
    let differs = load_into(&file, &to.url, &["--force"]);
    assert_eq!(differs.status.code(), Some(4), "{}", told(&differs));
    assert!(told(&differs).contains("timeline"), "{}", told(&differs));
    assert_eq!(psql(&to.url, "SELECT count(*) FROM timeline"), "0");
    assert_eq!(psql(&to.url, "SELECT count(*) FROM core_user"), "1");
}

/// In an empty MariaDB as in one that is set up.
#[test]
fn rows_that_break_a_key_leave_mariadb_as_it_was() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    app_db.java(
        &app_db.h2_url("fixture"),
        &[
            ("off", "SET REFERENTIAL_INTEGRITY FALSE"),
            (
                "gone",
                "DELETE FROM CORE_USER WHERE ID = (SELECT MAX(CREATOR_ID) FROM REPORT_CARD)",
            ),
        ],
    );
    for with in [With::Nothing, With::Schema] {
        let to = maria.database(with);
        let before = content(&to);
        let failed = load_into(&file, &to.url(), &[]);
        assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
        let said = told(&failed);
        assert!(
            said.contains("fk_card_ref_user_id of table report_card")
                || said.contains("without a parent in core_user"),
            "{said}"
        );
        assert_eq!(content(&to), before);
    }
}

/// Keys of sessions are credentials, and the server quotes those that it holds equal.
#[test]
fn a_session_that_mariadb_refuses_is_not_shown() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let refused = || {
        let to = maria.database(With::Nothing);
        let (from, url) = (&app_db.url, to.url());
        let copied = metaferry(&["copy", "--from", from, "--to", &url, "--include", "core_session"]);
        let said = told(&copied);
        assert!(!copied.status.success(), "{said}");
        assert!(!said.to_lowercase().contains("cookie"), "{said}");
        assert!(said.contains("the server's error "), "{said}");
        assert_eq!(to.tables(), [""; 0]);
    };
    let session = "INSERT INTO core_session (id, user_id, created_at, key_hashed) SELECT";
    let user = "min(id), now()";
    // Met where an index is made, then where a row is written.
    psql(
        &app_db.url,
        &format!(
            "CREATE UNIQUE INDEX idx_one ON core_session (key_hashed);
             {session} 'one', {user}, 'a cookie' FROM core_user; {session} 'two', {user}, 'A COOKIE' FROM core_user"
        ),
    );
    refused();
    psql(
        &app_db.url,
        &format!(
            "DELETE FROM core_session WHERE id = 'two'; {session} 'cookie', {user}, 'three' FROM core_user;
             {session} 'Cookie', {user}, 'four' FROM core_user"
        ),
    );
    refused();
}

/// A user of the usual rights, all on its own database and nothing else, fills it.
#[test]
fn a_user_of_one_mariadb_database_fills_it() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let to = maria.database(With::Nothing);
    let user = format!("u_{}", to.name);
    maria.client(
        "",
        &format!("CREATE USER {user}; GRANT ALL ON {}.* TO {user}", to.name),
    );
    let (_, place) = maria.server.split_once('@').unwrap();
    let loaded = load_into(&file, &format!("mysql://{user}@{place}/{}", to.name), &[]);
    maria.client("", &format!("DROP USER {user}"));
    assert_eq!(loaded.status.code(), Some(0), "{}", told(&loaded));
    let (tables, _) = content(&to);
    assert_eq!(tables.len(), 94);
    assert!(
        tables.iter().all(|table| !table.starts_with("metaferry")),
        "{tables:?}"
    );
}
