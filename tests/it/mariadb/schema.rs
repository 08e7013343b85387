//! The schema that a load makes of H2's, Postgres' or MariaDB's own, beside the one that Metabase's own migrations make on
//! MariaDB, object by object, as the server's catalogue tells them.

use std::collections::BTreeSet;

use metaferry_test_kit::unlike;

use super::{Database, Maria, With};
use crate::app_db::AppDb;
use crate::load::{copy, done, load_into};

/// What the server's catalogue says.
const FACTS: &str = include_str!("../../../crates/app-db/tests/data/facts_of_mariadb.sql");

fn facts(database: &Database<'_>) -> BTreeSet<String> {
    let collapsed = |fact: String| {
        fact.replace("\\n", " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    database.ask(FACTS).into_iter().map(collapsed).collect()
}

/// The copy beside Metabase's own.
fn compare(maria: &Maria, copy: &Database<'_>, explained: &str) {
    let own = maria.database(With::Schema);
    let unlike = unlike::compare(&facts(&own), &facts(copy), explained);
    assert!(
        unlike.unexplained.is_empty() && unlike.stale.is_empty(),
        "{unlike:#?}"
    );
    // Every change is there, so that Metabase has none to make when it starts, and none has a checksum.
    let missing = format!(
        "SELECT id FROM {}.DATABASECHANGELOG WHERE id NOT IN (SELECT id FROM DATABASECHANGELOG)",
        own.name
    );
    assert_eq!(copy.ask(&missing), [""; 0]);
    let counts = "SELECT count(*) - count(DISTINCT orderexecuted), count(md5sum) FROM DATABASECHANGELOG";
    assert_eq!(copy.ask(counts), ["0\t0"]);
}

#[test]
fn a_schema_from_h2_is_metabases_own_on_mariadb_but_for_what_the_list_explains() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let to = maria.database(With::Nothing);
    let json = done(&load_into(&app_db.h2_fixture(), &to.url(), &[]));
    assert_eq!(
        json["notes"],
        serde_json::json!([]),
        "nothing is left untranslated"
    );
    let explained = include_str!("../../../crates/app-db/tests/data/mysql_from_h2_differences.txt");
    compare(&maria, &to, explained);
}

#[test]
fn a_schema_from_postgres_is_metabases_own_on_mariadb_but_for_what_the_list_explains() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let to = maria.database(With::Nothing);
    done(&copy(&app_db.url, &to.url(), &[]));
    let explained = include_str!("../../../crates/app-db/tests/data/mysql_from_postgres_differences.txt");
    compare(&maria, &to, explained);
}

#[test]
fn a_schema_from_mariadb_is_the_same_to_the_last_object() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Nothing));
    done(&copy(&from.url(), &to.url(), &[]));
    compare(&maria, &to, "");
}
