//! Tables that Metabase has none of, and that an app DB may have all the same: without any column, and of types that only
//! Postgres has.

use serde_json::Value;

use super::{copy, done, load};
use crate::app_db::{AppDb, metaferry, psql, told};

#[test]
fn a_table_without_any_column_arrives_with_its_rows() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
         INSERT INTO nothing DEFAULT VALUES",
    );
    let rows = |url: &str| psql(url, "SELECT count(*) FROM nothing");
    let copied = app_db.empty_beside();
    let output = copy(&app_db.url, &copied.url, &[]);
    done(&output);
    assert_eq!(rows(&copied.url), "3");
    // A COMMIT that nothing had begun, and more of the kind, was in the log.
    assert!(
        !told(&output).contains("no transaction in progress"),
        "{}",
        told(&output)
    );
    assert!(!told(&output).contains("WARN"), "{}", told(&output));

    let file = app_db.file();
    app_db.dump_to(&file);
    let loaded = app_db.empty_beside();
    let output = load(&file, &loaded, &[]);
    done(&output);
    assert!(!told(&output).contains("WARN"), "{}", told(&output));
    assert_eq!(rows(&loaded.url), "3");

    let set_up = app_db.set_up_beside();
    let refused = load(&file, &set_up, &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("nothing"), "{}", told(&refused));
    psql(&set_up.url, "CREATE TABLE nothing ()");
    done(&load(&file, &set_up, &[]));
    assert_eq!(rows(&set_up.url), "3");
}

/// Values of each, and what Postgres thinks of them, keys and defaults too.
const ODD: &str = "CREATE TYPE mood AS ENUM ('sad', 'it''s fine', 'happy');
    CREATE DOMAIN short AS text CHECK (length(value) < 9);
    CREATE TABLE odd (id integer PRIMARY KEY, numbers integer[] DEFAULT '{1,2}'::integer[] NOT NULL, words character varying(20)[],
        moments timestamp with time zone[], during tstzrange, span int4range UNIQUE, net inet, pause interval, bits bit(3),
        doc xml, found tsvector, mood mood, short short);
    INSERT INTO odd VALUES
        (1, '{3,NULL,-4}', ARRAY['a b', 'c\"d', NULL, ''], ARRAY['2024-02-03 04:05:06.789+00'::timestamptz],
            '[2024-01-01,2024-02-01)', '[1,5)', '10.1.2.0/24', '1 year 2 mons 3 days 04:05:06.7', '101', '<a>b</a>',
            to_tsvector('simple', 'one two'), 'it''s fine', 'brief'),
        (2, '{{1,2},{3,4}}', '{}', NULL, 'empty', '(,9)', '::1', '-1 day', '010', NULL, '', 'happy', NULL);";

fn rows(url: &str) -> String {
    // Compared as each type compares, and as text.
    psql(
        url,
        "SET timezone = 'UTC'; SELECT odd::text, numbers = '{3,NULL,-4}', upper(span), found @@ 'two'::tsquery FROM odd ORDER BY id",
    )
}

fn types(url: &str, but: &str) -> String {
    psql(
        url,
        &format!(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = 'odd'::regclass AND attnum > 0 AND attname NOT IN ({but})"
        ),
    )
}

#[test]
fn columns_of_types_that_only_postgres_has_arrive_as_themselves_in_an_empty_postgres() {
    let Some(app_db) = AppDb::load() else { return };
    psql(&app_db.url, ODD);
    let target = app_db.empty_beside();
    let json = done(&copy(&app_db.url, &target.url, &[]));
    assert_eq!(rows(&target.url), rows(&app_db.url));
    let but = "'mood', 'short'";
    assert_eq!(types(&target.url, but), types(&app_db.url, but));
    assert_eq!(
        psql(&target.url, "INSERT INTO odd (id) VALUES (3) RETURNING numbers"),
        "{1,2}"
    );
    let refused = metaferry(&["copy", "--from", &app_db.url, "--to", &target.url]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    let notes = json["notes"].to_string();
    assert!(notes.contains("table odd, column mood"), "{notes}");
    assert!(!notes.contains("column numbers"), "{notes}");

    // Into H2 they are texts, and each is named.
    let dumped: Value = app_db.dump_to(&app_db.file());
    let notes = dumped["notes"].to_string();
    for column in ["numbers", "during", "net", "doc", "found", "mood"] {
        assert!(
            notes.contains(&format!("table odd, column {column}: ")),
            "{column}: {notes}"
        );
    }
}
