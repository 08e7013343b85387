use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};
use metaferry_domain::schema::{DataType, DecimalBounds};

use super::{NativeType, Wire, column_type, push};
use crate::row_names::Refusal;

fn native<'a>(word: &'a str, full: &'a str) -> NativeType<'a> {
    NativeType {
        word,
        full,
        characters: None,
        precision: None,
        scale: None,
    }
}

fn pushed(wire: Wire, bytes: &[u8]) -> Result<RowBatch, Refusal> {
    let mut batch = RowBatch::new(1);
    push(wire, bytes, &mut batch, &mut String::new())?;
    batch.end_row();
    Ok(batch)
}

#[test]
fn booleans_are_told_from_small_numbers() {
    let tiny = |full| column_type(native("tinyint", full)).0;
    assert_eq!(tiny("tinyint(1)"), DataType::Boolean);
    assert_eq!(tiny("tinyint(4)"), DataType::SmallInt);
    assert_eq!(tiny("tinyint(1) unsigned"), DataType::SmallInt);
    let bit = |precision| {
        let native = NativeType {
            precision: Some(precision),
            ..native("bit", "bit")
        };
        column_type(native).0
    };
    let digits = DataType::Decimal(Some(DecimalBounds {
        precision: 20,
        scale: 0,
    }));
    assert_eq!(bit(1), DataType::Boolean);
    assert_eq!(bit(12), DataType::BigInt);
    assert_eq!(bit(64), digits);
    assert_eq!(column_type(native("bigint", "bigint(20) unsigned")).0, digits);
    assert_eq!(column_type(native("int", "int(10) unsigned")).0, DataType::BigInt);
}

#[test]
fn values_are_what_the_protocol_says() {
    for (wire, bytes, cell) in [
        (Wire::Signed, &[0xfe][..], Cell::Int(-2)),
        (Wire::Signed, &[0, 0x80], Cell::Int(-32768)),
        (Wire::Signed, &[1, 0, 0, 0], Cell::Int(1)),
        (Wire::Unsigned, &[0xff, 0xff], Cell::Int(65535)),
        (Wire::Unsigned, &[0xff; 8], Cell::Decimal("18446744073709551615")),
        (Wire::Bits, &[0x0a, 0xbc], Cell::Int(0xabc)),
        (Wire::BitBoolean, &[1], Cell::Boolean(true)),
        (Wire::TinyBoolean, &[0], Cell::Boolean(false)),
        (Wire::Date, &[4, 0xb2, 0x07, 1, 2], Cell::Date(1)),
        (
            Wire::Time,
            &[12, 0, 0, 0, 0, 0, 23, 59, 59, 0x3f, 0x42, 0x0f, 0],
            Cell::Time(TimeOfDay {
                nanos: 86_399_999_999_000,
            }),
        ),
        (
            Wire::Timestamp,
            &[11, 0xb2, 0x07, 1, 1, 0, 0, 1, 1, 0, 0, 0],
            Cell::TimestampTz(
                Instant {
                    micros: 1_000_001,
                    nanos: 0,
                },
                0,
            ),
        ),
        (
            Wire::DateTime,
            &[4, 0xb1, 0x07, 12, 31],
            Cell::Timestamp(Instant {
                micros: -86_400_000_000,
                nanos: 0,
            }),
        ),
        (Wire::Decimal, b"-1.50", Cell::Decimal("-1.50")),
    ] {
        assert_eq!(
            pushed(wire, bytes).unwrap().cell(0, 0),
            cell,
            "{wire:?} {bytes:?}"
        );
    }
}

#[test]
fn what_others_cannot_hold_is_refused() {
    for (wire, bytes, refusal) in [
        (Wire::Timestamp, &[0][..], Refusal::ZeroDate),
        (Wire::Date, &[4, 0xb2, 0x07, 0, 2], Refusal::ZeroDate),
        (Wire::Time, &[8, 1, 0, 0, 0, 0, 1, 0, 0], Refusal::NoTimeOfDay),
        (Wire::Time, &[8, 0, 2, 0, 0, 0, 1, 0, 0], Refusal::NoTimeOfDay),
        (Wire::TinyBoolean, &[2], Refusal::NotBoolean),
        (Wire::Text, &[0xff], Refusal::InvalidText),
        (Wire::Date, &[5, 1], Refusal::Malformed),
        (Wire::Signed, &[1, 2, 3], Refusal::Malformed),
    ] {
        assert_eq!(pushed(wire, bytes).unwrap_err(), refusal, "{wire:?} {bytes:?}");
    }
}
