//! What MariaDB cannot have or must not lose: refused, named, or left out where asked.

use super::{Database, Maria, With};
use crate::app_db::{AppDb, metaferry, psql, told};
use crate::load::{copy as copy_between, done};

/// A name, a generated column or a table without columns that MySQL cannot have made the whole copy impossible.
#[test]
fn somebodys_table_that_mariadb_cannot_have_is_left_out_where_asked() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let long = "l".repeat(63);
    psql(
        &postgres.url,
        &format!(
            "CREATE TABLE nothing_in_it ();
             CREATE TABLE odd (id int PRIMARY KEY, total text GENERATED ALWAYS AS (to_hex(id)) STORED);
             INSERT INTO odd VALUES (1);
             CREATE TABLE of_odd (id int PRIMARY KEY, odd int REFERENCES odd, at timestamptz);
             INSERT INTO of_odd VALUES (7, 1, '2037-01-01 00:00:00+00');
             CREATE VIEW seen AS SELECT of_odd.id, odd.total FROM of_odd JOIN odd ON odd.id = of_odd.odd;
             CREATE VIEW {long} AS SELECT id FROM seen"
        ),
    );
    let to = maria.database(With::Nothing);
    let excluding = |names: &[&str]| {
        let options: Vec<&str> = names.iter().flat_map(|name| ["--exclude", *name]).collect();
        copy_between(&postgres.url, &to.url(), &options)
    };
    let refused = excluding(&["nothing_in_it"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("odd, column total"), "{}", told(&refused));
    assert_eq!(to.tables(), [""; 0]);
    let copied = done(&excluding(&["nothing_in_it", "odd"]));
    for note in [
        "foreign key of_odd_odd_fkey of table of_odd is left out with table odd".to_owned(),
        "view seen is left out with odd".to_owned(),
        format!("view {long} is left out with seen"),
    ] {
        assert!(
            copied["notes"]
                .as_array()
                .unwrap()
                .contains(&note.as_str().into()),
            "{copied}"
        );
    }
    assert_eq!(to.ask("SELECT id, odd IS NULL FROM of_odd"), ["7\t1"]);
    let there = to.tables();
    assert!(!there.contains(&"odd".to_owned()), "{there:?}");
    assert!(there.contains(&"report_card".to_owned()), "{there:?}");
    // An empty Postgres likewise.
    let empty = postgres.empty_beside();
    done(&copy_between(&postgres.url, &empty.url, &["--exclude", "odd"]));
    assert_eq!(psql(&empty.url, "SELECT count(*) FROM of_odd"), "1");
    assert_eq!(
        psql(&empty.url, "SELECT coalesce(to_regclass('odd')::text, '')"),
        ""
    );
}

/// The server said so itself, of a table by a name that nobody knows.
#[test]
fn moments_that_mariadb_has_no_timestamp_for_are_named_with_their_row() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    for with in [With::Nothing, With::Schema] {
        let to = maria.database(with);
        let given = |moment: &str| {
            let update = format!("UPDATE report_card SET created_at = '{moment}' WHERE id = 3");
            psql(&postgres.url, &update);
            copy_between(&postgres.url, &to.url(), &["--force"])
        };
        // In one transaction another table may be the first to say that the session has ended.
        let refused = match with {
            With::Nothing => &["2038-01-19 03:14:08+00", "1970-01-01 00:00:00+00"][..],
            With::Schema | With::Rows => &[],
        };
        for beyond in refused {
            let refused = given(beyond);
            assert_ne!(refused.status.code(), Some(0), "{beyond}");
            let said = told(&refused);
            let named = format!(
                "table report_card, column created_at, row id = 3: {}",
                &beyond[..19]
            );
            assert!(said.contains(&named), "{said}");
        }
        for (within, shown) in [
            ("2038-01-19 03:14:07+00", "2147483647"),
            ("1970-01-01 00:00:01+00", "1"),
        ] {
            done(&given(within));
            let seconds = to.ask("SELECT floor(unix_timestamp(created_at)) FROM report_card WHERE id = 3");
            assert_eq!(seconds, [shown], "{within}");
        }
    }
}

#[test]
fn what_must_not_be_overwritten_or_cannot_hold_is_refused_and_stays() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    let copy = |to: &Database<'_>, more: &[&str]| {
        let (from, to) = (from.url(), to.url());
        let arguments = [&["copy", "--from", &from, "--to", &to][..], more].concat();
        metaferry(&arguments)
    };
    let refused = |to: &Database<'_>, code: i32, says: &str| {
        let tables = to.tables();
        let before = to.checksums(&tables);
        let ended = copy(to, &[]);
        assert_eq!(ended.status.code(), Some(code), "{}", told(&ended));
        assert!(told(&ended).contains(says), "{says}: {}", told(&ended));
        assert_eq!(to.checksums(&tables), before, "{says}");
    };

    to.ask("ALTER TABLE report_card CONVERT TO CHARACTER SET utf8mb3");
    refused(&to, 3, "report_card (utf8mb3)");
    to.ask("ALTER TABLE report_card CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci");

    to.ask("ALTER TABLE report_card DROP COLUMN card_schema");
    refused(&to, 3, "report_card (card_schema)");
    to.ask("ALTER TABLE report_card ADD COLUMN card_schema int NOT NULL DEFAULT 20");

    // Rows that break a key are seen before anybody else sees them.
    from.ask("SET foreign_key_checks = 0; UPDATE report_card SET creator_id = 4711 WHERE id = 3");
    refused(&to, 1, "fk_card_ref_user_id of table report_card (1 rows");
    from.ask("UPDATE report_card SET creator_id = (SELECT min(id) FROM core_user) WHERE id = 3");

    let copied = copy(&to, &[]);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    refused(&to, 3, "--force");
    let forced = copy(&to, &["--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", told(&forced));

    let strangers = maria.database(With::Nothing);
    strangers.ask("CREATE TABLE somebodys (id int PRIMARY KEY); INSERT INTO somebodys VALUES (1)");
    refused(&strangers, 3, "somebodys");
}
