//! Into a database that Metabase has set up: columns by name, seeded rows replaced, what has no place refused by name,
//! keys and sequences as they were; and nothing changed by whatever is refused.

use std::collections::BTreeMap;

use super::schema::facts;
use super::{copy, done, leftovers, load};
use crate::app_db::{AppDb, ended, metaferry, psql, told};
use crate::crossing::rows;
use crate::crossing::shape::Shape;

/// Rows per table and what is in a few of them.
fn content(database: &AppDb) -> String {
    psql(
        &database.url,
        "SELECT string_agg(relname || ' ' || (xpath('/row/c/text()', query_to_xml(
             format('SELECT count(*) AS c FROM public.%I', relname), false, true, '')))[1]::text, ',' ORDER BY relname)
             || (SELECT string_agg(email::text, ',' ORDER BY id) FROM core_user)
             || (SELECT string_agg(value, ',' ORDER BY key) FROM setting)
         FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
}

#[test]
fn rows_replace_what_metabase_seeded_and_the_schema_stays_as_it_was() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = app_db.set_up_beside();
    // Another order, another case, columns and rows of the target's own.
    psql(
        &target.url,
        "SET search_path = public;
         ALTER TABLE label DROP COLUMN icon;
         ALTER TABLE label ADD COLUMN icon varchar(128);
         ALTER TABLE timeline RENAME COLUMN icon TO \"Icon\";
         ALTER TABLE collection ADD COLUMN berth integer NOT NULL DEFAULT 7;
         CREATE TABLE of_the_target (id serial PRIMARY KEY, user_id integer REFERENCES core_user (id) ON DELETE CASCADE);
         INSERT INTO of_the_target (user_id) VALUES (NULL), (13371338);
         INSERT INTO qrtz_locks VALUES ('MetabaseScheduler', 'TRIGGER_ACCESS')",
    );
    let before = facts(&target);
    let history = psql(
        &target.url,
        "SELECT md5(string_agg(d::text, '' ORDER BY id)) FROM databasechangelog d",
    );

    let json = done(&load(&file, &target, &[]));
    assert_eq!(
        facts(&target),
        before,
        "not a key, index or default is another one"
    );
    assert_eq!(
        psql(
            &target.url,
            "SELECT md5(string_agg(d::text, '' ORDER BY id)) FROM databasechangelog d"
        ),
        history
    );
    assert_eq!(psql(&target.url, "SELECT count(*) FROM qrtz_locks"), "1");
    assert_eq!(psql(&target.url, "SELECT count(*) FROM of_the_target"), "2");
    assert_eq!(psql(&target.url, "SELECT DISTINCT berth FROM collection"), "7");
    assert_eq!(
        psql(&target.url, "SELECT count(*) FROM core_user WHERE id = 13371338"),
        "1"
    );
    assert_eq!(
        psql(
            &target.url,
            "SELECT count(*) FROM permissions_group WHERE name = 'All Users'"
        ),
        "1"
    );
    let notes = json["notes"].to_string();
    assert!(notes.contains("collection.berth"), "{notes}");
    let kept: Vec<&str> = json["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["rows"] != 0)
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(kept, ["databasechangelog", "databasechangeloglock"]);

    // Sequences go on after the highest, in every table that has one.
    let behind = psql(
        &target.url,
        "SELECT string_agg(t.relname, ',') FROM pg_class t
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attidentity <> ''
         CROSS JOIN LATERAL (SELECT pg_get_serial_sequence('public.' || quote_ident(t.relname), a.attname) AS name) s
         WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r'
           AND (xpath('/row/n/text()', query_to_xml(format('SELECT last_value + is_called::int AS n FROM %s', s.name),
                false, true, '')))[1]::text::bigint
             <> (xpath('/row/n/text()', query_to_xml(format('SELECT coalesce(max(%I), 0) + 1 AS n FROM public.%I',
                a.attname, t.relname), false, true, '')))[1]::text::bigint",
    );
    assert_eq!(behind, "");
    // Row by row as JDBC reads them, but for the tables that are other ones by now.
    let shape = Shape::of(&app_db, "fixture");
    psql(
        &target.url,
        "SET search_path = public; ALTER TABLE collection DROP COLUMN berth; ALTER TABLE timeline RENAME COLUMN \"Icon\" TO icon",
    );
    let mut found = rows::of_postgres(&target, &shape);
    let in_h2 = rows::of_h2(&app_db, "fixture", &shape);
    for kept in ["databasechangelog", "databasechangeloglock", "qrtz_locks"] {
        found.remove(kept);
    }
    let wanted: BTreeMap<_, _> = in_h2
        .into_iter()
        .filter(|(table, _)| found.contains_key(table))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn users_are_replaced_only_by_force() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = app_db.set_up_beside();
    done(&load(&file, &target, &[]));
    psql(&target.url, "UPDATE core_user SET first_name = 'Somebody'");
    let before = content(&target);
    let refused = load(&file, &target, &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("--force"), "{}", told(&refused));
    assert_eq!(content(&target), before);
    assert_eq!(
        psql(&target.url, "SELECT DISTINCT first_name FROM core_user"),
        "Somebody"
    );
    done(&load(&file, &target, &["--force"]));
    assert_ne!(
        psql(&target.url, "SELECT min(first_name) FROM core_user"),
        "Somebody"
    );

    let strange = app_db.empty_beside();
    psql(&strange.url, "CREATE TABLE of_somebody (id integer)");
    let refused = load(&file, &strange, &["--force"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("of_somebody"), "{}", told(&refused));
}

#[test]
fn what_has_no_place_is_refused_by_name_or_left_behind() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "SET search_path = public;
         ALTER TABLE collection ADD COLUMN depth_m integer DEFAULT 3;
         CREATE TABLE of_the_source (id integer PRIMARY KEY);
         INSERT INTO of_the_source VALUES (1)",
    );
    let target = app_db.set_up_beside();
    let before = content(&target);
    let refused = copy(&app_db.url, &target.url, &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    for name in ["collection", "depth_m", "of_the_source", "--drop-unknown"] {
        assert!(told(&refused).contains(name), "{name}: {}", told(&refused));
    }
    assert_eq!(content(&target), before);

    let json = done(&copy(&app_db.url, &target.url, &["--drop-unknown"]));
    assert!(json["notes"].to_string().contains("depth_m"), "{}", json["notes"]);
    assert!(
        json["left_out"].as_array().unwrap().iter().any(|table| {
            table["name"] == "of_the_source"
                && table["rows"] == 1
                && !table["why"].as_str().unwrap().is_empty()
        }),
        "{}",
        json["left_out"]
    );
    assert_eq!(
        psql(&target.url, "SELECT count(*) FROM collection"),
        psql(&app_db.url, "SELECT count(*) FROM collection")
    );

    // A column that nobody fills.
    let unfilled = app_db.set_up_beside();
    psql(
        &unfilled.url,
        "ALTER TABLE public.timeline ADD COLUMN tide integer NOT NULL",
    );
    let refused = copy(&app_db.url, &unfilled.url, &["--drop-unknown"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("tide"), "{}", told(&refused));
}

#[test]
fn duplicates_are_named_before_anything_is_written() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.set_up_beside();
    // The source's column tells upper from lower case, the target's does not.
    psql(
        &app_db.url,
        "SET search_path = public;
         DROP VIEW v_alerts, v_subscriptions, v_users;
         DROP INDEX idx_lower_email;
         ALTER TABLE core_user ALTER COLUMN email TYPE varchar(254);
         INSERT INTO core_user (email, first_name, last_name, password, date_joined)
             VALUES ('Twin@Example.com', 'A', 'B', 'x', now()), ('tWIN@example.com', 'A', 'B', 'x', now());
         ALTER TABLE setting DROP CONSTRAINT setting_pkey;
         INSERT INTO setting (key, value) SELECT key, 'again' FROM setting WHERE key = 'site-name'",
    );
    let before = content(&target);
    for options in [&[][..], &["--force"]] {
        let refused = copy(&app_db.url, &target.url, options);
        let (json, code) = ended(&refused);
        assert_eq!(code, 3, "{json}");
        for name in ["core_user", "email", "WIN@example.com", "setting", "site-name"] {
            assert!(told(&refused).contains(name), "{name}: {}", told(&refused));
        }
    }
    assert_eq!(content(&target), before);
    assert_eq!(leftovers(&target), "0");
}

