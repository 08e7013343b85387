//! Columns, keys, indexes and the rest of the catalogue of every fixture are what H2 says of them.

use metaferry_h2_file::definition::{
    ColumnDefinition, ForeignKey, Nullability, ReferentialAction, TableDefinition, ValueSource, Visibility,
};
use metaferry_h2_file::{Database, IndexKind, SqlType, Text, Value};
use serde_json::Value as Json;

use crate::support::{FIXTURES, expected, open};

#[test]
fn columns_keys_and_indexes_equal_what_h2_says() {
    for name in FIXTURES {
        let database = open(name);
        let json = expected(name);
        for table in json["tables"].as_array().unwrap() {
            let (schema, table_name) = (table["schema"].as_str().unwrap(), table["name"].as_str().unwrap());
            let place = format!("{name}: {schema}.{table_name}");
            match table["kind"].as_str().unwrap() {
                "BASE TABLE" | "TABLE" => {
                    let found = database.table(schema, table_name).unwrap();
                    compare_definition(&place, found.definition(), table);
                    compare_indexes(&place, &database, found.id(), table);
                }
                "VIEW" => {
                    let view = database
                        .definition()
                        .views
                        .iter()
                        .find(|view| view.name == table_name)
                        .unwrap();
                    let columns: Vec<_> = table["columns"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|column| column["name"].clone())
                        .collect();
                    assert_eq!(view.columns, columns, "{place}");
                    assert!(view.query.starts_with("SELECT"), "{place}: {}", view.query);
                }
                "SYNONYM" => {
                    let synonym = format!("CREATE SYNONYM \"{schema}\".\"{table_name}\"");
                    assert!(
                        database
                            .definition()
                            .other
                            .iter()
                            .any(|sql| sql.starts_with(&synonym)),
                        "{place}"
                    );
                }
                other => panic!("{place}: {other}"),
            }
        }
    }
}

