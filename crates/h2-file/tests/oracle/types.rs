//! Every type, every index order, and large objects of every length.

use metaferry_h2_file::definition::{Definition, Uniqueness};
use metaferry_h2_file::{SqlType, Text, Value, WriteOptions};

use crate::harness::Oracle;
use crate::schema::{column, index, keyed};
use crate::values::{can_be_key, every_type};
use crate::{Rows, assert_same, cells, numbered_rows, write};

#[test]
fn every_value_of_every_type_is_what_h2_reads() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let columns = every_type()
        .into_iter()
        .enumerate()
        .map(|(n, one)| column(&format!("C{n}"), one))
        .collect();
    let definition = Definition {
        tables: vec![keyed("ALL_TYPES", columns)],
        ..Definition::default()
    };
    let rows = numbered_rows(&definition.tables[0], 400, 1);
    for (name, inline_lob_bytes_max) in [("inline", 1 << 20), ("stored", 100)] {
        let file = folder.path().join(format!("{name}.mv.db"));
        let options = WriteOptions {
            inline_lob_bytes_max,
            chunk_bytes: 256 * 1024,
            ..WriteOptions::default()
        };
        write(&file, &definition, std::slice::from_ref(&rows), options);
        h2.connect(&file, ";ACCESS_MODE_DATA=r");
        let expected = cells(&definition.tables[0], &rows);
        assert_same(&h2.run("SELECT * FROM ALL_TYPES ORDER BY ID"), &expected);
        h2.run("!close");
        // What H2 stores when it writes the same rows itself.
        h2.connect(&file, "");
        h2.run("CREATE TABLE COPY AS SELECT * FROM ALL_TYPES");
        h2.run("UPDATE ALL_TYPES SET ID = -ID");
        h2.run("SHUTDOWN DEFRAG");
        h2.connect(&file, "");
        assert_same(&h2.run("SELECT * FROM COPY ORDER BY ID"), &expected);
        assert_eq!(
            h2.run("SELECT COUNT(*) FROM ALL_TYPES A JOIN COPY C ON A.ID = -C.ID"),
            ["400"]
        );
        h2.run("!close");
    }
}

#[test]
fn every_index_order_is_h2s_own() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.mv.db");
    let types: Vec<SqlType> = every_type().into_iter().filter(can_be_key).collect();
    let mut keys = keyed(
        "K",
        types
            .into_iter()
            .enumerate()
            .map(|(n, one)| column(&format!("C{n}"), one))
            .collect(),
    );
    let mut orders = Vec::new();
    for column in keys.columns.clone().into_iter().skip(1) {
        for (sort_type, order) in [
            (2, "NULLS FIRST"),
            (4, "NULLS LAST"),
            (5, "DESC NULLS LAST"),
            (3, "DESC NULLS FIRST"),
        ] {
            let name = format!("I_{}_{sort_type}", column.name);
            keys.indexes
                .push(index(&name, Uniqueness::NonUnique, &[(&column.name, sort_type)]));
            orders.push((name, format!("{} {order}", column.name)));
        }
    }
    keys.indexes.push(index(
        "I_MANY",
        Uniqueness::NonUnique,
        &[("C0", 5), ("C11", 2), ("C3", 4)],
    ));
    orders.push((
        "I_MANY".to_owned(),
        "C0 DESC NULLS LAST, C11 NULLS FIRST, C3 NULLS LAST".to_owned(),
    ));
    let definition = Definition {
        tables: vec![keys],
        ..Definition::default()
    };
    let rows = numbered_rows(&definition.tables[0], 1500, 2);
    // Little memory, so that indexes go through their temporary files.
    write(
        &file,
        &definition,
        &[rows],
        WriteOptions {
            sort_memory_bytes: 1,
            ..WriteOptions::default()
        },
    );
    h2.connect(&file, "");
    h2.run("CREATE TABLE UNSORTED AS SELECT * FROM K");
    for (name, order) in &orders {
        let explained = h2
            .run(&format!(
                "EXPLAIN SELECT ID FROM K USE INDEX({name}) ORDER BY {order}"
            ))
            .join("");
        assert!(
            explained.contains("index sorted") && explained.contains(name.as_str()),
            "{explained}"
        );
        let by_index = h2.run(&format!("SELECT ID FROM K USE INDEX({name}) ORDER BY {order}"));
        let by_sort = h2.run(&format!("SELECT ID FROM UNSORTED ORDER BY {order}, ID"));
        assert!(by_index == by_sort, "{name}: {order}");
        assert_eq!(by_index.len(), 1500);
    }
}

