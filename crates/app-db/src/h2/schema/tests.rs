use metaferry_domain::schema::{
    Check, Column, DataType, Dialect, ForeignKey, IndexOrder, Key, SqlText, View,
};

use super::*;

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: Name::new(name),
        data_type,
        native_type: "its type".to_owned(),
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        comment: None,
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        schema: Name::new("public"),
        name: Name::new(name),
        columns,
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

fn translated(tables: Vec<Table>) -> Result<Translation, PortError> {
    translate(&Catalogue {
        tables,
        views: Vec::new(),
    })
}

fn sql(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::Postgres,
        text: text.to_owned(),
    }
}

fn key(name: &str, column: &str) -> Key {
    Key {
        name: Name::new(name),
        columns: vec![Name::new(column)],
    }
}

fn index(name: &str, uniqueness: Uniqueness, column: &str) -> Index {
    let part = IndexPart::Column {
        name: Name::new(column),
        order: IndexOrder::Descending,
    };
    Index {
        name: Name::new(name),
        uniqueness,
        parts: vec![part],
        predicate: None,
    }
}

#[test]
fn names_that_become_one_are_refused() {
    let twins = vec![table("same", Vec::new()), table("SAME", Vec::new())];
    let error = translated(twins).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.what.contains("both be \"SAME\""), "{error}");
    let columns = vec![column("id", DataType::Integer), column("ID", DataType::Integer)];
    let error = translated(vec![table("t", columns)]).unwrap_err();
    assert!(
        error.what.contains("table t: columns \"id\" and \"ID\""),
        "{error}"
    );
}

#[test]
fn metabases_narrow_columns_keep_their_types_on_h2() {
    let mut query = table("query", vec![column("query_hash", DataType::Blob)]);
    query.primary_key = Some(key("query_pkey", "query_hash"));
    let user = table(
        "core_user",
        vec![column("email", DataType::VarcharIgnoreCase(None))],
    );
    let translation = translated(vec![query, user]).unwrap();
    let [query, user] = &translation.definition.tables[..] else {
        panic!()
    };
    assert_eq!(query.columns[0].sql_type, SqlType::Binary(32));
    assert_eq!(query.primary_key.as_ref().unwrap().name, "PK_QUERY");
    assert_eq!(user.columns[0].sql_type, SqlType::VarcharIgnoreCase(254));
    assert_eq!(translation.notes, Vec::<String>::new());
}

#[test]
fn large_objects_are_narrowed_in_keys_and_not_indexed_elsewhere() {
    let columns = vec![
        column("a", DataType::Text),
        column("b", DataType::Text),
        column("c", DataType::Blob),
    ];
    let mut t = table("t", columns);
    t.uniques = vec![key("u", "a")];
    t.indexes = vec![
        index("i", Uniqueness::NonUnique, "b"),
        index("j", Uniqueness::Unique, "c"),
    ];
    let translation = translated(vec![t]).unwrap();
    let t = &translation.definition.tables[0];
    let types: Vec<_> = t.columns.iter().map(|column| &column.sql_type).collect();
    assert_eq!(
        types,
        [
            &SqlType::Varchar(1_048_576),
            &SqlType::Clob,
            &SqlType::Varbinary(1_048_576)
        ]
    );
    assert_eq!(t.indexes.len(), 1);
    assert_eq!(
        (t.indexes[0].name.as_str(), t.indexes[0].columns[0].sort_type),
        ("J", DESCENDING_NULLS_LAST)
    );
    assert!(
        translation
            .notes
            .iter()
            .any(|note| note.starts_with("index i of table t is left out"))
    );
}

#[test]
fn a_unique_index_that_is_referred_to_becomes_a_constraint() {
    let mut parent = table("parent", vec![column("code", DataType::Integer)]);
    parent.indexes = vec![index("parent_code", Uniqueness::Unique, "code")];
    let mut child = table("child", vec![column("code", DataType::Integer)]);
    let foreign = |name: &str, parent: &str| ForeignKey {
        name: Name::new(name),
        columns: vec![Name::new("code")],
        parent_table: Name::new(parent),
        parent_columns: vec![Name::new("code")],
        on_delete: ReferentialAction::NoAction,
        on_update: ReferentialAction::SetDefault,
    };
    child.foreign_keys = vec![foreign("fk", "parent"), foreign("gone", "elsewhere")];
    let translation = translated(vec![child, parent]).unwrap();
    let [child, parent] = &translation.definition.tables[..] else {
        panic!()
    };
    assert_eq!(parent.uniques[0].name, "PARENT_CODE");
    assert!(parent.indexes.is_empty());
    assert_eq!(child.foreign_keys.len(), 1);
    assert_eq!(child.foreign_keys[0].on_delete, h2::ReferentialAction::Restrict);
    assert_eq!(child.foreign_keys[0].on_update, h2::ReferentialAction::SetDefault);
    assert_eq!(
        translation.notes,
        ["foreign key gone of table child is left out: table elsewhere does not travel"]
    );
}

#[test]
fn what_h2_cannot_say_is_left_out_with_its_name() {
    let mut number = column("n", DataType::Integer);
    number.value_source = ValueSource::Default(sql("(random() * 10)::integer"));
    let mut t = table("t", vec![number, column("word", DataType::Text)]);
    let check = |name: &str, text: &str| Check {
        name: Name::new(name),
        condition: sql(text),
    };
    t.checks = vec![
        check("fine", "((n > 0) AND (n < 10))"),
        check("odd", "((word)::text < 'm'::text)"),
    ];
    let mut partial = index("partial", Uniqueness::Unique, "n");
    partial.predicate = Some(sql("(n > 5)"));
    let mut lower = index("lower", Uniqueness::NonUnique, "n");
    lower.parts = vec![IndexPart::Expression(sql("lower(word)"))];
    t.indexes = vec![partial, lower];
    let view = View {
        schema: Name::new("public"),
        name: Name::new("v"),
        columns: vec![Name::new("x")],
        query: sql("SELECT t.word AS x FROM t ORDER BY t.word"),
        comment: None,
    };
    let translation = translate(&Catalogue {
        tables: vec![t],
        views: vec![view],
    })
    .unwrap();
    let t = &translation.definition.tables[0];
    assert_eq!(t.columns[0].value_source, h2::ValueSource::None);
    assert_eq!(
        t.checks,
        [("FINE".to_owned(), "(\"N\" > 0) AND (\"N\" < 10)".to_owned())]
    );
    assert!(t.indexes.is_empty() && translation.definition.views.is_empty());
    for (note, start) in translation.notes.iter().zip([
        "table t, column n: its default (random() * 10)::integer is left out because of",
        "unique index partial of table t is left out: H2 has no indexes over some rows only",
        "index lower of table t is left out: H2 has no indexes over expressions",
        "check odd of table t is left out because of the operator <",
        "view v is left out because of ORDER BY",
    ]) {
        assert!(note.starts_with(start), "{note}");
    }
    assert_eq!(translation.notes.len(), 5);
}

#[test]
fn fractions_of_seconds_are_declared_as_at_the_source() {
    let mut zoned = column("a", DataType::TimestampTz);
    zoned.native_type = "timestamp(3) with time zone".to_owned();
    let mut plain = column("b", DataType::Time);
    plain.native_type = "time without time zone".to_owned();
    let translation = translated(vec![table("t", vec![zoned, plain])]).unwrap();
    let types: Vec<_> = translation.definition.tables[0]
        .columns
        .iter()
        .map(|column| column.sql_type.clone())
        .collect();
    assert_eq!(types, [SqlType::TimestampTz(3), SqlType::Time(6)]);
}
