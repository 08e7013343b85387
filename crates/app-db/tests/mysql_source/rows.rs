//! Values of every type, tables of odd shapes, and ends in the middle.

use metaferry_domain::ports::RowOrder;
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::schema::DataType;

use crate::database::TestDatabase;
use crate::reading::{rows, whole};

#[tokio::test]
async fn every_type_arrives_as_its_cell() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute(
            r#"CREATE TABLE every (
                tiny1 tinyint(1), tiny tinyint, tiny_u tinyint unsigned, small smallint, small_u smallint unsigned,
                medium mediumint, medium_u mediumint unsigned, int_c int, int_u int unsigned, big bigint,
                big_u bigint unsigned, bit1 bit(1), bit12 bit(12), bit64 bit(64), float_c float, double_c double,
                decimal_c decimal(30,10), char_c char(9), varchar_c varchar(9), text_c text, long_c longtext,
                json_c json, enum_c enum('sad','happy'), set_c set('a','b','c'), binary_c binary(4), varbinary_c varbinary(9),
                blob_c blob, date_c date, time_c time(6), datetime_c datetime(6), datetime0 datetime,
                timestamp_c timestamp(6) NULL, year_c year, uuid_c uuid, inet_c inet6, point_c point);
            SET time_zone = '+05:30';
            SET sql_mode = '';
            INSERT INTO every VALUES (
                1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,
                18446744073709551615, b'1', b'101010111100', ~0, 1.5, -1.7976931348623157e308,
                -12345678901234567890.0000000001, 'padded  ', 'v  ', 'tab\tüñ 😀\\', 'l',
                '{"a" : 1}', 'happy', 'a,c', x'00ff', x'00', x'00ff', '1969-12-31', '23:59:59.999999',
                '2000-01-01 00:00:00.000001', '9999-12-31 23:59:59', '1970-01-01 05:30:01', 2026,
                '00112233-4455-6677-8899-aabbccddeeff', '::1', POINT(1, 2));
            INSERT INTO every () VALUES ();"#,
        )
        .await;
    let snapshot = database.snapshot().await;
    let read = rows(&*snapshot, "every", RowOrder::Any).await.unwrap();
    let expected = [
        "boolean true",
        "int -128",
        "int 255",
        "int -32768",
        "int 65535",
        "int -8388608",
        "int 16777215",
        "int -2147483648",
        "int 4294967295",
        "int -9223372036854775808",
        "decimal 18446744073709551615",
        "boolean true",
        "int 2748",
        "decimal 18446744073709551615",
        "real 1.5",
        "double -1.7976931348623157e308",
        "decimal -12345678901234567890.0000000001",
        "text padded",
        "text v  ",
        "text tab\tüñ 😀\\",
        "text l",
        "text {\"a\" : 1}",
        "text happy",
        "text a,c",
        "bytes 00ff0000",
        "bytes 00",
        "bytes 00ff",
        "date -1",
        "time 86399999999000",
        "timestamp 946684800000001",
        "timestamp 253402300799000000",
        "timestamptz 1000000 0",
        "int 2026",
        "uuid 00112233445566778899aabbccddeeff",
        "text ::1",
        "text POINT(1 2)",
    ];
    assert_eq!(read[0], expected);
    assert!(read[1].iter().all(|cell| cell == "null"), "{:?}", read[1]);
    let table = snapshot.catalogue().table("every").unwrap();
    let types = |name: &str| table.column(name).unwrap().data_type.clone();
    assert_eq!(types("tiny1"), DataType::Boolean);
    assert_eq!(types("tiny"), DataType::SmallInt);
    assert_eq!(types("int_u"), DataType::BigInt);
    assert_eq!(types("enum_c"), DataType::Varchar(Some(5)));
    assert_eq!(types("binary_c"), DataType::Binary(4));
    assert_eq!(types("datetime_c"), DataType::Timestamp);
    assert_eq!(types("timestamp_c"), DataType::TimestampTz);
    assert_eq!(types("inet_c"), DataType::Other);
    assert_eq!(table.column("big_u").unwrap().native_type, "bigint(20) unsigned");
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_key_and_in_bounded_batches() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE large (b int, a int, filler longtext, PRIMARY KEY (a, b), KEY by_b (b));
             INSERT INTO large SELECT seq % 7, 5000 - seq, repeat('x', 2000) FROM seq_1_to_5000;",
        )
        .await;
    let snapshot = database.snapshot().await;
    let mut reader = snapshot
        .read(&whole(&*snapshot, "large", RowOrder::PrimaryKey))
        .await
        .unwrap();
    let (mut batch, mut next) = (RowBatch::default(), 0);
    loop {
        reader.next(&mut batch, 100_000).await.unwrap();
        if batch.rows() == 0 {
            break;
        }
        assert!(batch.bytes() < 110_000, "{} bytes", batch.bytes());
        for row in 0..batch.rows() {
            assert_eq!(format!("{:?}", batch.cell(row, 1)), format!("Int({next})"));
            next += 1;
        }
    }
    assert_eq!(next, 5000);
    // A reader that is left in the middle takes its session with it; another one goes on.
    let mut left = snapshot
        .read(&whole(&*snapshot, "large", RowOrder::Any))
        .await
        .unwrap();
    left.next(&mut batch, 1000).await.unwrap();
    drop(left);
    assert_eq!(snapshot.count("large").await.unwrap(), 5000);
    snapshot.close().await.unwrap();
    database.drop().await;
}
