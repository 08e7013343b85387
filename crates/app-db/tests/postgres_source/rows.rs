//! Values of every type, tables of odd shapes, and ends in the middle.

use metaferry_domain::ports::{RowOrder, TableRead};
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::DataType;
use sqlx::Row as _;

use crate::database::TestDatabase;
use crate::reading::{rows, whole};

#[tokio::test]
async fn every_type_arrives_as_its_cell() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            r#"CREATE EXTENSION citext;
            CREATE TYPE mood AS ENUM ('sad', 'happy');
            CREATE TYPE pair AS (a int, b text);
            CREATE DOMAIN short_name AS varchar(20) CHECK (value <> '');
            CREATE DOMAIN shorter_name AS short_name NOT NULL;
            CREATE TABLE every (
                boolean_c boolean, int2_c int2, int4_c int4, int8_c int8, float4_c float4, float8_c float8,
                numeric_c numeric, numeric_13_4 numeric(13,4), text_c text, varchar_c varchar(9), char_c char(9),
                citext_c citext, name_c name, bytea_c bytea, date_c date, time_c time, timetz_c timetz,
                timestamp_c timestamp, timestamptz_c timestamptz, uuid_c uuid, json_c json, jsonb_c jsonb,
                array_c int[], range_c int4range, enum_c mood, composite_c pair, interval_c interval, inet_c inet,
                point_c point, oid_c oid, xml_c xml, bit_c bit(3), domain_c shorter_name DEFAULT 'x', tsvector_c tsvector);
            SET TIME ZONE 'Asia/Kolkata';
            INSERT INTO every VALUES (
                true, -32768, 2147483647, -9223372036854775808, 1.5, 'NaN', 123456789012345678901234567890.000100,
                -0.5, E'tab\tüñ \U0001F600', 'v', 'padded', 'MiXed', 'n', '\x00ff', '1969-12-31', '23:59:59.999999',
                '12:00:00+05:30', '2000-01-01 00:00:00', '1970-01-01 00:00:00+00', '00112233-4455-6677-8899-aabbccddeeff',
                '{"a" : 1}', '{"a" : 1}', '{1,NULL,3}', '[1,5)', 'happy', (1, 'x,y'), '1 day 02:00:00', '10.0.0.1/8',
                '(1,2)', 4294967295, '<a>1</a>', '101', 'dom', 'a fat cat');
            INSERT INTO every (domain_c) VALUES ('nulls');"#,
        )
        .await;
    let snapshot = database.snapshot().await;
    let read = rows(&*snapshot, "every", RowOrder::Any).await.unwrap();
    let expected = [
        "boolean true",
        "int -32768",
        "int 2147483647",
        "int -9223372036854775808",
        "real 1.5",
        "double NaN",
        "decimal 123456789012345678901234567890.000100",
        "decimal -0.5000",
        "text tab\tüñ 😀",
        "text v",
        "text padded",
        "text MiXed",
        "text n",
        "bytes 00ff",
        "date -1",
        "time 86399999999000",
        "timetz 43200000000000 19800",
        "timestamp 946684800000000",
        "timestamptz 0 0",
        "uuid 00112233445566778899aabbccddeeff",
        "text {\"a\" : 1}",
        "text {\"a\": 1}",
        "text {1,NULL,3}",
        "text [1,5)",
        "text happy",
        "text (1,\"x,y\")",
        "text 1 day 02:00:00",
        "text 10.0.0.1/8",
        "text (1,2)",
        "int 4294967295",
        "text <a>1</a>",
        "text 101",
        "text dom",
        "text 'a' 'cat' 'fat'",
    ];
    assert_eq!(read[0], expected);
    assert!(
        read[1]
            .iter()
            .enumerate()
            .all(|(at, cell)| (cell == "null") == (at != 32)),
        "{:?}",
        read[1]
    );
    let table = snapshot.catalogue().table("every").unwrap();
    let types = |name: &str| table.column(name).unwrap().data_type.clone();
    assert_eq!(types("citext_c"), DataType::VarcharIgnoreCase(None));
    assert_eq!(types("domain_c"), DataType::Varchar(Some(20)));
    assert_eq!(types("array_c"), DataType::Other);
    assert_eq!(table.column("array_c").unwrap().native_type, "integer[]");
    assert_eq!(table.column("domain_c").unwrap().native_type, "shorter_name");
    assert_eq!(types("jsonb_c"), DataType::Json);
    assert_eq!(types("char_c"), DataType::Char(9));
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn exact_numbers_are_what_the_server_prints() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE numbers (id int PRIMARY KEY, n numeric);
             SELECT setseed(0.5);
             INSERT INTO numbers SELECT i, round(((random() - 0.5) * 10 ^ (i % 40 - 20))::numeric, i % 17)
             FROM generate_series(1, 3000) i;
             INSERT INTO numbers VALUES (0, 0), (-1, 0.000), (-2, 10000), (-3, 0.0001), (-4, -99990000.00009999),
                 (-5, 1e100), (-6, 1e-100), (-7, 1e1000);",
        )
        .await;
    let mut connection = database.connect().await;
    let printed = sqlx::query("SELECT id, n::text FROM numbers ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let expected: Vec<Vec<String>> = printed
        .iter()
        .map(|row| {
            vec![
                format!("int {}", row.get::<i32, _>(0)),
                format!("decimal {}", row.get::<String, _>(1)),
            ]
        })
        .collect();
    let snapshot = database.snapshot().await;
    assert_eq!(
        rows(&*snapshot, "numbers", RowOrder::PrimaryKey).await.unwrap(),
        expected
    );
    snapshot.close().await.unwrap();
    drop(connection);
    database.drop().await;
}