fn compare_definition(place: &str, table: &TableDefinition, json: &Json) {
    assert_eq!(table.comment.as_deref(), remarks(json), "{place}");
    let primary_key: Vec<_> = table
        .primary_key
        .iter()
        .flat_map(|key| key.columns.iter().map(String::as_str))
        .collect();
    let expected: Vec<_> = json["primary_key"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(primary_key, expected, "{place}");
    let visible: Vec<_> = table
        .columns
        .iter()
        .filter(|column| column.visibility == Visibility::Visible)
        .collect();
    let columns = json["columns"].as_array().unwrap();
    assert_eq!(visible.len(), columns.len(), "{place}");
    for (column, json) in visible.into_iter().zip(columns) {
        compare_column(&format!("{place}.{}", column.name), column, json);
    }
    let mut found: Vec<_> = table.foreign_keys.iter().flat_map(foreign_key_columns).collect();
    let mut expected: Vec<_> = json["foreign_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(Json::clone)
        .collect();
    found.sort_by_key(Json::to_string);
    expected.sort_by_key(Json::to_string);
    assert_eq!(found, expected, "{place}");
}

/// 1.4 reports an empty text for no comment.
fn remarks(json: &Json) -> Option<&str> {
    json["remarks"].as_str().filter(|remarks| !remarks.is_empty())
}

/// The standard names of types, for those that 1.4 reported.
fn standard_name(reported: &str) -> String {
    match reported {
        "VARCHAR" => "CHARACTER VARYING",
        "CLOB" => "CHARACTER LARGE OBJECT",
        "BLOB" => "BINARY LARGE OBJECT",
        "DOUBLE" => "DOUBLE PRECISION",
        "VARBINARY" => "BINARY VARYING",
        "CHAR" => "CHARACTER",
        other => other,
    }
    // DECIMAL and NUMERIC are stored alike; the definition does not tell them apart.
    .replace("DECIMAL", "NUMERIC")
}

fn compare_column(place: &str, column: &ColumnDefinition, json: &Json) {
    assert_eq!(column.name, json["name"].as_str().unwrap(), "{place}");
    let nullable = if column.nullability == Nullability::Nullable {
        "YES"
    } else {
        "NO"
    };
    assert_eq!(nullable, json["nullable"], "{place}");
    assert_eq!(column.comment.as_deref(), remarks(json), "{place}");
    let is = |yes| if yes { "YES" } else { "NO" };
    assert_eq!(
        is(matches!(column.value_source, ValueSource::Identity(_))),
        json["autoincrement"],
        "{place}"
    );
    assert_eq!(
        is(matches!(column.value_source, ValueSource::Generated(_))),
        json["generated"],
        "{place}"
    );
    let default = match &column.value_source {
        ValueSource::Default(expression) => Some(expression.as_str()),
        ValueSource::None | ValueSource::Generated(_) | ValueSource::Identity(_) => None,
    };
    // A domain's default is the column's in the definition; H2 lists it with the domain only.
    if column.name != "MAIL" && !matches!(column.value_source, ValueSource::Identity(_)) {
        assert_eq!(default, json["default"].as_str(), "{place}");
    }
    let (type_name, size, scale) = h2_type(&column.sql_type);
    let expected_name = standard_name(json["type"].as_str().unwrap());
    assert_eq!(
        type_name,
        expected_name.split('(').next().unwrap().trim(),
        "{place}"
    );
    if let Some(size) = size {
        assert_eq!(size.to_string(), json["size"].as_str().unwrap(), "{place}");
    }
    if let Some(scale) = scale {
        assert_eq!(scale.to_string(), json["scale"].as_str().unwrap(), "{place}");
    }
}

/// Name up to the first parenthesis, size and scale as JDBC reports them, where the type has them.
fn h2_type(sql_type: &SqlType) -> (String, Option<u32>, Option<u32>) {
    let (name, size, scale) = match sql_type {
        SqlType::Boolean => ("BOOLEAN", None, None),
        SqlType::TinyInt => ("TINYINT", None, None),
        SqlType::SmallInt => ("SMALLINT", None, None),
        SqlType::Integer => ("INTEGER", None, None),
        SqlType::BigInt => ("BIGINT", None, None),
        SqlType::Numeric { precision, scale } => ("NUMERIC", Some(*precision), Some(*scale)),
        SqlType::DecFloat(precision) => ("DECFLOAT", Some(*precision), None),
        SqlType::Real => ("REAL", None, None),
        SqlType::Double => ("DOUBLE PRECISION", None, None),
        SqlType::Char(length) => ("CHARACTER", Some(*length), None),
        SqlType::Varchar(length) => ("CHARACTER VARYING", Some(*length), None),
        SqlType::VarcharIgnoreCase(length) => ("VARCHAR_IGNORECASE", Some(*length), None),
        SqlType::Clob => ("CHARACTER LARGE OBJECT", None, None),
        SqlType::Binary(length) => ("BINARY", Some(*length), None),
        SqlType::Varbinary(length) => ("BINARY VARYING", Some(*length), None),
        SqlType::Blob => ("BINARY LARGE OBJECT", None, None),
        SqlType::Json => ("JSON", None, None),
        SqlType::JavaObject => ("JAVA_OBJECT", None, None),
        SqlType::Geometry => ("GEOMETRY", None, None),
        SqlType::Uuid => ("UUID", None, None),
        SqlType::Date => ("DATE", None, None),
        SqlType::Time(digits) => ("TIME", None, Some(u32::from(*digits))),
        SqlType::TimeTz(digits) => ("TIME WITH TIME ZONE", None, Some(u32::from(*digits))),
        SqlType::Timestamp(digits) => ("TIMESTAMP", None, Some(u32::from(*digits))),
        SqlType::TimestampTz(digits) => ("TIMESTAMP WITH TIME ZONE", None, Some(u32::from(*digits))),
        SqlType::Enum(_) => ("ENUM", None, None),
        SqlType::Interval(qualifier) => {
            const NAMES: [&str; 13] = [
                "YEAR",
                "MONTH",
                "DAY",
                "HOUR",
                "MINUTE",
                "SECOND",
                "YEAR TO MONTH",
                "DAY TO HOUR",
                "DAY TO MINUTE",
                "DAY TO SECOND",
                "HOUR TO MINUTE",
                "HOUR TO SECOND",
                "MINUTE TO SECOND",
            ];
            return (format!("INTERVAL {}", NAMES[usize::from(*qualifier)]), None, None);
        }
        SqlType::Array(element) => match **element {
            // The length in parentheses comes before ARRAY.
            SqlType::Varchar(_) => ("CHARACTER VARYING", None, None),
            ref element => return (format!("{} ARRAY", h2_type(element).0), None, None),
        },
        SqlType::Row(_) => ("ROW", None, None),
    };
    (name.to_owned(), size, scale)
}

fn foreign_key_columns(key: &ForeignKey) -> Vec<Json> {
    // JDBC's numbers for the rules.
    let rule = |action| match action {
        ReferentialAction::Cascade => "0",
        ReferentialAction::Restrict => "1",
        ReferentialAction::SetNull => "2",
        ReferentialAction::SetDefault => "4",
    };
    let pairs = key.columns.iter().zip(&key.parent_columns);
    pairs
        .map(|(column, parent)| {
            serde_json::json!({
                "fk_name": key.name, "fkcolumn_name": column, "pktable_schem": key.parent_schema,
                "pktable_name": key.parent_table, "pkcolumn_name": parent,
                "delete_rule": rule(key.on_delete), "update_rule": rule(key.on_update),
            })
        })
        .collect()
}

fn compare_indexes(place: &str, database: &Database, table: u32, json: &Json) {
    let mut found = Vec::new();
    for index in database.indexes().iter().filter(|index| index.table == table) {
        for (place, column) in index.columns.iter().enumerate() {
            found.push(serde_json::json!({
                "name": index.name,
                "unique": matches!(index.kind, IndexKind::PrimaryKey | IndexKind::Unique),
                "pos": place + 1,
                "column": column.name,
                "order": if column.sort_type & 1 == 1 { "D" } else { "A" },
            }));
        }
    }
    let mut expected = json["indexes"].as_array().unwrap().clone();
    found.sort_by_key(Json::to_string);
    expected.sort_by_key(Json::to_string);
    assert_eq!(found, expected, "{place}");
}

#[test]
fn the_rest_of_the_catalogue_is_there() {
    let database = open("schema");
    let definition = database.definition();
    assert_eq!(definition.schemas, ["Mixed Case", "APP"]);
    let sequences: Vec<_> = definition
        .sequences
        .iter()
        .map(|found| (found.name.as_str(), found.start, found.increment, found.next))
        .collect();
    assert_eq!(sequences, [("SEQ1", 100, 5, 120), ("SEQ2", -1, -1, -1)]);
    let parent = database.table("APP", "PARENT").unwrap().definition();
    let ValueSource::Identity(identity) = &parent.columns[0].value_source else {
        panic!("{:?}", parent.columns[0])
    };
    assert_eq!((identity.start, identity.increment, identity.next), (10, 10, 50));
    assert_eq!(parent.checks, [("CK_QTY".to_owned(), "\"QTY\" > 0".to_owned())]);
    assert_eq!(
        parent.columns[5].value_source,
        ValueSource::Generated("\"QTY\" * \"PRICE\"".to_owned())
    );
    assert_eq!(
        parent.columns[2].value_source,
        ValueSource::Default("'a@b'".to_owned())
    );
    assert_eq!(parent.indexes.len(), 1);
    assert_eq!(parent.indexes[0].columns[0].sort_type, 5);
    let child = database.table("APP", "CHILD").unwrap();
    let mut rows = database.rows(child);
    let hidden = rows.next_row().unwrap().unwrap();
    assert_eq!(hidden.values[3], Value::Varchar(Text::Utf8("hidden".into())));
    let facts = database.facts();
    assert_eq!(facts.users, ["SA", "READER"]);
    for beginning in [
        "CREATE DOMAIN",
        "CREATE CONSTANT",
        "CREATE FORCE ALIAS",
        "GRANT",
        "ALTER DOMAIN",
    ] {
        assert!(
            definition.other.iter().any(|sql| sql.starts_with(beginning)),
            "{beginning}"
        );
    }
    assert!(
        !definition.other.iter().any(|sql| sql.contains("HASH")),
        "password hashes are not passed on"
    );
}
