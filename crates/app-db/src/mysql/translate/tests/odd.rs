//! What no Metabase has: types of Postgres only, names and keys and rows that are too long, and queries of every kind.

use super::{Database, Postgres, named};
use crate::mysql::translate::{Supply, TranslatedTable, auto_increment, translate};
use sqlx::Row as _;

/// The first column of every row, as text.
async fn ask(database: &mut Database, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_all(&mut database.connection)
        .await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter()
        .map(|row| {
            let cells = (0..row.len()).map(|at| {
                let cell: Option<Vec<u8>> = row.try_get_unchecked(at).unwrap();
                cell.map_or("NULL".to_owned(), |cell| String::from_utf8(cell).unwrap())
            });
            cells.collect::<Vec<_>>().join("\t")
        })
        .collect()
}

#[tokio::test]
async fn types_of_postgres_only_become_the_nearest_and_are_named() {
    let Some(postgres) = Postgres::new() else { return };
    let Some(mut maria) = Database::new().await else {
        return;
    };
    postgres.run(
        "CREATE TYPE mood AS ENUM ('calm', 'rough');
         CREATE TABLE odd (
             id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tags text[], span int4range, feeling mood, doc xml, place inet,
             j jsonb DEFAULT '{}', n numeric, at timestamptz NOT NULL, wall timestamp(3) DEFAULT now(),
             later timestamptz, day date DEFAULT CURRENT_DATE, t time, tz timetz, f real, d double precision, b bytea,
             flag boolean DEFAULT true NOT NULL, c char(300), txt text DEFAULT 'it''s \\ it', num int DEFAULT -1,
             lots numeric(20,4) DEFAULT 1.5, pause interval, \"MiXed\" text, \"key\" text, CHECK (num > -5 OR num IS NULL));
         COMMENT ON TABLE odd IS 'it''s odd \\';
         CREATE INDEX odd_txt ON odd (txt, num DESC);",
    );
    let translation = translate(&postgres.catalogue().await, &named).unwrap();
    maria.build(&translation).await;
    let types = ask(
        &mut maria,
        "SELECT concat(column_name, ' ', column_type, if(is_nullable = 'YES', '', ' NOT NULL'),
             if(column_default IS NULL OR column_default = 'NULL', '', concat(' DEFAULT ', column_default)), ' ', extra)
         FROM information_schema.columns WHERE table_schema = database() ORDER BY ordinal_position",
    )
    .await;
    let types: Vec<&str> = types.iter().map(|text| text.trim_end()).collect();
    assert_eq!(
        types,
        [
            "id char(36) NOT NULL DEFAULT uuid()",
            "tags longtext",
            "span longtext",
            "feeling longtext",
            "doc longtext",
            "place longtext",
            "j longtext DEFAULT '{}'",
            "n decimal(65,30)",
            "at timestamp(6) NOT NULL",
            "wall datetime(3) DEFAULT current_timestamp(3)",
            "later timestamp(6)",
            "day date DEFAULT curdate()",
            "t time(6)",
            "tz time(6)",
            "f float",
            "d double",
            "b longblob",
            "flag bit(1) NOT NULL DEFAULT b'1'",
            "c varchar(300)",
            r"txt longtext DEFAULT 'it\'s \\ it'",
            "num int(11) DEFAULT -1",
            "lots decimal(20,4) DEFAULT 1.5000",
            "pause longtext",
            "MiXed longtext",
            "key longtext",
        ]
    );
    let told: Vec<&str> = translation
        .notes
        .iter()
        .filter_map(|note| note.strip_prefix("table odd, column ")?.split(':').next())
        .collect();
    assert_eq!(
        told,
        ["tags", "span", "feeling", "place", "j", "n", "tz", "pause"]
    );
    let values = "INSERT INTO odd (at) VALUES ('2020-01-01'); SELECT concat(length(id), ' ', txt, ' ', num, ' ', j, ' ', flag + 0,
        ' ', day = curdate(), ' ', timestampdiff(SECOND, wall, utc_timestamp()) < 60) FROM odd";
    assert_eq!(ask(&mut maria, values).await, [r"36 it's \ it -1 {} 1 1 1"]);
    for refused in [
        "INSERT INTO odd (num) VALUES (1)",
        "INSERT INTO odd (at, num) VALUES (now(), -5)",
    ] {
        let answer = sqlx::raw_sql(refused).execute(&mut maria.connection).await;
        assert!(answer.is_err(), "{refused}");
    }
    let comment = "SELECT table_comment FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(ask(&mut maria, comment).await, [r"it's odd \"]);
    let index =
        "SELECT group_concat(column_name, coalesce(sub_part, ''), collation ORDER BY seq_in_index) FROM
        information_schema.statistics WHERE table_schema = database() AND index_name = 'odd_txt'";
    assert_eq!(ask(&mut maria, index).await, ["txt255A,numD"]);
    maria.drop().await;
    postgres.drop();
}

