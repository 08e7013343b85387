use super::*;
use crate::postgres::copy_binary::CopyDecoder;
use crate::postgres::types::Wire;

fn through(cell: Cell<'_>, wanted: PostgresType, wire: Wire) -> RowBatch {
    let mut batch = RowBatch::new(1);
    batch.push(cell);
    batch.end_row();
    let mut stream = HEADER.to_vec();
    rows(&batch, &[wanted], &mut stream).unwrap();
    stream.extend_from_slice(&TRAILER);
    let mut read = RowBatch::new(1);
    let mut decoder = CopyDecoder::new(vec![wire]);
    decoder.feed(&stream, &mut read).unwrap();
    decoder.finish().unwrap();
    read
}

/// The decoder is tried against the real server: what it reads back is what the server would.
#[test]
fn what_is_written_is_what_the_reader_reads() {
    let at = |micros| Instant { micros, nanos: 0 };
    for (cell, wanted, wire) in [
        (Cell::Null, PostgresType::Text, Wire::Text),
        (Cell::Boolean(true), PostgresType::Boolean, Wire::Boolean),
        (Cell::Int(-7), PostgresType::SmallInt, Wire::Int2),
        (Cell::Int(-70_000), PostgresType::Integer, Wire::Int4),
        (Cell::Int(i64::MIN), PostgresType::BigInt, Wire::Int8),
        (Cell::Real(1.5), PostgresType::Real, Wire::Float4),
        (Cell::Double(-0.0), PostgresType::Double, Wire::Float8),
        (Cell::Text("a\u{1f600}"), PostgresType::Citext, Wire::Text),
        (Cell::Text("{}"), PostgresType::Jsonb, Wire::Jsonb),
        (Cell::Bytes(&[0, 255]), PostgresType::Bytea, Wire::Bytes),
        (Cell::Date(-1), PostgresType::Date, Wire::Date),
        (
            Cell::Time(TimeOfDay { nanos: 1_000 }),
            PostgresType::Time,
            Wire::Time,
        ),
        (
            Cell::TimeTz(TimeOfDay { nanos: 5_000 }, 3600),
            PostgresType::TimeTz,
            Wire::TimeTz,
        ),
        (Cell::Timestamp(at(-1)), PostgresType::Timestamp, Wire::Timestamp),
        (
            Cell::TimestampTz(at(1), 0),
            PostgresType::TimestampTz,
            Wire::TimestampTz,
        ),
        (Cell::Uuid([7; 16]), PostgresType::Uuid, Wire::Uuid),
    ] {
        assert_eq!(through(cell, wanted, wire).cell(0, 0), cell);
    }
}

#[test]
fn numbers_keep_every_digit_and_their_scale() {
    for number in [
        "0",
        "0.00",
        "1",
        "-1",
        "10000",
        "123456789.0001",
        "0.0001",
        "0.00001",
        "-0.00000000000001",
        "99999999999999999999.9",
        "100000000",
        "0.10000",
        "12345.6789",
    ] {
        let read = through(Cell::Decimal(number), PostgresType::Numeric, Wire::Numeric);
        assert_eq!(read.cell(0, 0), Cell::Decimal(number));
    }
    let read = through(Cell::Decimal("-0007.50"), PostgresType::Numeric, Wire::Numeric);
    assert_eq!(read.cell(0, 0), Cell::Decimal("-7.50"));
}

#[test]
fn what_a_column_cannot_hold_is_refused() {
    let at = |micros| Instant { micros, nanos: 0 };
    for (cell, wanted) in [
        (Cell::Text("a\0b"), PostgresType::Text),
        (Cell::Int(40_000), PostgresType::SmallInt),
        (Cell::Int(2), PostgresType::Boolean),
        (Cell::Text("1"), PostgresType::Integer),
        (Cell::Decimal("1.5"), PostgresType::Integer),
        (Cell::Decimal("x"), PostgresType::Numeric),
        (Cell::Date(i64::MAX), PostgresType::Date),
        (Cell::Timestamp(at(i64::MIN)), PostgresType::Timestamp),
        (Cell::Bytes(&[1]), PostgresType::Text),
    ] {
        let mut batch = RowBatch::new(1);
        batch.push(cell);
        batch.end_row();
        assert!(rows(&batch, &[wanted], &mut Vec::new()).is_err(), "{cell:?}");
    }
}
