mod ways_back;

use metaferry_domain::schema::{
    Catalogue, Column, DataType, Dialect, Name, Nullability, SqlText, Table, ValueSource,
};

use super::*;

fn postgres(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::Postgres,
        text: text.to_owned(),
    }
}

fn table(name: &str, columns: &[(&str, DataType)]) -> Table {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: Name::new(*name),
        data_type: data_type.clone(),
        native_type: String::new(),
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        comment: None,
    };
    Table {
        schema: Name::new("public"),
        name: Name::new(name),
        columns: columns.iter().map(column).collect(),
        primary_key: None,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

fn relations() -> Relations {
    relations_in(Words::H2)
}

fn relations_in(words: Words) -> Relations {
    let ship = table(
        "ship",
        &[
            ("id", DataType::Integer),
            ("name", DataType::Varchar(Some(20))),
            ("code", DataType::Char(4)),
            ("mail", DataType::VarcharIgnoreCase(None)),
            ("afloat", DataType::Boolean),
            ("built", DataType::TimestampTz),
            ("load", DataType::Decimal(None)),
            ("Odd Name", DataType::Text),
        ],
    );
    let port = table(
        "port",
        &[
            ("id", DataType::Integer),
            ("ship_id", DataType::Integer),
            ("name", DataType::Text),
        ],
    );
    Relations::of_tables(
        &Catalogue {
            tables: vec![port, ship],
            views: Vec::new(),
        },
        words,
    )
}

fn h2(query: &str) -> String {
    query_to_h2(&postgres(query), &relations()).unwrap().text
}

fn refused(query: &str) -> String {
    query_to_h2(&postgres(query), &relations())
        .unwrap_err()
        .to_string()
}

#[test]
fn names_are_quoted_folded_and_qualified() {
    assert_eq!(
        h2(r#"SELECT s.id AS ship_id, s."Odd Name", s.name FROM public.ship s WHERE s.afloat"#),
        r#"SELECT "S"."ID" AS "SHIP_ID", "S"."Odd Name" AS "Odd Name", "S"."NAME" AS "NAME" FROM "PUBLIC"."SHIP" "S" WHERE "S"."AFLOAT""#
    );
}

#[test]
fn casts_go_where_they_change_nothing_and_stay_where_they_do() {
    assert_eq!(
        h2(
            "SELECT ((name)::text || '_'::text) || id AS a, (code)::text AS b, (mail)::text AS c, NULL::integer AS d FROM ship"
        ),
        "SELECT (\"SHIP\".\"NAME\" || '_') || \"SHIP\".\"ID\" AS \"A\", RTRIM(\"SHIP\".\"CODE\") AS \"B\", \
         CAST(\"SHIP\".\"MAIL\" AS CHARACTER VARYING) AS \"C\", CAST(NULL AS INTEGER) AS \"D\" FROM \"PUBLIC\".\"SHIP\""
    );
}

#[test]
fn any_and_all_of_an_array_become_in() {
    assert_eq!(
        h2(
            "SELECT id FROM ship WHERE (name)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])"
        ),
        "SELECT \"SHIP\".\"ID\" AS \"ID\" FROM \"PUBLIC\".\"SHIP\" WHERE \"SHIP\".\"NAME\" IN('a', 'b')"
    );
    assert!(h2("SELECT id FROM ship WHERE (name)::text <> ALL (ARRAY['a'::text])").ends_with("NOT IN('a')"));
}

#[test]
fn common_table_expressions_are_put_in_where_they_are_used() {
    assert_eq!(
        h2("WITH a AS (SELECT id FROM ship), b(x) AS (SELECT a.id FROM a) SELECT b.x FROM b b"),
        "SELECT \"B\".\"X\" AS \"X\" FROM (SELECT \"B\".\"ID\" AS \"X\" FROM (SELECT \"A\".\"ID\" AS \"ID\" FROM (SELECT \
         \"SHIP\".\"ID\" AS \"ID\" FROM \"PUBLIC\".\"SHIP\") \"A\") \"B\") \"B\""
    );
}

#[test]
fn refuses_what_may_mean_something_else() {
    for (query, why) in [
        ("SELECT id FROM ship WHERE name < 'b'::text", "operator <"),
        ("SELECT id FROM ship WHERE mail = name", "operator ="),
        ("SELECT load / 3 AS x FROM ship", "operator /"),
        ("SELECT name || afloat AS x FROM ship", "operator ||"),
        ("SELECT length(name) AS x FROM ship", "length"),
        ("SELECT id FROM ship ORDER BY id LIMIT 1", "ORDER BY"),
        ("SELECT name, count(*) AS n FROM ship GROUP BY id", "not grouped"),
        ("SELECT s.* FROM ship s", "SELECT *"),
        ("SELECT id FROM pg_class", "pg_class"),
        ("SELECT row_number() OVER () AS n FROM ship", "row_number"),
        (
            "SELECT id FROM ship WHERE name ~ '(a|b)'::text",
            "regular expression",
        ),
        ("SELECT built::date AS d FROM ship", "cast"),
        (
            "SELECT name AS d FROM ship JOIN port ON ship.id = port.ship_id",
            "ambiguous",
        ),
        (
            "SELECT port.name FROM ship FULL JOIN port ON ship.id = port.ship_id",
            "join",
        ),
        ("SELECT x FROM", "syntax"),
    ] {
        let refusal = refused(query);
        assert!(refusal.contains(why), "{query}: {refusal}");
    }
}

#[test]
fn defaults_speak_h2() {
    for (default, data_type, h2) in [
        ("'init'::character varying", DataType::Varchar(Some(32)), "'init'"),
        ("false", DataType::Boolean, "FALSE"),
        ("now()", DataType::TimestampTz, "LOCALTIMESTAMP"),
        ("CURRENT_TIMESTAMP", DataType::TimestampTz, "CURRENT_TIMESTAMP"),
        ("0", DataType::Integer, "0"),
        ("'-5'::integer", DataType::Integer, "-5"),
        (
            "NULL::character varying",
            DataType::Varchar(Some(5)),
            "CAST(NULL AS CHARACTER VARYING)",
        ),
        ("'{}'::jsonb", DataType::Json, "'{}'"),
        (
            "'2020-01-02 03:04:05+00'::timestamp with time zone",
            DataType::TimestampTz,
            "TIMESTAMP WITH TIME ZONE '2020-01-02 03:04:05+00'",
        ),
    ] {
        assert_eq!(
            default_to_h2(&postgres(default), &data_type).unwrap(),
            h2,
            "{default}"
        );
    }
    for (default, data_type) in [
        ("'now'::timestamp with time zone", DataType::TimestampTz),
        ("(random() * 10)", DataType::Double),
        ("CURRENT_USER", DataType::Text),
        ("'\\xff'::bytea", DataType::Blob),
    ] {
        assert!(
            default_to_h2(&postgres(default), &data_type).is_err(),
            "{default}"
        );
    }
}

#[test]
fn a_generated_column_is_translated_and_computed() {
    use metaferry_domain::row_batch::Cell;
    let field = table(
        "field",
        &[("broken", DataType::Boolean), ("parent", DataType::Integer)],
    );
    let text = postgres(
        "CASE\n    WHEN (broken = true) THEN NULL::integer\n    ELSE\n    CASE\n        WHEN (parent IS NULL) THEN 0\n        ELSE parent\n    END\nEND",
    );
    assert_eq!(
        expression_to_h2(&text, &field).unwrap(),
        "CASE WHEN \"BROKEN\" = TRUE THEN NULL ELSE CASE WHEN \"PARENT\" IS NULL THEN 0 ELSE \"PARENT\" END END"
    );
    let program = program(&text, &field).unwrap();
    for (broken, parent, expected) in [
        (Cell::Boolean(true), Cell::Int(3), Computed::Null),
        (Cell::Boolean(false), Cell::Int(3), Computed::Integer(3)),
        (Cell::Boolean(false), Cell::Null, Computed::Integer(0)),
        (Cell::Null, Cell::Null, Computed::Integer(0)),
    ] {
        assert_eq!(program.run(&|at| [broken, parent][at]).unwrap(), expected);
    }
}

fn mysql(query: &SqlText) -> String {
    let mut relations = relations_in(Words::MySql);
    relations.call("port", "`staged_1`".to_owned());
    query_to_mysql(query, "public", &relations).unwrap().text
}

#[test]
fn mysql_has_words_of_its_own() {
    for (query, text) in [
        (
            "SELECT s.id, ((s.name)::text || '_'::text) || s.id AS label FROM public.ship s WHERE s.afloat = true",
            "SELECT `s`.`id` AS `id`, concat(`s`.`name`, '_', `s`.`id`) AS `label` FROM `ship` `s` WHERE `s`.`afloat` = 1",
        ),
        (
            "SELECT port.id FROM port WHERE (port.name ~ '^\\dL$'::text) AND port.id IS DISTINCT FROM '-1'::integer",
            "SELECT `port`.`id` AS `id` FROM `staged_1` `port` WHERE (`port`.`name` REGEXP '^[0-9]L\\z') AND \
             (NOT (`port`.`id` <=> (-1)))",
        ),
        (
            "SELECT split_part((name)::text, ' '::text, 3) AS a, (id / 2) AS b, (mail)::text AS c, (code)::text AS d FROM ship",
            "SELECT substring_index(substring_index(concat(`ship`.`name`, '  '), ' ', 3), ' ', -1) AS `a`, \
             `ship`.`id` DIV 2 AS `b`, `ship`.`mail` AS `c`, `ship`.`code` AS `d` FROM `ship`",
        ),
        (
            "SELECT string_agg((mail)::text, ','::text) FILTER (WHERE afloat) AS m, count(*) FILTER (WHERE id > 1) AS c FROM ship",
            "SELECT group_concat(CASE WHEN `ship`.`afloat` THEN `ship`.`mail` END SEPARATOR ',') AS `m`, \
             COUNT(CASE WHEN `ship`.`id` > 1 THEN 1 END) AS `c` FROM `ship`",
        ),
        (
            "SELECT id, NULL::text AS n FROM ship UNION SELECT id, name FROM port UNION ALL (SELECT 0, 'it''s' EXCEPT SELECT 1, '')",
            "SELECT `ship`.`id` AS `id`, NULL AS `n` FROM `ship` UNION SELECT `port`.`id` AS `id`, `port`.`name` AS `name` FROM \
             `staged_1` `port` UNION ALL (SELECT 0 AS `a`, 'it''s' AS `b` EXCEPT SELECT 1 AS `a`, '' AS `b`)",
        ),
    ] {
        let query = postgres(
            &query
                .replace("SELECT 0, 'it''s'", "SELECT 0 AS a, 'it''s' AS b")
                .replace("SELECT 1, ''", "SELECT 1 AS a, '' AS b"),
        );
        assert_eq!(mysql(&query), text, "{}", query.text);
    }
}

#[test]
fn what_h2_says_is_said_in_mysqls_words() {
    let text = |text: &str| SqlText {
        dialect: Dialect::H2,
        text: text.to_owned(),
    };
    let query = text(
        "SELECT \"ID\", REGEXP_SUBSTR(\"NAME\", '^([^ ]+ ){2}([^ ]+)', 1, 1, '', 2) AS \"F\", CONCAT('x', \"ID\") AS \"C\", \
         REGEXP_LIKE(\"NAME\", '^[0-9]#1$') AS \"R\" FROM \"public\".\"port\"",
    );
    let query = SqlText {
        text: query
            .text
            .replace("\"ID\"", "\"id\"")
            .replace("\"NAME\"", "\"name\""),
        ..query
    };
    assert_eq!(
        mysql(&query),
        "SELECT `port`.`id` AS `id`, CASE WHEN `port`.`name` REGEXP '^([^ ]+ ){2}([^ ]+)' THEN \
         substring_index(substring_index(`port`.`name`, ' ', 3), ' ', -1) END AS `f`, concat_ws('', 'x', `port`.`id`) AS `c`, \
         `port`.`name` REGEXP '^[0-9]#1$' AS `r` FROM `staged_1` `port`"
    );
    let default = |default: &str, data_type| default_to_mysql(&text(default), &data_type).unwrap();
    assert_eq!(
        default("LOCALTIMESTAMP", DataType::TimestampTz),
        "current_timestamp(6)"
    );
    assert_eq!(default("'false'", DataType::Boolean), "b'0'");
    assert_eq!(default("TRUE", DataType::Boolean), "b'1'");
    assert_eq!(default("'20'", DataType::Integer), "20");
    assert_eq!(default("-1", DataType::Integer), "-1");
    assert_eq!(default("RANDOM_UUID()", DataType::Uuid), "(uuid())");
    assert_eq!(default("1 + 1", DataType::Integer), "(1 + 1)");
    assert_eq!(default("NULL", DataType::Text), "NULL");
    let refused = default_to_mysql(&text("'2020-01-01 00:00:00+01'"), &DataType::TimestampTz);
    assert!(refused.is_err(), "{refused:?}");
}