#[test]
fn large_objects_of_every_length_come_back_and_can_be_changed() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lobs.mv.db");
    let definition = Definition {
        tables: vec![keyed(
            "L",
            vec![column("C", SqlType::Clob), column("B", SqlType::Blob)],
        )],
        ..Definition::default()
    };
    // Around the block length, the in-place rest, and long enough for a stream id of its own block.
    let lengths = [
        0,
        1,
        255,
        256,
        262_143,
        262_144,
        262_145,
        262_144 + 255,
        262_144 + 256,
        600_000,
        20_000_000,
    ];
    let rows: Rows = lengths
        .iter()
        .zip(1..)
        .map(|(&length, id)| {
            let text: String = "aé日\u{1F600}".chars().cycle().take(length / 3).collect();
            let bytes: Vec<u8> = (0..251_u8).cycle().take(length).collect();
            vec![
                Value::Integer(id),
                Value::Clob(Text::Utf8(text.into())),
                Value::Blob(bytes.into()),
            ]
        })
        .collect();
    write(
        &file,
        &definition,
        std::slice::from_ref(&rows),
        WriteOptions {
            inline_lob_bytes_max: 200,
            ..WriteOptions::default()
        },
    );
    let check = |h2: &mut Oracle, factor: i32| {
        for row in &rows {
            let [
                Value::Integer(id),
                Value::Clob(Text::Utf8(text)),
                Value::Blob(bytes),
            ] = row.as_slice()
            else {
                panic!("another row");
            };
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let hash = |bytes: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
            let found = h2.run(&format!(
                "SELECT CHAR_LENGTH(C), HASH('SHA-256', UTF16BE(C)), OCTET_LENGTH(B), HASH('SHA-256', B) FROM L WHERE ID = {}",
                id * factor
            ));
            let expected = format!(
                "{}\tbytes:{}\t{}\tbytes:{}",
                units.len() / 2,
                hash(&units),
                bytes.len(),
                hash(bytes)
            );
            assert_eq!(found, [expected]);
        }
    };
    h2.connect(&file, "");
    h2.run("CREATE ALIAS UTF16BE AS 'byte[] f(String s) { return s.getBytes(java.nio.charset.StandardCharsets.UTF_16BE); }'");
    check(&mut h2, 1);
    h2.run("INSERT INTO L(ID, C, B) SELECT -ID, C, B FROM L");
    h2.run("DELETE FROM L WHERE ID > 0");
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&file, "");
    check(&mut h2, -1);
    assert_eq!(h2.run("SELECT COUNT(*) FROM L"), [lengths.len().to_string()]);
}

#[test]
fn trees_of_many_levels_are_searched_and_changed() {
    let Some(mut h2) = Oracle::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep.mv.db");
    // Keys so long that a node has few children: four levels and more.
    let mut table = keyed(
        "T",
        vec![
            column("NAME", SqlType::Varchar(5000)),
            column("N", SqlType::BigInt),
        ],
    );
    table
        .indexes
        .push(index("IX", Uniqueness::Unique, &[("NAME", 2)]));
    let definition = Definition {
        tables: vec![table],
        ..Definition::default()
    };
    let rows: Rows = (1..=2500)
        .map(|id: i32| {
            let name = format!("{:04000}", i64::from(id) * 7919 % 10_007);
            vec![
                Value::Integer(id),
                Value::Varchar(Text::Utf8(name.into())),
                Value::BigInt(id.into()),
            ]
        })
        .collect();
    write(
        &file,
        &definition,
        std::slice::from_ref(&rows),
        WriteOptions::default(),
    );
    h2.connect(&file, "");
    let found_by_index =
        "SELECT COUNT(*) FROM (SELECT NAME X FROM T USE INDEX()) S JOIN T USE INDEX(IX) ON T.NAME = S.X";
    assert_eq!(h2.run(found_by_index), ["2500"]);
    let by_index = h2.run("SELECT ID FROM T USE INDEX(IX) ORDER BY NAME");
    assert!(by_index == h2.run("SELECT ID FROM T USE INDEX() ORDER BY NAME, ID"));
    h2.run("UPDATE T SET NAME = 'x' || NAME WHERE MOD(ID, 3) = 0");
    h2.run("DELETE FROM T WHERE MOD(ID, 5) = 0");
    assert_eq!(
        h2.run("SELECT COUNT(*) FROM T USE INDEX(IX) WHERE NAME >= 'x'"),
        ["667"]
    );
    h2.run("SHUTDOWN DEFRAG");
    h2.connect(&file, "");
    assert_eq!(h2.run(found_by_index), ["2000"]);
    h2.run("!close");
}
