//! Files of the writer, judged by real H2 2.1.214 with assertions on.

#[path = "oracle/harness.rs"]
mod harness;

use harness::Oracle;
use metaferry_h2_file::definition::*;
use metaferry_h2_file::*;

#[test]
fn spike() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spike.mv.db");
    let column = |name: &str, sql_type, value_source| ColumnDefinition {
        name: name.to_owned(),
        sql_type,
        nullability: Nullability::Nullable,
        value_source,
        visibility: Visibility::Visible,
        comment: None,
    };
    let table = TableDefinition {
        schema: "PUBLIC".to_owned(),
        name: "T".to_owned(),
        columns: vec![
            column("ID", SqlType::Integer, ValueSource::Identity(Identity { kind: IdentityKind::ByDefault, start: 1, increment: 1, next: 1 })),
            column("NAME", SqlType::Varchar(100), ValueSource::None),
        ],
        primary_key: Some(PrimaryKey { name: "PK_T".to_owned(), columns: vec!["ID".to_owned()] }),
        uniques: vec![],
        foreign_keys: vec![],
        checks: vec![],
        indexes: vec![IndexDefinition { name: "IX".to_owned(), uniqueness: Uniqueness::NonUnique, columns: vec![IndexColumn { name: "NAME".to_owned(), sort_type: 2 }] }],
        comment: None,
    };
    let definition = Definition { tables: vec![table], ..Definition::default() };
    let db = DatabaseWriter::create(&file, definition, WriteOptions::default()).unwrap();
    let mut t = db.table(0).unwrap();
    for n in 1..=10_000 {
        t.push(&[Value::Integer(n), Value::Varchar(Text::Utf8(format!("name{}", n * 7919 % 10_007).into()))]).unwrap();
    }
    t.finish().unwrap();
    println!("{:?}", db.finish().unwrap());
    h2.connect(&file, "");
    println!("{:#?}", h2.run("SCRIPT NODATA"));
    println!("{:#?}", h2.run("SELECT COUNT(*), SUM(ID), MIN(NAME) FROM T"));
    println!("{:#?}", h2.run("SELECT * FROM T WHERE NAME = 'name5'"));
    println!("{:#?}", h2.run("EXPLAIN SELECT * FROM T WHERE NAME = 'name5'"));
    h2.run("INSERT INTO T(NAME) VALUES('x')");
    println!("{:#?}", h2.run("SELECT * FROM T WHERE NAME = 'x'"));
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&file, "");
    println!("{:#?}", h2.run("SELECT COUNT(*), SUM(ID), MIN(NAME) FROM T"));
}