#[tokio::test]
async fn the_ends_of_time_arrive() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE times (id int PRIMARY KEY, d date, t timestamp, z timestamptz);
             INSERT INTO times VALUES (1, '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00'),
                 (2, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00'),
                 (3, '4714-11-24 BC', '4714-11-24 00:00:00 BC', '4714-11-24 00:00:00+00 BC');",
        )
        .await;
    let snapshot = database.snapshot().await;
    let read = rows(&*snapshot, "times", RowOrder::PrimaryKey).await.unwrap();
    let days = |days: i64| {
        let micros = days * 86_400_000_000;
        [
            format!("date {days}"),
            format!("timestamp {micros}"),
            format!("timestamptz {micros} 0"),
        ]
    };
    // Day numbers by the usual civil-calendar arithmetic: 719162 days lie between 0001-01-01 and 1970-01-01, and
    // Julian day 0 is 2440588 days before it.
    assert_eq!(read[0][1..], days(-719_162));
    assert_eq!(
        read[1][1..],
        [
            "date 2932896",
            "timestamp 253402300799999999",
            "timestamptz 253402300799999999 0"
        ]
    );
    assert_eq!(read[2][1..], days(-2_440_588));
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn odd_names_and_odd_shapes_are_read() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            r#"CREATE TABLE "say ""hi"" Now" ("a b" int, "select" text, "Ünï" int, PRIMARY KEY ("Ünï", "a b"));
            INSERT INTO "say ""hi"" Now" VALUES (2, 'second', 1), (1, 'first', 1), (0, 'third', 2);
            CREATE TABLE no_columns ();
            INSERT INTO no_columns SELECT FROM generate_series(1, 200000);
            CREATE TABLE no_rows (id int PRIMARY KEY, t text);
            CREATE TABLE big (id int, t text);
            INSERT INTO big VALUES (1, repeat('x', 20000000)), (2, 'small');
            CREATE TABLE halves (id int, place text) PARTITION BY LIST (place);
            CREATE TABLE halves_a PARTITION OF halves FOR VALUES IN ('a');
            CREATE TABLE halves_b PARTITION OF halves FOR VALUES IN ('b');
            INSERT INTO halves VALUES (1, 'a'), (2, 'b');
            CREATE TABLE computed (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
            INSERT INTO computed VALUES (4);
            CREATE TABLE parent (id int);
            CREATE TABLE child (more int) INHERITS (parent);
            INSERT INTO parent VALUES (1);
            INSERT INTO child VALUES (2, 3);"#,
        )
        .await;
    let snapshot = database.snapshot().await;
    let snapshot = &*snapshot;
    let named = rows(snapshot, r#"say "hi" now"#, RowOrder::PrimaryKey)
        .await
        .unwrap();
    assert_eq!(
        named.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(),
        ["text first", "text second", "text third"]
    );

    assert_eq!(
        rows(snapshot, "no_columns", RowOrder::Any).await.unwrap(),
        vec![Vec::<String>::new(); 200_000]
    );
    assert_eq!(snapshot.count("no_columns").await.unwrap(), 200_000);
    assert_eq!(
        rows(snapshot, "no_rows", RowOrder::PrimaryKey).await.unwrap(),
        Vec::<Vec<String>>::new()
    );
    let big = rows(snapshot, "big", RowOrder::Any).await.unwrap();
    assert_eq!((big.len(), big[0][1].len()), (2, "text ".len() + 20_000_000));

    assert_eq!(
        rows(snapshot, "computed", RowOrder::Any).await.unwrap(),
        [["int 4", "int 8"]]
    );
    assert!(
        snapshot.catalogue().table("halves_a").is_none(),
        "read through the partitioned table"
    );
    assert_eq!(rows(snapshot, "halves", RowOrder::Any).await.unwrap().len(), 2);
    assert_eq!(
        rows(snapshot, "parent", RowOrder::Any).await.unwrap(),
        [["int 1"]]
    );
    assert_eq!(
        rows(snapshot, "child", RowOrder::Any).await.unwrap(),
        [["int 2", "int 3"]]
    );

    let some = TableRead {
        columns: vec![1, 0],
        ..whole(snapshot, "child", RowOrder::Any)
    };
    let mut batch = RowBatch::default();
    snapshot
        .read(&some)
        .await
        .unwrap()
        .next(&mut batch, 1)
        .await
        .unwrap();
    assert_eq!(
        batch.row(0).map(crate::reading::show).collect::<Vec<_>>(),
        ["int 3", "int 2"]
    );
    database.drop().await;
}
