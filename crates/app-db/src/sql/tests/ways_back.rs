//! What servers print of queries that were translated is read again. Texts as MariaDB 10.11 and Postgres 15 print them.

use super::*;

fn from_mysql(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::MySql,
        text: text.to_owned(),
    }
}

/// The first column of a query over `ship`, in H2's words and in another's.
fn column(query: &SqlText, other: Words) -> [String; 2] {
    let between = |text: String| {
        let lower = text.to_lowercase().replace('`', "\"");
        text["SELECT ".len()..lower.find(" as \"x\"").unwrap()].to_owned()
    };
    let others = match other {
        Words::MySql => {
            query_to_mysql(query, "public", &relations_in(other))
                .unwrap()
                .text
        }
        Words::Postgres | Words::H2 => query_to_postgres(query, &relations_in(other)).unwrap().text,
    };
    [
        between(query_to_h2(query, &relations()).unwrap().text),
        between(others),
    ]
}

#[test]
fn what_mariadb_prints() {
    for (printed, in_h2, in_postgres) in [
        (
            "concat_ws('','card_',`ship`.`id`)",
            "CONCAT('card_', \"SHIP\".\"ID\")",
            "CONCAT('card_', \"ship\".\"id\")",
        ),
        // A backslash was taken for an escape, and the end of the pattern was the letter z.
        (
            "`ship`.`name` regexp '^[0-9]L\\z'",
            "REGEXP_LIKE(\"SHIP\".\"NAME\", '^[0-9]L\\z')",
            "\"ship\".\"name\" ~ '^[0-9]L$'",
        ),
        (
            "`ship`.`name` not regexp '^([^ ]+ ){3}([^ ]+)'",
            "NOT REGEXP_LIKE(\"SHIP\".\"NAME\", '^([^ ]+ ){3}([^ ]+)')",
            "NOT (\"ship\".\"name\" ~ '^([^ ]+ ){3}([^ ]+)')",
        ),
        (
            "(select group_concat(`s`.`mail` separator ', ') AS `v` from `public`.`ship` `s` where `s`.`afloat` = 1)",
            "(SELECT LISTAGG(CAST(\"S\".\"MAIL\" AS CHARACTER VARYING), ', ') WITHIN GROUP (ORDER BY NULL) AS \"V\" \
             FROM \"PUBLIC\".\"SHIP\" \"S\" WHERE \"S\".\"AFLOAT\" = TRUE)",
            "(SELECT string_agg(\"s\".\"mail\"::text, ', ') AS \"v\" FROM \"ship\" \"s\" WHERE \"s\".\"afloat\" = TRUE)",
        ),
    ] {
        let query = from_mysql(&format!("select {printed} AS `x` from `public`.`ship`"));
        assert_eq!(column(&query, Words::Postgres), [in_h2, in_postgres], "{printed}");
    }
    // Of pieces that differ in case alone it is MySQL that says which stays.
    let distinct = from_mysql("select group_concat(distinct `ship`.`mail` separator ',') AS `x` from `ship`");
    assert!(query_to_h2(&distinct, &relations()).is_err());
    let separated = from_mysql("select concat_ws('-','card',`ship`.`id`) AS `x` from `ship`");
    assert!(query_to_h2(&separated, &relations()).is_err());
}

#[test]
fn what_postgres_prints() {
    for (printed, in_h2, in_mysql) in [
        (
            "(regexp_match((name)::text, '^([^ ]+ ){3}([^ ]+)'::text))[2]",
            "REGEXP_SUBSTR(\"SHIP\".\"NAME\", '^([^ ]+ ){3}([^ ]+)', 1, 1, '', 2)",
            "CASE WHEN `ship`.`name` REGEXP '^([^ ]+ ){3}([^ ]+)' THEN \
             substring_index(substring_index(`ship`.`name`, ' ', 4), ' ', -1) END",
        ),
        (
            "(regexp_match(((name)::text || '  '::text), '^(?:[^ ]* ){2}([^ ]*)'::text))[1]",
            "REGEXP_SUBSTR(\"SHIP\".\"NAME\" || '  ', '^(?:[^ ]* ){2}([^ ]*)', 1, 1, '', 1)",
            "CASE WHEN concat(`ship`.`name`, '  ') REGEXP '^(?:[^ ]* ){2}([^ ]*)' THEN \
             substring_index(substring_index(concat(`ship`.`name`, '  '), ' ', 3), ' ', -1) END",
        ),
        (
            "\"substring\"((name)::text, '^(?:[^ ]* ){0,2}([^ ]*)'::text)",
            "REGEXP_SUBSTR(\"SHIP\".\"NAME\", '^(?:[^ ]* ){0,2}([^ ]*)', 1, 1, '', 1)",
            "substring_index(substring_index(`ship`.`name`, ' ', 3), ' ', -1)",
        ),
        (
            "((name)::text ~ '^[0-9]L\\n?$'::text)",
            "REGEXP_LIKE(\"SHIP\".\"NAME\", '^[0-9]L\\n?\\z')",
            "`ship`.`name` REGEXP '^[0-9]L\\n?\\z'",
        ),
    ] {
        let query = postgres(&format!("SELECT {printed} AS x FROM ship"));
        assert_eq!(column(&query, Words::MySql), [in_h2, in_mysql], "{printed}");
    }
    for other in [
        // Of alternatives Postgres takes the longest, the others the first.
        "(regexp_match(name, '(a|ab)'))[1]",
        "(regexp_match(name, '^([^ ]+ ){3}([^ ]+)'))[1]",
        "\"substring\"(name, '^a'::text)",
    ] {
        let query = postgres(&format!("SELECT {other} AS x FROM ship"));
        assert!(query_to_h2(&query, &relations()).is_err(), "{other}");
    }
}
