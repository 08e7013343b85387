//! Rows that Postgres tells apart and MariaDB's keys do not, for there neither case nor accents nor blanks at the end
//! count: they are named before anything is written, whether the target is empty or set up.

use super::{Maria, With};
use crate::app_db::{AppDb, metaferry, psql, told};

#[test]
fn what_mariadb_holds_equal_is_named_before_anything_is_written() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    psql(
        &postgres.url,
        "INSERT INTO setting (key, value) VALUES
             ('berth', '1'), ('Berth', '2'), ('quay-é', '3'), ('quay-E', '4'), ('pier', '5'), ('pier ', '6'),
             ('straße', '7'), ('strasse', '8'), ('dock', '9'), ('docks', '10'), ('jetty-😀', '11'), ('jetty-😁', '12')",
    );
    for with in [With::Nothing, With::Schema] {
        let to = maria.database(with);
        let before = (to.tables(), to.checksums(&["setting".to_owned()]));
        let refused = metaferry(&["copy", "--from", &postgres.url, "--to", &to.url()]);
        assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
        let said = told(&refused);
        for key in ["erth\")", "quay-", "pier", "stra", "jetty-"] {
            assert!(said.contains(key), "{key}: {said}");
        }
        assert!(said.contains("of table setting (key): "), "{said}");
        assert!(!said.contains("dock"), "{said}");
        assert_eq!((to.tables(), to.checksums(&["setting".to_owned()])), before);
    }
    // The server agrees that each of these is one key.
    let judge = maria.database(With::Schema);
    for (first, second) in [
        ("berth", "Berth"),
        ("quay-é", "quay-E"),
        ("pier", "pier "),
        ("straße", "strasse"),
        ("jetty-😀", "jetty-😁"),
    ] {
        let counted = judge.ask(&format!(
            "DELETE FROM setting; INSERT IGNORE INTO setting (`key`, value) VALUES ('{first}', ''), ('{second}', '');
             SELECT count(*) FROM setting"
        ));
        assert_eq!(counted, ["1"], "{first}, {second}");
    }
}

/// Where Metabase tells names apart on MySQL too, nothing is refused.
#[test]
fn fields_of_names_that_differ_in_case_alone_arrive_in_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    psql(
        &postgres.url,
        "UPDATE metabase_field SET name = upper(name) || 'x', parent_id = NULL, table_id = (SELECT min(id) FROM metabase_table)
             WHERE id = (SELECT min(id) FROM metabase_field);
         UPDATE metabase_field SET name = (SELECT lower(name) FROM metabase_field WHERE id = (SELECT min(id) FROM metabase_field)),
             parent_id = NULL, table_id = (SELECT min(id) FROM metabase_table)
             WHERE id = (SELECT min(id) + 1 FROM metabase_field)",
    );
    let to = maria.database(With::Nothing);
    let copied = metaferry(&["copy", "--from", &postgres.url, "--to", &to.url()]);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    assert_eq!(
        to.ask(
            "SELECT count(*), count(DISTINCT lower(name)) FROM metabase_field
             WHERE id <= (SELECT min(id) + 1 FROM metabase_field)"
        ),
        ["2\t1"]
    );
}
