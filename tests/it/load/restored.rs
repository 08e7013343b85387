//! `restore`: a database of its own by a name template, gone again if the dump does not arrive.

use crate::app_db::{AppDb, metaferry, psql, told};

#[test]
fn a_dump_is_restored_into_a_database_made_for_it() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let (server, _) = app_db.url.rsplit_once('/').unwrap();
    let prefix = format!("{}_r_", app_db.database);
    let template = format!("{server}/{prefix}{{date}}_{{id}}");
    let restored = metaferry(&[
        "--json",
        "restore",
        "--from",
        file.to_str().unwrap(),
        "--to",
        &template,
    ]);
    assert_eq!(restored.status.code(), Some(0), "{}", told(&restored));
    let made = databases(&app_db, &prefix);
    let [name] = made.as_slice() else {
        panic!("{made:?}");
    };
    let digits = &name[prefix.len()..];
    assert!(digits.len() == 17 && digits.as_bytes()[8] == b'_', "{name}");
    let url = format!("{server}/{name}");
    assert_eq!(psql(&url, "SELECT count(*) > 10 FROM core_user"), "t");

    let again = metaferry(&["restore", "--from", file.to_str().unwrap(), "--to", &url]);
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));
    assert!(told(&again).contains(name.as_str()), "{}", told(&again));
    psql(&app_db.url, &format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn what_cannot_be_restored_leaves_no_database() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    // A user of the name that a child refers to is taken away: the keys of the new database refuse the rest.
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
    let (server, _) = app_db.url.rsplit_once('/').unwrap();
    let prefix = format!("{}_f_", app_db.database);
    let template = format!("{server}/{prefix}{{id}}");
    let failed = metaferry(&["restore", "--from", file.to_str().unwrap(), "--to", &template]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert!(told(&failed).contains("core_user"), "{}", told(&failed));
    assert_eq!(databases(&app_db, &prefix), [""; 0]);

    let missing = metaferry(&["restore", "--from", "no-such-file", "--to", &template]);
    assert_eq!(missing.status.code(), Some(3), "{}", told(&missing));
    let braces = metaferry(&[
        "restore",
        "--from",
        file.to_str().unwrap(),
        "--to",
        &format!("{server}/x_{{name}}"),
    ]);
    assert_eq!(braces.status.code(), Some(2), "{}", told(&braces));
    assert_eq!(databases(&app_db, &prefix), [""; 0]);
}

fn databases(app_db: &AppDb, prefix: &str) -> Vec<String> {
    let names = psql(
        &app_db.url,
        &format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')"),
    );
    names.lines().map(str::to_owned).collect()
}