#[test]
fn what_only_a_translated_index_refuses_is_named_too() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    app_db.java(
        &app_db.h2_url("fixture"),
        &[(
            "twins",
            "INSERT INTO METABASE_TABLE (CREATED_AT, UPDATED_AT, NAME, ACTIVE, DB_ID) \
             SELECT NOW(), NOW(), 'twin_table', TRUE, 1 FROM SYSTEM_RANGE(1, 2)",
        )],
    );
    let target = app_db.empty_beside();
    let refused = load(&file, &target, &[]);
    let (json, code) = ended(&refused);
    assert_eq!(code, 3, "{json}");
    for name in ["metabase_table", "twin_table"] {
        assert!(told(&refused).contains(name), "{name}: {}", told(&refused));
    }
    assert_eq!(leftovers(&target), "0");
}

#[test]
fn a_missing_parent_takes_everything_back() {
    let Some(app_db) = AppDb::load() else { return };
    psql(
        &app_db.url,
        "SET session_replication_role = replica; DELETE FROM public.report_card WHERE id = (SELECT min(card_id) FROM public.report_dashboardcard)",
    );
    let target = app_db.set_up_beside();
    let (before, shape) = (content(&target), facts(&target));
    let failed = copy(&app_db.url, &target.url, &[]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    for name in ["report_dashboardcard", "card_id"] {
        assert!(told(&failed).contains(name), "{name}: {}", told(&failed));
    }
    assert_eq!((content(&target), facts(&target)), (before, shape));

    let empty = app_db.empty_beside();
    let failed = copy(&app_db.url, &empty.url, &[]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert_eq!(
        psql(
            &empty.url,
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ),
        "0"
    );
    assert_eq!(leftovers(&empty), "0");
}

#[test]
fn what_is_excluded_or_included_is_told() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.empty_beside();
    let json = done(&copy(
        &app_db.url,
        &target.url,
        &["--exclude", "view_log", "--include-logs", "--include", "api_key"],
    ));
    let names = |list: &str| -> Vec<String> {
        let list = json[list].as_array().unwrap().iter();
        list.map(|table| table["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (carried, left_out) = (names("tables"), names("left_out"));
    for name in ["query_execution", "task_history", "api_key"] {
        assert!(carried.contains(&name.to_owned()), "{name}");
    }
    for name in ["view_log", "qrtz_triggers", "query_cache"] {
        assert!(left_out.contains(&name.to_owned()), "{name}");
    }
    assert_eq!(psql(&target.url, "SELECT count(*) FROM view_log"), "0");
    assert_eq!(psql(&target.url, "SELECT count(*) > 0 FROM query_execution"), "t");
    let text = metaferry(&["copy", "--from", &app_db.url, "--to", &app_db.empty_beside().url]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("left out: query_execution (100 rows): log"),
        "{text}"
    );
    let unknown = copy(&app_db.url, &app_db.empty_beside().url, &["--exclude", "no_such"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
    assert!(told(&unknown).contains("no_such"), "{}", told(&unknown));
}
