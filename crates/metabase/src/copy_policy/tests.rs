use super::*;
use metaferry_domain::schema::{
    Column, DataType, Dialect, ForeignKey, Name, ReferentialAction, SqlText, ValueSource,
};
use std::fs;
use std::path::PathBuf;

mod asked;

fn column(name: &str, nullability: Nullability) -> Column {
    Column {
        name: Name::new(name),
        data_type: DataType::Text,
        native_type: "text".to_owned(),
        nullability,
        value_source: ValueSource::None,
        comment: None,
    }
}

/// A table of nullable columns; a `!` before a name makes it NOT NULL.
fn table(name: &str, columns: &[&str]) -> Table {
    let column = |name: &&str| match name.strip_prefix('!') {
        Some(name) => column(name, Nullability::NotNull),
        None => column(name, Nullability::Nullable),
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

fn refers(mut table: Table, column: &str, parent: &str) -> Table {
    table.foreign_keys.push(ForeignKey {
        name: Name::new(format!("fk_{column}")),
        columns: vec![Name::new(column)],
        parent_table: Name::new(parent),
        parent_columns: vec![Name::new("id")],
        on_delete: ReferentialAction::NoAction,
        on_update: ReferentialAction::NoAction,
    });
    table
}

fn catalogue(tables: Vec<Table>) -> Catalogue {
    Catalogue {
        tables,
        views: Vec::new(),
    }
}

fn options(major: u32) -> PolicyOptions {
    PolicyOptions::for_dump(Some(major), Plaintext::Keep)
}

fn is_carried(decision: &Decision, table: &str) -> bool {
    matches!(decision.policy.tables[table], TablePolicy::Carry { .. })
}

fn carried(decision: &Decision, table: &str) -> (Vec<RowFilter>, Vec<CellRewrite>) {
    match &decision.policy.tables[table] {
        TablePolicy::Carry {
            drop_rows, rewrites, ..
        } => (drop_rows.clone(), rewrites.clone()),
        TablePolicy::LeaveOut { why } => panic!("{table} is left out: {why}"),
    }
}

/// The fixtures' folder; `None` (and a loud line) where there is none.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn fixture(name: &str) -> Option<String> {
    let shared = std::env::var_os("METAFERRY_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = shared.join("fixtures/appdb").join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {} is not there (set METAFERRY_SHARED)", path.display());
    }
    text
}

/// As much of `pg_dump --schema-only` as a policy looks at: tables, columns, NOT NULL, generated columns, foreign
/// keys.
fn read_postgres_schema(sql: &str) -> Catalogue {
    let mut tables: Vec<Table> = Vec::new();
    let mut altered = String::new();
    let mut is_inside = false;
    for line in sql.lines() {
        if let Some(name) = line.strip_prefix("CREATE TABLE public.") {
            tables.push(table(name.trim_end_matches(" ("), &[]));
            is_inside = true;
        } else if line.starts_with(')') {
            is_inside = false;
        } else if let (true, Some(definition)) = (is_inside, line.strip_prefix("    ")) {
            // The lines of a long expression are no definitions; their first word is in capitals.
            let (name, rest) = definition.split_once(' ').unwrap_or((definition, ""));
            if name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == '"')
            {
                let nullability = if rest.contains("NOT NULL") {
                    Nullability::NotNull
                } else {
                    Nullability::Nullable
                };
                let mut column = column(name.trim_matches('"'), nullability);
                if rest.contains("GENERATED ALWAYS AS (") && !rest.contains("IDENTITY") {
                    let text = SqlText {
                        dialect: Dialect::Postgres,
                        text: "…".to_owned(),
                    };
                    column.value_source = ValueSource::Generated(text);
                }
                tables.last_mut().unwrap().columns.push(column);
            }
        } else if let Some(name) = line.strip_prefix("ALTER TABLE ONLY public.") {
            name.clone_into(&mut altered);
        } else if let Some((_, key)) = line.split_once(" FOREIGN KEY (") {
            let (columns, rest) = key.split_once(") REFERENCES public.").unwrap();
            let parent = rest.split_once('(').unwrap().0;
            let at = tables
                .iter()
                .position(|table| table.name.as_str() == altered)
                .unwrap();
            let child = tables.remove(at);
            tables.insert(at, refers(child, columns, parent));
        }
    }
    catalogue(tables)
}

/// Rows per table of an expectation file: a line with the name, then one with `"rows": n`.
fn rows_by_table(json: &str) -> BTreeMap<String, u64> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let tables = value["tables"].as_object().unwrap();
    tables
        .iter()
        .map(|(name, facts)| (name.clone(), facts["rows"].as_u64().unwrap()))
        .collect()
}

#[test]
fn carries_of_v55_exactly_what_metabases_own_dump_carries() {
    let (Some(sql), Some(source), Some(dump)) = (
        fixture("postgres-schema.sql"),
        fixture("expected-s001.json"),
        fixture("expected-s001-h2.json"),
    ) else {
        return;
    };
    let catalogue = read_postgres_schema(&sql);
    assert_eq!(catalogue.tables.len(), 94);
    assert!(
        catalogue
            .table("metabase_field")
            .unwrap()
            .column("unique_field_helper")
            .unwrap()
            .is_generated()
    );
    assert!(
        catalogue
            .tables
            .iter()
            .map(|table| table.foreign_keys.len())
            .sum::<usize>()
            > 100
    );

    let decision = decide(&catalogue, &options(55)).unwrap();
    assert_eq!(decision.unknown_tables, Vec::<String>::new());
    assert_eq!(decision.notes, Vec::<String>::new());
    let (source, dump) = (rows_by_table(&source), rows_by_table(&dump));
    assert_eq!(dump.values().filter(|rows| **rows > 0).count(), 59);
    for (name, rows) in &dump {
        // A table that is empty in the source tells nothing.
        if source[name] > 0 {
            assert_eq!(is_carried(&decision, name), *rows > 0, "{name}");
        }
    }
    for name in ["databasechangelog", "databasechangeloglock"] {
        assert!(is_carried(&decision, name), "{name}");
    }
    let carried = decision
        .policy
        .tables
        .keys()
        .filter(|name| is_carried(&decision, name))
        .count();
    assert_eq!(carried, 59 + 2);
    // Every option leads to a policy, whatever the schema.
    for major in [51, 55, 63, 64] {
        for logs in [Logs::Carry, Logs::LeaveOut] {
            decide(
                &catalogue,
                &PolicyOptions {
                    logs,
                    ..options(major)
                },
            )
            .unwrap();
        }
    }
}