#[tokio::test]
async fn what_is_too_long_for_mysql_is_cut_or_left_out_and_named() {
    let Some(postgres) = Postgres::new() else { return };
    let Some(mut maria) = Database::new().await else {
        return;
    };
    let wide: Vec<String> = (0..9).map(|at| format!("w{at} varchar(2000)")).collect();
    postgres.run(&format!(
        "CREATE TABLE wide (id serial PRIMARY KEY, {}, x varchar(16000));
         CREATE TABLE texts (a text PRIMARY KEY, b text, c varchar(1000), d bytea UNIQUE, n int, UNIQUE (a, b), UNIQUE (c));
         CREATE TABLE parent (id bigint PRIMARY KEY, code text UNIQUE, c varchar(1000) UNIQUE);
         CREATE TABLE child (n serial, kind text, id int REFERENCES parent (id),
             code text NOT NULL REFERENCES parent (code) ON DELETE SET NULL,
             other text DEFAULT 'x' REFERENCES parent (code) ON UPDATE CASCADE ON DELETE SET DEFAULT,
             c varchar(1000) REFERENCES parent (c), PRIMARY KEY (kind, n));
         CREATE UNIQUE INDEX partly ON texts (n) WHERE n > 1;
         CREATE INDEX lowered ON texts (lower(b));
         COMMENT ON COLUMN texts.n IS '{}';
         CREATE VIEW whole AS SELECT n + 1 AS m FROM texts;
         COMMENT ON VIEW whole IS 'all';
         CREATE VIEW strange AS SELECT to_char(n, '9') AS s FROM texts;",
        wide.join(", "),
        "ä".repeat(1100)
    ));
    let translation = translate(&postgres.catalogue().await, &|name| format!("staged_{name}")).unwrap();
    assert_eq!(
        translation.notes,
        [
            "table child, column kind: text is part of a key, so it becomes varchar(767); longer values are refused",
            "table child, column code: text is part of a key, so it becomes varchar(768); longer values are refused",
            "table child, column other: text is part of a key, so it becomes varchar(768); longer values are refused",
            "table parent, column code: text is part of a key, so it becomes varchar(768); longer values are refused",
            "table texts, column a: text is part of a key, so it becomes varchar(384); longer values are refused",
            "table texts, column b: text is part of a key, so it becomes varchar(384); longer values are refused",
            "table texts, column d: bytea is part of a key, so it becomes varbinary(3072); longer values are refused",
            "table wide, column x: character varying(16000) becomes longtext, as the row would be too wide",
            "table wide, column w0: character varying(2000) becomes longtext, as the row would be too wide",
            "table child, column n: gets an index of its own, as MySQL's identities want one",
            "unique key parent_c_key of table parent is left out, it is too long for MySQL",
            "table texts, column n: its comment is cut after 1024 letters",
            "unique key texts_c_key of table texts is left out, it is too long for MySQL",
            "index lowered of table texts is left out: MariaDB has no indexes over expressions",
            "unique index partly of table texts is left out: MySQL has no indexes over some rows only",
            "foreign key child_c_fkey of table child is left out: table parent has no key over its columns there",
            "foreign key child_code_fkey of table child: ON DELETE becomes RESTRICT, MySQL cannot set NULL there",
            "foreign key child_id_fkey of table child is left out: id is int and id is bigint, which MySQL does not compare",
            "foreign key child_other_fkey of table child: ON DELETE becomes RESTRICT, MySQL cannot set a default there",
            "view strange is left out because of the function \"to_char(texts.n, '9'::TEXT)\"",
            "view whole: its comment is left out, MySQL has none on views",
        ]
    );
    // The tables under another name, as a load has them until all rows are there.
    for table in &translation.tables {
        super::run(&mut maria.connection, &table.create).await;
    }
    let after_rows = |table: &TranslatedTable| table.after_rows.clone();
    let foreign_keys = |table: &TranslatedTable| table.foreign_keys.clone();
    for clauses in [after_rows, foreign_keys] {
        for table in &translation.tables {
            for clause in clauses(table) {
                let alter = format!("ALTER TABLE staged_{} {clause}", table.name);
                super::run(&mut maria.connection, &alter).await;
            }
        }
    }
    super::run(&mut maria.connection, &translation.views[0].create).await;
    let child = translation
        .tables
        .iter()
        .find(|table| table.name == "child")
        .unwrap();
    assert_eq!(child.columns[0].source, Supply::Identity { next: Some(1) });
    super::run(
        &mut maria.connection,
        &format!("ALTER TABLE staged_child {}", auto_increment(7)),
    )
    .await;
    let values = "INSERT INTO staged_parent VALUES (1, 'p', 'c'); INSERT INTO staged_child (kind, code, other) VALUES ('k', 'p', 'p');
        UPDATE staged_parent SET code = 'q' WHERE id = 2; SELECT n, other FROM staged_child";
    assert_eq!(ask(&mut maria, values).await, ["7\tp"]);
    maria.drop().await;
    postgres.drop();
}

