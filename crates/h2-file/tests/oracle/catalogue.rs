//! Everything that a definition can say, as H2 takes it and acts on it.

use std::fs;

use metaferry_h2_file::definition::{
    Definition, Identity, IdentityKind, ReferentialAction, SequenceDefinition, TableDefinition, Uniqueness,
    ValueSource, ViewDefinition, Visibility,
};
use metaferry_h2_file::{SqlType, Text, Value, WriteOptions, WriteUser};

use crate::harness::{self, Oracle};
use crate::schema::{column, foreign_key, index, keyed, primary_key, required, table, unique};
use crate::{Rows, write};

fn varchar(text: &str) -> Value<'_> {
    Value::Varchar(Text::Utf8(text.into()))
}

fn parent() -> TableDefinition {
    let mut parent = keyed("PARENT", vec![required("NAME", SqlType::Varchar(40))]);
    parent.comment = Some("the parent's comment, with 'quotes' and é".to_owned());
    parent.columns[1].comment = Some("a \\ and\na line".to_owned());
    parent.uniques.push(unique("UQ_NAME", &["NAME"]));
    parent
}

fn child() -> TableDefinition {
    let mut child = keyed(
        "CHILD",
        vec![
            column("PARENT_ID", SqlType::Integer),
            column("OTHER_ID", SqlType::Integer),
            required("QTY", SqlType::BigInt),
            column("TWICE", SqlType::BigInt),
            column("STATE", SqlType::Varchar(10)),
            column("HIDDEN", SqlType::Boolean),
            column("AT", SqlType::TimestampTz(6)),
        ],
    );
    child.columns[4].value_source = ValueSource::Generated("\"QTY\" * 2".to_owned());
    child.columns[5].value_source = ValueSource::Default("'new'".to_owned());
    child.columns[6].visibility = Visibility::Invisible;
    child.columns[7].value_source = ValueSource::Default("LOCALTIMESTAMP".to_owned());
    child.foreign_keys.push(foreign_key(
        "FK_PARENT",
        "PARENT_ID",
        "PARENT",
        ReferentialAction::Cascade,
    ));
    child.foreign_keys.push(foreign_key(
        "FK_OTHER",
        "OTHER_ID",
        "PARENT",
        ReferentialAction::SetNull,
    ));
    child.checks.push(("CK_QTY".to_owned(), "\"QTY\" > 0".to_owned()));
    child
        .indexes
        .push(index("IX_PARENT", Uniqueness::NonUnique, &[("PARENT_ID", 2)]));
    child
        .indexes
        .push(index("IX_STATE", Uniqueness::Unique, &[("STATE", 5), ("QTY", 2)]));
    child
}

fn odd_names() -> TableDefinition {
    let mut odd = table("Mixed \"Case\" 日\u{1F600}");
    odd.schema = "my schema".to_owned();
    odd.columns = vec![
        required("Key,1", SqlType::Varchar(20)),
        required("b\"c", SqlType::SmallInt),
        column("ü", SqlType::Boolean),
    ];
    odd.primary_key = Some(primary_key("pk odd", &["Key,1", "b\"c"]));
    odd
}

fn definition() -> Definition {
    let mut counted = table("COUNTED");
    counted.columns = vec![column("A", SqlType::Integer)];
    let mut back = table("BACKWARD");
    let identity = Identity {
        kind: IdentityKind::Always,
        start: -1,
        increment: -5,
        next: -1,
    };
    back.columns = vec![required("N", SqlType::SmallInt), column("X", SqlType::Integer)];
    back.columns[0].value_source = ValueSource::Identity(identity);
    back.primary_key = Some(primary_key("PK_BACK", &["N"]));
    Definition {
        schemas: vec!["my schema".to_owned()],
        tables: vec![parent(), child(), odd_names(), counted, back, keyed("EMPTY", vec![column("V", SqlType::Clob)]), table("BARE"),],
        views: vec![ViewDefinition {
            schema: "PUBLIC".to_owned(),
            name: "V_CHILD".to_owned(),
            columns: vec!["NAME".to_owned(), "N".to_owned()],
            query: "SELECT\n    \"P\".\"NAME\",\n    COUNT(*)\nFROM \"PUBLIC\".\"CHILD\" \"C\"\nINNER JOIN \"PUBLIC\".\"PARENT\" \"P\"\n    ON 1=1\nWHERE \"P\".\"ID\" = \"C\".\"PARENT_ID\"\nGROUP BY \"P\".\"NAME\"".to_owned(),
            comment: Some("a view".to_owned()),
        }],
        sequences: vec![SequenceDefinition {
            schema: "PUBLIC".to_owned(),
            name: "FREE".to_owned(),
            start: 10,
            increment: 2,
            next: 14,
        }],
        other: vec!["CREATE DOMAIN \"PUBLIC\".\"MAIL\" AS CHARACTER VARYING(255)".to_owned()],
    }
}