#[test]
fn versions_differ_in_sessions_and_api_keys() {
    let catalogue = catalogue(vec![
        table("api_key", &["id"]),
        table("core_session", &["id"]),
        refers(
            table("login_history", &["!id", "session_id"]),
            "session_id",
            "core_session",
        ),
    ]);
    let facts = [
        (Some(51), false, true),
        (Some(62), false, true),
        (Some(63), true, true),
    ];
    for (schema_major, api_key, session) in facts {
        let decision = decide(
            &catalogue,
            &PolicyOptions {
                schema_major,
                ..options(0)
            },
        )
        .unwrap();
        assert_eq!(is_carried(&decision, "api_key"), api_key, "{schema_major:?}");
        assert_eq!(is_carried(&decision, "core_session"), session, "{schema_major:?}");
        assert_eq!(carried(&decision, "login_history"), (vec![], vec![]));
    }
    for schema_major in [Some(64), None] {
        let decision = decide(
            &catalogue,
            &PolicyOptions {
                schema_major,
                ..options(0)
            },
        )
        .unwrap();
        assert!(is_carried(&decision, "api_key") && !is_carried(&decision, "core_session"));
        assert_eq!(
            carried(&decision, "login_history"),
            (vec![], vec![always("session_id", NewValue::Null)])
        );
    }
}

#[test]
fn changes_what_would_do_harm_at_the_target() {
    let catalogue = catalogue(vec![
        table(
            "METABASE_DATABASE",
            &["!ID", "ENGINE", "DETAILS", "IS_ATTACHED_DWH"],
        ),
        table("SETTING", &["!KEY", "!VALUE", "VALUE_WITH_AAD"]),
        table("DATABASECHANGELOG", &["!ID", "MD5SUM"]),
        table(
            "DATABASECHANGELOGLOCK",
            &["!ID", "!LOCKED", "LOCKGRANTED", "LOCKEDBY"],
        ),
        table("METABOT_PERMISSIONS", &["!ID", "!GROUP_ID"]),
    ]);
    let decision = decide(&catalogue, &options(65)).unwrap();
    let details = |when| CellRewrite {
        column: "details".to_owned(),
        when,
        to: NewValue::Text("{}".to_owned()),
    };
    let is_h2 = RewriteWhen::TextEquals {
        column: "engine".to_owned(),
        value: "h2".to_owned(),
    };
    let is_attached = RewriteWhen::IsTrue {
        column: "is_attached_dwh".to_owned(),
    };
    assert_eq!(
        carried(&decision, "metabase_database").1,
        [details(is_h2.clone()), details(is_attached)]
    );
    let setting = |key: &str| RowFilter::TextEquals {
        column: "key".to_owned(),
        value: key.to_owned(),
    };
    assert_eq!(
        carried(&decision, "setting"),
        (vec![setting("read-only-mode")], vec![])
    );
    assert_eq!(
        carried(&decision, "databasechangelog").1,
        [always("md5sum", NewValue::Null)]
    );
    assert_eq!(
        carried(&decision, "databasechangeloglock").1,
        [
            always("locked", NewValue::Boolean(false)),
            always("lockgranted", NewValue::Null),
            always("lockedby", NewValue::Null)
        ]
    );
    assert_eq!(carried(&decision, "metabot_permissions").0.len(), 1);

    let plain = decide(
        &catalogue,
        &PolicyOptions {
            plaintext: Plaintext::Decrypt,
            ..options(65)
        },
    )
    .unwrap();
    assert_eq!(
        carried(&plain, "setting"),
        (
            vec![setting("read-only-mode"), setting("encryption-check")],
            vec![always("value_with_aad", NewValue::Null)]
        )
    );
    // A version without the column: no rewrite that names it.
    let old = self::catalogue(vec![table("metabase_database", &["!id", "engine", "details"])]);
    assert_eq!(
        carried(&decide(&old, &options(51)).unwrap(), "metabase_database").1,
        [details(is_h2)]
    );
}

#[test]
fn what_only_this_instance_can_use_never_travels() {
    let names = [
        "qrtz_triggers",
        "cloud_migration",
        "query_cache",
        "metaferry_lease",
        "search_index_q1w2",
    ];
    let catalogue = catalogue(names.iter().map(|name| table(name, &["id"])).collect());
    let decision = decide(
        &catalogue,
        &PolicyOptions {
            logs: Logs::Carry,
            ..options(55)
        },
    )
    .unwrap();
    for name in names {
        assert!(!is_carried(&decision, name), "{name}");
        let include = vec![name.to_uppercase()];
        let refused = decide(
            &catalogue,
            &PolicyOptions {
                include,
                ..options(55)
            },
        )
        .unwrap_err();
        assert!(matches!(&refused.0[..], [PolicyError::IncludeRefused { table, .. }] if table == name));
    }
}
