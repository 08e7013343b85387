use super::{NativeType, Refusal, Wire, column_type, numeric, push};
use metaferry_domain::row_batch::{Cell, Instant, RowBatch};
use metaferry_domain::schema::{DataType, DecimalBounds};

fn packed(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
    let mut bytes = u16::try_from(groups.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(scale.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    bytes
}

#[test]
fn numbers_keep_their_scale() {
    for (weight, sign, scale, groups, expected) in [
        (0, 0, 0, &[][..], "0"),
        (0, 0, 2, &[][..], "0.00"),
        (-1, 0, 0, &[][..], "0"),
        (0, 0, 0, &[7][..], "7"),
        (0, 0x4000, 4, &[12, 5000][..], "-12.5000"),
        (-1, 0, 4, &[5][..], "0.0005"),
        (-2, 0, 8, &[5][..], "0.00000005"),
        (-1, 0, 2, &[1200][..], "0.12"),
        (1, 0, 0, &[1, 1][..], "10001"),
        (2, 0, 0, &[10][..], "1000000000"),
        (1, 0, 6, &[12, 3456, 7890, 1200][..], "123456.789012"),
    ] {
        let mut digits = "left over".to_owned();
        numeric(&packed(weight, sign, scale, groups), &mut digits).unwrap();
        assert_eq!(digits, expected);
    }
}

#[test]
fn what_no_number_can_hold_is_refused() {
    let mut digits = String::new();
    for (sign, refusal) in [
        (0xC000, Refusal::NotANumber),
        (0xD000, Refusal::Infinity),
        (0xF000, Refusal::Infinity),
        (0x1234, Refusal::Malformed),
    ] {
        assert_eq!(numeric(&packed(0, sign, 0, &[]), &mut digits), Err(refusal));
    }
    assert_eq!(
        numeric(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 1], &mut digits),
        Err(Refusal::Malformed),
        "cut short"
    );
}

#[test]
fn times_are_counted_from_1970() {
    let mut batch = RowBatch::new(1);
    let mut digits = String::new();
    push(Wire::TimestampTz, &0_i64.to_be_bytes(), &mut batch, &mut digits).unwrap();
    batch.end_row();
    assert_eq!(
        batch.cell(0, 0),
        Cell::TimestampTz(
            Instant {
                micros: 946_684_800_000_000,
                nanos: 0
            },
            0
        )
    );
    let mut refused = |wire, bytes: &[u8]| push(wire, bytes, &mut batch, &mut digits);
    assert_eq!(
        refused(Wire::Timestamp, &i64::MAX.to_be_bytes()),
        Err(Refusal::Infinity)
    );
    assert_eq!(
        refused(Wire::Timestamp, &(i64::MAX - 1).to_be_bytes()),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(
        refused(Wire::Date, &i32::MIN.to_be_bytes()),
        Err(Refusal::Infinity)
    );
    assert_eq!(refused(Wire::Text, &[0xff]), Err(Refusal::InvalidText));
    assert_eq!(refused(Wire::Jsonb, &[2, b'1']), Err(Refusal::Malformed));
    assert_eq!(refused(Wire::Int4, &[1]), Err(Refusal::Malformed));
}

#[test]
fn bounds_are_unpacked() {
    let of = |oid, typmod| {
        column_type(NativeType {
            oid,
            name: "",
            typmod,
        })
        .0
    };
    let decimal = |precision, scale| DataType::Decimal(Some(DecimalBounds { precision, scale }));
    assert_eq!(of(1700, (13 << 16 | 4) + 4), decimal(13, 4));
    assert_eq!(of(1700, (3 << 16 | 0x7fe) + 4), decimal(5, 0), "numeric(3,-2)");
    assert_eq!(of(1700, (3 << 16 | 5) + 4), decimal(5, 5), "numeric(3,5)");
    assert_eq!(of(1700, -1), DataType::Decimal(None));
    assert_eq!(of(1043, 258), DataType::Varchar(Some(254)));
    assert_eq!(of(1043, -1), DataType::Varchar(None));
    assert_eq!(of(1042, 25), DataType::Char(21));
}