fn rows() -> Vec<Rows> {
    let parents = (1..=50).map(|id| vec![Value::Integer(id), name(id)]).collect();
    let children = (1..=200)
        .map(|id| {
            vec![
                Value::Integer(id * 3),
                if id % 7 == 0 {
                    Value::Null
                } else {
                    Value::Integer(id % 50 + 1)
                },
                if id % 2 == 0 {
                    Value::Null
                } else {
                    Value::Integer(id % 40 + 1)
                },
                Value::BigInt(i64::from(id)),
                Value::BigInt(i64::from(id) * 2),
                varchar("old"),
                Value::Boolean(id % 3 == 0),
                Value::Null,
            ]
        })
        .collect();
    let odd = vec![
        vec![varchar("b"), Value::SmallInt(1), Value::Null],
        vec![varchar("a"), Value::SmallInt(2), Value::Boolean(true)],
        vec![varchar("a"), Value::SmallInt(-2), Value::Boolean(true)],
    ];
    let counted = (0..10).map(|n| vec![Value::Integer(n % 3)]).collect();
    let backward = [-11, -6, -1]
        .map(|n| vec![Value::SmallInt(n), Value::Null])
        .to_vec();
    vec![
        parents,
        children,
        odd,
        counted,
        backward,
        Rows::new(),
        vec![Vec::new(); 3],
    ]
}

fn name(id: i32) -> Value<'static> {
    Value::Varchar(Text::Utf8(format!("name {id:03}").into()))
}

/// What `SCRIPT NODATA` must say of [`definition`], one statement a line as the oracle shows it.
const SCRIPT: &str = include_str!("catalogue.script");

#[test]
fn a_definition_reads_back_as_it_was_and_is_in_force() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.mv.db");
    write(&file, &definition(), &rows(), WriteOptions::default());
    let written = fs::read(&file).unwrap();

    h2.connect(&file, ";ACCESS_MODE_DATA=r");
    let script = h2.run("SCRIPT NODATA");
    assert_eq!(h2.run("SELECT COUNT(*) FROM CHILD WHERE PARENT_ID = 5"), ["3"]);
    h2.run("!close");
    assert!(
        fs::read(&file).unwrap() == written,
        "opening read-only changes nothing"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/catalogue.script");
        fs::write(path, script.join("\n") + "\n").unwrap();
    } else {
        assert_eq!(script, SCRIPT.lines().collect::<Vec<_>>());
    }

    // The first opening that may write adds little and rewrites no object.
    h2.connect(&file, "");
    h2.run("!close");
    let grown = fs::metadata(&file).unwrap().len() - written.len() as u64;
    assert!(grown < 64 * 1024, "{grown}");

    h2.connect(&file, "");
    assert_eq!(h2.run("SCRIPT NODATA"), script);
    in_force(&mut h2);
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&file, "");
    assert_eq!(
        h2.run("SELECT COUNT(*) FROM \"my schema\".\"Mixed \"\"Case\"\" 日\u{1F600}\" WHERE \"Key,1\" = 'a'"),
        ["2"]
    );
    h2.run("SHUTDOWN");
    assert!(harness::recover(&file) > 1000);
}

fn in_force(h2: &mut Oracle) {
    // Identities continue beyond the highest id.
    h2.run("INSERT INTO PARENT(NAME) VALUES('next')");
    assert_eq!(h2.run("SELECT ID FROM PARENT WHERE NAME = 'next'"), ["51"]);
    h2.run("INSERT INTO CHILD(PARENT_ID, QTY) VALUES(51, 1000)");
    assert_eq!(
        h2.run("SELECT ID, TWICE, STATE, HIDDEN FROM CHILD WHERE QTY = 1000"),
        ["601\t2000\ttext:new\tnull"]
    );
    h2.run("INSERT INTO BACKWARD(X) VALUES(1)");
    assert_eq!(h2.run("SELECT N FROM BACKWARD WHERE X = 1"), ["-16"]);
    h2.run("INSERT INTO COUNTED VALUES(77)");
    assert_eq!(h2.run("SELECT _ROWID_ FROM COUNTED WHERE A = 77"), ["11"]);
    assert_eq!(h2.run("VALUES NEXT VALUE FOR FREE"), ["14"]);
    h2.run("INSERT INTO EMPTY(V) VALUES('v')");
    assert_eq!(h2.run("SELECT ID, V FROM EMPTY"), ["1\ttext:v"]);
    assert_eq!(h2.run("SELECT COUNT(*) FROM BARE"), ["3"]);
    // Constraints hold.
    h2.refuse("INSERT INTO PARENT(NAME) VALUES('name 007')", "23505");
    h2.refuse("INSERT INTO PARENT(ID, NAME) VALUES(7, 'seven')", "23505");
    h2.refuse("INSERT INTO CHILD(PARENT_ID, QTY) VALUES(999, 1)", "23506");
    h2.refuse("INSERT INTO CHILD(OTHER_ID, QTY) VALUES(999, 1)", "23506");
    h2.refuse("INSERT INTO CHILD(PARENT_ID, QTY) VALUES(1, 0)", "23513");
    h2.refuse("INSERT INTO CHILD(PARENT_ID, QTY) VALUES(1, NULL)", "23502");
    h2.refuse("INSERT INTO CHILD(QTY, STATE) VALUES(4, 'old')", "23505");
    h2.refuse(
        "INSERT INTO \"my schema\".\"Mixed \"\"Case\"\" 日\u{1F600}\" VALUES('a', 2, NULL)",
        "23505",
    );
    // Deletes cascade, set NULL, and keep the indexes true.
    let count =
        |h2: &mut Oracle, condition: &str| h2.run(&format!("SELECT COUNT(*) FROM CHILD WHERE {condition}"));
    assert_eq!(count(h2, "OTHER_ID = 4"), ["5"]);
    h2.run("DELETE FROM PARENT WHERE ID = 4");
    assert_eq!(count(h2, "PARENT_ID = 4"), ["0"]);
    assert_eq!(count(h2, "OTHER_ID = 4"), ["0"]);
    assert_eq!(h2.run("SELECT N FROM V_CHILD WHERE NAME = 'name 005'"), ["3"]);
    assert!(
        h2.run("EXPLAIN SELECT * FROM CHILD WHERE PARENT_ID = 5")
            .join("")
            .contains("IX_PARENT")
    );
    assert!(
        h2.run("EXPLAIN SELECT * FROM CHILD WHERE OTHER_ID = 5")
            .join("")
            .contains("FK_OTHER_INDEX")
    );
    assert!(
        h2.run("EXPLAIN SELECT * FROM CHILD WHERE ID = 5")
            .join("")
            .contains("PRIMARY_KEY")
    );
    h2.run("UPDATE CHILD SET STATE = 'st' || ID, PARENT_ID = 9");
    assert_eq!(count(h2, "PARENT_ID = 9"), count(h2, "1 = 1"));
}