#[tokio::test]
async fn what_mysql_has_no_name_for_is_refused_by_name() {
    let Some(postgres) = Postgres::new() else { return };
    for (sql, why) in [
        ("CREATE TABLE nothing ()", "table nothing has no columns"),
        (
            "CREATE TABLE a (id int); CREATE VIEW \"A\" AS SELECT 1 AS x",
            "would both be \"a\" on MySQL",
        ),
        (
            "CREATE TABLE g (n int, m text GENERATED ALWAYS AS (repeat('x', n)) STORED)",
            "table g, column m is generated as",
        ),
    ] {
        postgres.run(&format!(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; {sql}"
        ));
        let refused = translate(&postgres.catalogue().await, &named)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    postgres.drop();
}

/// Queries, and what they show of rows that both databases have.
const QUERIES: &[&str] = &[
    "SELECT id, name || '_' || id AS label, concat(name, '-', n) AS joined, n / 2 AS half, n % 3 AS rest FROM ship",
    "SELECT id, split_part(name, ' ', 1) AS a, split_part(name, ' ', 2) AS b, split_part(name, ' ', 4) AS c FROM ship",
    "SELECT id, CASE WHEN afloat THEN 'yes' WHEN NOT afloat THEN 'no' ELSE 'unknown' END AS s FROM ship",
    "SELECT id, CASE WHEN n IS DISTINCT FROM 3 THEN 1 ELSE 0 END AS a, CASE WHEN n IS NOT DISTINCT FROM NULL THEN 1 ELSE 0 END AS b FROM ship",
    "SELECT afloat IS NULL AS dry, count(*) AS c, count(*) FILTER (WHERE n > 2) AS f, sum(n) FILTER (WHERE afloat) AS s, min(n) AS l, \
         string_agg(DISTINCT name, ';') FILTER (WHERE n = 7) AS names FROM ship GROUP BY afloat IS NULL",
    "SELECT id, CASE WHEN name ~ '^S[0-9]+$' THEN 'numbered' WHEN name LIKE '%a%' THEN 'with a' ELSE lower(name) END AS k FROM ship",
    "SELECT id, n::text || 'x' AS t, CAST(concat('1', n) AS integer) + 1 AS u, coalesce(n, -1) AS v, nullif(n, 7) AS w FROM ship",
    "(SELECT id FROM ship UNION ALL SELECT id FROM ship) EXCEPT SELECT n FROM ship",
    "SELECT id FROM ship UNION (SELECT n FROM ship EXCEPT SELECT id FROM ship)",
    "SELECT id FROM ship INTERSECT SELECT n FROM ship UNION SELECT 99",
    "WITH big AS (SELECT id, n FROM ship WHERE n > 2), few(k) AS (SELECT id FROM big) \
         SELECT b.id, b.n::double precision / 4 AS q, (SELECT max(k) FROM few) AS m FROM big b WHERE EXISTS (SELECT 1 FROM few f WHERE f.k = b.id)",
    "SELECT s.id, o.id AS o FROM ship s LEFT JOIN ship o ON s.id = o.n AND o.afloat WHERE s.n BETWEEN 1 AND 7 OR s.n IN (3, 4) OR s.n IS NULL",
];

#[tokio::test]
async fn a_query_shows_in_mariadb_what_it_shows_in_postgres() {
    let Some(postgres) = Postgres::new() else { return };
    let Some(mut maria) = Database::new().await else {
        return;
    };
    let rows = "INSERT INTO ship (id, name, n, afloat) VALUES (1, 'Anna b  d', 7, true), (2, 'S12', 3, false), (3, 'it''s \\', NULL, NULL), \
        (4, '', 4, true), (5, NULL, 7, false), (6, 'Berta', 0, NULL), (7, 's', 2, true)";
    postgres.run("CREATE TABLE ship (id int PRIMARY KEY, name text, n int, afloat boolean)");
    postgres.run(rows);
    for (at, query) in QUERIES.iter().enumerate() {
        postgres.run(&format!("CREATE VIEW v_{at:02} AS {query}"));
    }
    let catalogue = postgres.catalogue().await;
    let translation = translate(&catalogue, &named).unwrap();
    assert_eq!(translation.notes, [""; 0]);
    maria.build(&translation).await;
    super::run(&mut maria.connection, rows).await;
    for view in &catalogue.views {
        let columns: Vec<&str> = view.columns.iter().map(|name| name.as_str()).collect();
        // Truth values as numbers, everything as text.
        let wanted = postgres.run(&format!("SELECT * FROM {}", view.name));
        let seen = ask(
            &mut maria,
            &format!("SELECT {} FROM {}", columns.join(", "), view.name),
        )
        .await;
        let sorted = |rows: Vec<String>| {
            let mut rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let cells = row.split('\t').map(|cell| match cell {
                        "t" => "1",
                        "f" => "0",
                        other => other,
                    });
                    cells.collect::<Vec<_>>().join("\t")
                })
                .collect();
            rows.sort_unstable();
            rows
        };
        let wanted = sorted(wanted.lines().map(str::to_owned).collect());
        assert!(!wanted.is_empty(), "{} shows nothing", view.name);
        assert_eq!(sorted(seen), wanted, "{}: {}", view.name, view.query.text);
    }
    maria.drop().await;
    postgres.drop();
}

#[tokio::test]
async fn a_moment_never_changes_by_itself_whatever_the_server_does_with_bare_ones() {
    let Some(postgres) = Postgres::new() else { return };
    let Some(mut maria) = Database::new().await else {
        return;
    };
    postgres.run("CREATE TABLE log (id serial PRIMARY KEY, at timestamptz NOT NULL, seen timestamptz NOT NULL, gone timestamptz, n int)");
    let translation = translate(&postgres.catalogue().await, &named).unwrap();
    super::run(
        &mut maria.connection,
        "SET SESSION explicit_defaults_for_timestamp = 0",
    )
    .await;
    maria.build(&translation).await;
    let values = "INSERT INTO log (at, seen, n) VALUES ('2020-01-01', '2020-01-02', 1); UPDATE log SET n = 2; \
        SELECT date(at), date(seen), gone FROM log";
    assert_eq!(ask(&mut maria, values).await, ["2020-01-01\t2020-01-02\tNULL"]);
    let extra = "SELECT group_concat(extra SEPARATOR '') FROM information_schema.columns WHERE table_schema = database() \
        AND column_name <> 'id'";
    assert_eq!(ask(&mut maria, extra).await, [""]);
    maria.drop().await;
    postgres.drop();
}
