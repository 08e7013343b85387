//! A schema that is nobody's: odd names, odd types, odd values. Whatever Postgres has stands in the file, or is named.

use crate::app_db::AppDb;
use crate::oracle::Oracle;

const SCHEMA: &str = r#"
    CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE "My ""odd"" Table" ("Key One" text, "select" text, "größe" int, PRIMARY KEY ("Key One", "größe"));
    INSERT INTO "My ""odd"" Table" VALUES ('ä', 'x', 1), ('ä', NULL, 2), (E'tab\there', '', 3);
    COMMENT ON TABLE "My ""odd"" Table" IS 'it''s "odd": größe, \ and 𝄞';
    CREATE TABLE nothing ();
    INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE empty (id serial PRIMARY KEY, parent int REFERENCES empty ON DELETE SET NULL, CHECK (parent <> id));
    CREATE TABLE odd_types (
        id bigint PRIMARY KEY, tags text[], doc jsonb, span int4range, feeling mood, address inet, pause interval,
        mail citext UNIQUE, amount numeric, price numeric(20,6), code char(5), word varchar, hash bytea UNIQUE,
        part real, whole double precision, day date, clock time, zoned timetz, wall timestamp, moment timestamptz(3),
        unique_id uuid, flag boolean, doubled int GENERATED ALWAYS AS (CASE WHEN flag THEN 2 ELSE NULL END) STORED
    );
    INSERT INTO odd_types VALUES
        (1, '{a,"b c",NULL}', '{"a": [1, null]}', '[1,5)', 'happy', '10.0.0.1', '1 day 02:03:04', 'Me@Example.org',
         12345678901234567890.00001, -1.5, 'ab', 'x', '\x00ff', 1.5, 'NaN', '0001-01-01', '23:59:59.999999',
         '01:02:03+05:30', '9999-12-31 23:59:59.999999', '0001-01-01 00:00:00+00',
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true),
        (-9223372036854775808, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE referred (code text NOT NULL, other int);
    CREATE UNIQUE INDEX referred_code ON referred (code);
    CREATE TABLE referring (id serial PRIMARY KEY, code text, CONSTRAINT same_name FOREIGN KEY (code) REFERENCES referred (code));
    CREATE TABLE referring_too (id serial PRIMARY KEY, code text, CONSTRAINT same_name FOREIGN KEY (code) REFERENCES referred (code));
    INSERT INTO referred VALUES ('a', 1), ('b', NULL);
    INSERT INTO referring (code) VALUES ('a'), (NULL);
    CREATE VIEW good AS SELECT "Key One" AS k, "größe" FROM "My ""odd"" Table" WHERE "select" IS NOT NULL;
    CREATE VIEW better AS SELECT count(*) AS n, max("größe") AS biggest FROM good;
    CREATE VIEW bad AS SELECT to_char(moment, 'YYYY') AS year FROM odd_types;
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_types_and_values_stand_in_the_file_or_are_named() {
    let Some(app_db) = AppDb::new().await else { return };
    app_db.execute(SCHEMA).await;
    let copied = app_db.copy().await;
    for (what, times) in [
        ("odd_types, column tags: text[] travels as text", 1),
        ("odd_types, column doc: jsonb travels as text", 1),
        ("odd_types, column span: int4range travels as text", 1),
        ("odd_types, column feeling: mood travels as text", 1),
        ("odd_types, column pause: interval travels as text", 1),
        ("odd_types, column mail: citext becomes VARCHAR_IGNORECASE", 1),
        ("odd_types, column hash: is part of a key", 1),
        ("view bad is left out because of the function", 1),
        (
            "constraint same_name of table referring_too is called same_name_2",
            1,
        ),
        ("view good", 0),
        ("view better", 0),
        ("check", 0),
    ] {
        let found = copied
            .notes
            .iter()
            .filter(|note| note.to_lowercase().contains(&what.to_lowercase()))
            .count();
        assert_eq!(found, times, "{what} in {:#?}", copied.notes);
    }
    let same = |name: &str, sql: &str| (name.to_owned(), sql.to_owned());
    let in_postgres = app_db.oracle().rows(&[
        same("odd", r#"SELECT "Key One", "select", "größe" FROM "My ""odd"" Table" ORDER BY 3"#),
        same("nothing", "SELECT count(*) FROM nothing"),
        same("types", "SELECT id, tags::text, doc::text, span::text, feeling::text, address::text, pause::text, \
            mail::text, price, code, word, hash, part, whole, day::text, zoned::text, wall, moment, unique_id::text, \
            flag, doubled FROM odd_types ORDER BY id"),
        same("amount", "SELECT amount::text FROM odd_types ORDER BY id"),
        same("keys", "SELECT code FROM referring ORDER BY id"),
        same("good", r#"SELECT k, "größe" FROM good ORDER BY 2"#),
        same("better", "SELECT n, biggest FROM better"),
    ]);
    let in_h2 = Oracle::of_h2(&copied.file).unwrap().rows(&[
        same("odd", r#"SELECT "Key One", "SELECT", "GRÖßE" FROM "My ""odd"" Table" ORDER BY 3"#),
        same("nothing", "SELECT COUNT(*) FROM NOTHING"),
        same("types", "SELECT ID, TAGS, DOC, SPAN, FEELING, ADDRESS, PAUSE, CAST(MAIL AS VARCHAR), PRICE, CODE, WORD, \
            HASH, PART, WHOLE, CAST(\"DAY\" AS VARCHAR), CAST(ZONED AS VARCHAR), WALL, MOMENT, CAST(UNIQUE_ID AS VARCHAR), FLAG, DOUBLED \
            FROM ODD_TYPES ORDER BY ID"),
        same("amount", "SELECT CAST(AMOUNT AS VARCHAR) FROM ODD_TYPES ORDER BY ID"),
        same("keys", "SELECT CODE FROM REFERRING ORDER BY ID"),
        same("good", r#"SELECT K, "GRÖßE" FROM GOOD ORDER BY 2"#),
        same("better", "SELECT N, BIGGEST FROM BETTER"),
    ]);
    assert_eq!(in_h2, in_postgres);
    app_db.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_is_refused_by_name_before_anything_is_written() {
    let Some(app_db) = AppDb::new().await else { return };
    app_db
        .execute("CREATE TABLE computed (a text, b int GENERATED ALWAYS AS (length(a)) STORED)")
        .await;
    let (error, left) = app_db.refusal().await;
    assert_eq!(error.kind, metaferry_domain::ErrorKind::Unsupported);
    assert!(
        error
            .what
            .starts_with("table computed, column b is generated as length(a)"),
        "{error}"
    );
    assert_eq!(left, 0, "something was written");
    app_db.drop().await;
}