#[test]
fn a_user_with_a_password_gets_in_and_nobody_else() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user.mv.db");
    let user = WriteUser::with_password("ÄNNE", "p€ss", [1, 2, 3, 4, 5, 6, 7, 0xFF]);
    let definition = Definition {
        tables: vec![parent()],
        ..Definition::default()
    };
    write(
        &file,
        &definition,
        &rows()[..1],
        WriteOptions {
            user,
            ..WriteOptions::default()
        },
    );
    let url = harness::url(&file, "");
    h2.refuse(&format!("!connect {url}"), "28000");
    h2.refuse(&format!("!connect {url} änne wrong"), "28000");
    h2.run(&format!("!connect {url} änne p€ss"));
    assert_eq!(h2.run("SELECT COUNT(*) FROM PARENT"), ["50"]);
    h2.run("!close");
}

#[test]
fn a_table_whose_rows_came_out_of_order_is_like_any_other() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unordered.mv.db");
    let definition = Definition {
        tables: vec![parent(), child()],
        ..Definition::default()
    };
    let mut rows = rows();
    rows.truncate(2);
    for (table, rotated) in rows.iter_mut().zip([3, 50]) {
        table.rotate_left(rotated);
        let highest = table.len() - 10;
        table.swap(2, highest);
    }
    write(
        &file,
        &definition,
        &rows,
        WriteOptions {
            sort_memory_bytes: 1,
            ..WriteOptions::default()
        },
    );
    h2.connect(&file, ";ACCESS_MODE_DATA=r");
    assert_eq!(
        h2.run("SELECT COUNT(*), MIN(ID), MAX(ID), SUM(ID) FROM CHILD"),
        ["200\t3\t600\t60300"]
    );
    let plan = h2.run("EXPLAIN SELECT ID FROM CHILD ORDER BY ID").join("");
    assert!(
        plan.contains("PRIMARY_KEY") && plan.contains("index sorted"),
        "{plan}"
    );
    assert_eq!(
        h2.run("SELECT ID FROM CHILD ORDER BY ID"),
        (1..=200).map(|id| (id * 3).to_string()).collect::<Vec<_>>()
    );
    for id in [3, 153, 303, 600] {
        assert_eq!(
            h2.run(&format!("SELECT ID, QTY FROM CHILD WHERE ID = {id}")),
            [format!("{id}\t{}", id / 3)]
        );
    }
    h2.run("!close");
    h2.connect(&file, "");
    h2.refuse("INSERT INTO CHILD(ID, QTY) VALUES(303, 5)", "23505");
    h2.run("INSERT INTO PARENT(NAME) VALUES('next')");
    assert_eq!(h2.run("SELECT ID FROM PARENT WHERE NAME = 'next'"), ["51"]);
    h2.run("DELETE FROM PARENT WHERE ID = 4");
    assert_eq!(
        h2.run("SELECT COUNT(*) FROM CHILD WHERE PARENT_ID = 4 OR OTHER_ID = 4"),
        ["0"]
    );
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&file, "");
    assert_eq!(h2.run("SELECT COUNT(*) FROM PARENT"), ["50"]);
    h2.run("!close");
}
