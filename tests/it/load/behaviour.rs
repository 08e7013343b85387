//! What the original H2 database accepts and refuses, one translated from it accepts and refuses too: the same
//! statements on both, over JDBC.

use std::collections::BTreeMap;

use super::{done, load};
use crate::app_db::AppDb;

/// How a statement ended, in words that are the same for all databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Rows, or none.
    Rows(Vec<String>),
    Duplicate,
    NoParent,
    HasChildren,
    NotNull,
    TooLong,
    Generated,
    NotThisType,
}

/// What each statement is to show, and the statement. They run one after the other, on either database alone.
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    // Identities and defaults.
    (
        "a group without an id",
        "INSERT INTO permissions_group (name) VALUES ('crew')",
    ),
    (
        "its id follows the highest",
        "SELECT id - (SELECT MAX(id) FROM permissions_group WHERE name <> 'crew') FROM permissions_group WHERE name = 'crew'",
    ),
    (
        "a group with an id of its own",
        "INSERT INTO permissions_group (id, name) VALUES (900001, 'given')",
    ),
    (
        "a collection by defaults",
        "INSERT INTO collection (name, slug, entity_id) VALUES ('Harbour', 'harbour', 'harbourharbourharbour')",
    ),
    (
        "its defaults",
        "SELECT archived, location, type, authority_level FROM collection WHERE slug = 'harbour'",
    ),
    (
        "its moment is now",
        "SELECT COUNT(*) FROM collection WHERE slug = 'harbour' AND created_at BETWEEN CURRENT_TIMESTAMP - INTERVAL '1' DAY \
         AND CURRENT_TIMESTAMP + INTERVAL '1' DAY",
    ),
    // Keys.
    (
        "a primary key that is taken",
        "INSERT INTO permissions_group (id, name) VALUES (900001, 'again')",
    ),
    (
        "a name that is taken",
        "INSERT INTO permissions_group (name) VALUES ('crew')",
    ),
    (
        "an entity id that is taken",
        "INSERT INTO collection (name, slug, entity_id) VALUES ('Other', 'other', 'harbourharbourharbour')",
    ),
    (
        "two collections without an entity id",
        "INSERT INTO collection (name, slug) VALUES ('One', 'one'), ('Two', 'two')",
    ),
    (
        "a setting that is taken",
        "INSERT INTO setting (\"KEY\", \"VALUE\") SELECT \"KEY\", 'x' FROM setting WHERE \"KEY\" = 'site-name'",
    ),
    // A case-insensitive e-mail address.
    (
        "a user",
        "INSERT INTO core_user (email, first_name, last_name, password, date_joined) \
         VALUES ('Ada@Example.com', 'Ada', 'L', 'x', CURRENT_TIMESTAMP)",
    ),
    (
        "found in any case",
        "SELECT first_name FROM core_user WHERE email = 'aDA@eXAMPLE.COM'",
    ),
    (
        "kept as it was written",
        "SELECT CAST(email AS VARCHAR(100)) FROM core_user WHERE email = 'ada@example.com'",
    ),
    (
        "the same address in another case",
        "INSERT INTO core_user (email, first_name, last_name, password, date_joined) \
         VALUES ('ADA@EXAMPLE.COM', 'Ada', 'M', 'x', CURRENT_TIMESTAMP)",
    ),
    (
        "a user's defaults",
        "SELECT is_active, is_superuser, is_qbnewb, type FROM core_user WHERE email = 'ada@example.com'",
    ),
    // Not null, length, type.
    (
        "a group without a name",
        "INSERT INTO permissions_group (name) VALUES (NULL)",
    ),
    (
        "a slug that is too long",
        "INSERT INTO collection (name, slug) VALUES ('x', RPAD('x', 600, 'x'))",
    ),
    (
        "a word for a number",
        "INSERT INTO permissions_group_membership (user_id, group_id) VALUES (CAST('many' AS INTEGER), 1)",
    ),
    // Foreign keys.
    (
        "a membership of nobody",
        "INSERT INTO permissions_group_membership (user_id, group_id) VALUES (987654, 900001)",
    ),
    (
        "a membership",
        "INSERT INTO permissions_group_membership (user_id, group_id) \
         SELECT id, 900001 FROM core_user WHERE email = 'ada@example.com'",
    ),
    (
        "the same membership again",
        "INSERT INTO permissions_group_membership (user_id, group_id) \
         SELECT id, 900001 FROM core_user WHERE email = 'ada@example.com'",
    ),
    ("a group goes", "DELETE FROM permissions_group WHERE id = 900001"),
    (
        "and its memberships",
        "SELECT COUNT(*) FROM permissions_group_membership WHERE group_id = 900001",
    ),
    (
        "dashboards of before",
        "SELECT COUNT(*) > 0 FROM report_dashboardcard WHERE dashboard_id = (SELECT MIN(dashboard_id) FROM report_dashboardcard)",
    ),
    (
        "a dashboard goes",
        "DELETE FROM report_dashboard WHERE id = (SELECT MIN(dashboard_id) FROM report_dashboardcard)",
    ),
    (
        "no card of it stays",
        "SELECT COUNT(*) FROM report_dashboardcard WHERE dashboard_id NOT IN (SELECT id FROM report_dashboard)",
    ),
    // A column that others are computed into, and the key over it.
    (
        "two fields of one name and table",
        "INSERT INTO metabase_field (created_at, updated_at, name, base_type, table_id, database_type) \
         SELECT CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 'twice', 'type/Text', MIN(id), 'text' FROM metabase_table",
    ),
    (
        "the second is refused",
        "INSERT INTO metabase_field (created_at, updated_at, name, base_type, table_id, database_type) \
         SELECT CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 'twice', 'type/Text', MIN(id), 'text' FROM metabase_table",
    ),
    (
        "unless it is known to be defective",
        "INSERT INTO metabase_field (created_at, updated_at, name, base_type, table_id, database_type, is_defective_duplicate) \
         SELECT CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 'twice', 'type/Text', MIN(id), 'text', TRUE FROM metabase_table",
    ),
    (
        "what was computed",
        "SELECT is_defective_duplicate, unique_field_helper FROM metabase_field WHERE name = 'twice' ORDER BY id",
    ),
    (
        "nothing is written to it",
        "UPDATE metabase_field SET unique_field_helper = 7 WHERE name = 'twice'",
    ),
    (
        "it follows what it is computed from",
        "UPDATE metabase_field SET is_defective_duplicate = TRUE WHERE name = 'twice'",
    ),
    (
        "and is gone",
        "SELECT unique_field_helper FROM metabase_field WHERE name = 'twice'",
    ),
    // Views.
    (
        "groups of a user",
        "SELECT COUNT(*) FROM v_group_members WHERE user_id = 0",
    ),
    (
        "users in the view",
        "SELECT full_name, is_admin, entity_qualified_id = 'user_' || user_id FROM v_users WHERE email = 'ada@example.com'",
    ),
    (
        "content by kind",
        "SELECT entity_type, COUNT(*), COUNT(is_verified), COUNT(question_database_id), MIN(entity_qualified_id) \
         FROM v_content GROUP BY entity_type ORDER BY entity_type",
    ),
    (
        "audit log by topic",
        "SELECT topic, entity_type, COUNT(*), MIN(entity_qualified_id) FROM v_audit_log GROUP BY topic, entity_type ORDER BY 1, 2",
    ),
    (
        "alerts",
        "SELECT entity_id, schedule_type, schedule_day, schedule_hour, recipient_external FROM v_alerts ORDER BY 1, 5",
    ),
    (
        "who is told of an alert",
        "SELECT entity_id, LENGTH(recipients) FROM v_alerts ORDER BY 1, 2",
    ),
    (
        "subscriptions",
        "SELECT * FROM v_subscriptions ORDER BY entity_id, schedule_type, recipient_external",
    ),
    (
        "tables",
        "SELECT entity_id, entity_qualified_id, name, active FROM v_tables ORDER BY entity_id",
    ),
    ("databases", "SELECT * FROM v_databases ORDER BY entity_id"),
    (
        "fields",
        "SELECT COUNT(*), MIN(entity_qualified_id) FROM v_fields WHERE name <> 'twice'",
    ),
    (
        "views of things",
        "SELECT COUNT(*), MAX(entity_qualified_id) FROM v_view_log",
    ),
    (
        "dashboard cards",
        "SELECT COUNT(*), MIN(entity_qualified_id) FROM v_dashboardcard",
    ),
    ("queries", "SELECT COUNT(*) FROM v_query_log"),
    ("tasks", "SELECT COUNT(*) FROM v_tasks"),
];

