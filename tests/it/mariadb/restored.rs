//! `restore` into MariaDB: a database of its own by a name template, gone again if the dump does not arrive.

use super::Maria;
use crate::app_db::{AppDb, metaferry, told};

#[test]
fn a_dump_is_restored_into_a_mariadb_database_made_for_it() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let prefix = format!("metaferry_r_{}_", std::process::id());
    let template = format!("{}/{prefix}{{date}}_{{id}}", maria.server);
    let restore = |to: &str| metaferry(&["--json", "restore", "--from", file.to_str().unwrap(), "--to", to]);
    let restored = restore(&template);
    assert_eq!(restored.status.code(), Some(0), "{}", told(&restored));
    let made = databases(&maria, &prefix);
    let [name] = made.as_slice() else {
        panic!("{made:?}")
    };
    let seen = maria.client(
        name,
        "SELECT count(*) > 10 FROM core_user; SELECT count(*) FROM v_users",
    );
    assert_eq!(seen[0], "1");
    let again = restore(&format!("{}/{name}", maria.server));
    maria.client("", &format!("DROP DATABASE {name}"));
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));
    assert!(told(&again).contains(name.as_str()), "{}", told(&again));

    // A user of the name that a child refers to is taken away.
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
    let failed = restore(&template);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert_eq!(databases(&maria, &prefix), [""; 0]);
}

fn databases(maria: &Maria, prefix: &str) -> Vec<String> {
    maria.client(
        "",
        &format!(
            "SELECT schema_name FROM information_schema.schemata WHERE left(schema_name, {}) = '{prefix}'",
            prefix.len()
        ),
    )
}