#[test]
fn what_h2_accepts_and_refuses_postgres_accepts_and_refuses() {
    let Some(app_db) = AppDb::load() else { return };
    let target = app_db.empty_beside();
    let file = app_db.h2_fixture();
    done(&load(&file, &target, &[]));
    let original = app_db.java(&app_db.h2_url("fixture"), STATEMENTS);
    // H2 spells the two words of `setting` in upper case.
    let spelled: Vec<(&str, String)> = STATEMENTS
        .iter()
        .map(|(what, sql)| (*what, sql.replace("\"KEY\"", "key").replace("\"VALUE\"", "value")))
        .collect();
    let spelled: Vec<(&str, &str)> = spelled.iter().map(|(what, sql)| (*what, &**sql)).collect();
    let translated = target.postgres(&spelled);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (what, _) in STATEMENTS {
        let (original, translated) = (ending(what, &original[*what]), ending(what, &translated[*what]));
        assert_eq!(original, translated, "{what}");
        let kind = format!("{original:?}");
        let kind = kind.split('(').next().unwrap().to_owned();
        *seen.entry(kind).or_default() += 1;
    }
    // Every kind of refusal was met, or the table above proves less than it says.
    for kind in [
        "Rows",
        "Duplicate",
        "NoParent",
        "NotNull",
        "TooLong",
        "Generated",
        "NotThisType",
    ] {
        assert!(seen.contains_key(kind), "{kind} was not met: {seen:?}");
    }
}

/// How H2 or Postgres ended a statement.
pub(crate) fn ending(what: &str, answer: &[String]) -> Ending {
    let Some(error) = answer.iter().find(|row| row.starts_with("!ERROR")) else {
        // A truth value is `t` or `f` in the canonical form of both.
        return Ending::Rows(answer.to_vec());
    };
    for (words, ending) in [
        ("23505", Ending::Duplicate),
        ("duplicate key value", Ending::Duplicate),
        ("23506", Ending::NoParent),
        ("is not present in table", Ending::NoParent),
        ("23503", Ending::HasChildren),
        ("is still referenced", Ending::HasChildren),
        ("23502", Ending::NotNull),
        ("violates not-null", Ending::NotNull),
        ("22001", Ending::TooLong),
        ("value too long", Ending::TooLong),
        ("90154", Ending::Generated),
        ("can only be updated to DEFAULT", Ending::Generated),
        ("22018", Ending::NotThisType),
        ("invalid input syntax", Ending::NotThisType),
    ] {
        if error.contains(words) {
            return ending;
        }
    }
    panic!("{what}: {error}");
}
