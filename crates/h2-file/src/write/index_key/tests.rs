use super::*;

fn key(value: &Value<'_>, sort_type: u8) -> Vec<u8> {
    let mut out = Vec::new();
    column(&mut out, value, sort_type);
    out
}

fn text(text: &str) -> Text<'_> {
    Text::Utf8(text.into())
}

/// Each list is strictly ascending in H2.
#[track_caller]
fn ascends(values: &[Value<'_>]) {
    for pair in values.windows(2) {
        assert!(key(&pair[0], 2) < key(&pair[1], 2), "{pair:?}");
        assert!(key(&pair[0], 5) > key(&pair[1], 5), "descending: {pair:?}");
    }
}

#[test]
fn null_is_placed_by_its_own_bits() {
    let (null, one) = (Value::Null, Value::Integer(1));
    for (sort_type, first) in [(0, true), (1, true), (2, true), (3, true), (4, false), (5, false)] {
        assert_eq!(key(&null, sort_type) < key(&one, sort_type), first, "{sort_type}");
    }
}

#[test]
fn numbers_ascend() {
    ascends(&[i32::MIN, -1, 0, 1, 15, 16, i32::MAX].map(Value::Integer));
    ascends(&[i64::MIN, -300, 0, 7, 8, i64::MAX].map(Value::BigInt));
    ascends(&[i8::MIN, -1, 0, i8::MAX].map(Value::TinyInt));
    ascends(&[i16::MIN, -1, 0, i16::MAX].map(Value::SmallInt));
    ascends(
        &[
            f64::NEG_INFINITY,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            4.9e-324,
            1.0,
            f64::INFINITY,
            f64::NAN,
        ]
        .map(Value::Double),
    );
    assert_eq!(key(&Value::Double(-0.0), 2), key(&Value::Double(0.0), 2));
    let wide = |number: i128| {
        let bytes = minimal_two_complement(&number.to_be_bytes()).to_vec();
        Value::Numeric(Decimal {
            scale: 2,
            unscaled: Unscaled::Wide(bytes.into()),
        })
    };
    let small = |number| {
        Value::Numeric(Decimal {
            scale: 2,
            unscaled: Unscaled::Small(number),
        })
    };
    ascends(&[
        wide(-(1 << 100)),
        wide(-(1 << 64)),
        small(i64::MIN),
        small(-129),
        small(-128),
        small(-1),
        small(0),
        small(127),
        small(128),
        small(i64::MAX),
        wide(1 << 63),
        wide(1 << 100),
    ]);
}

#[test]
fn text_ascends_by_utf16_units() {
    let list = [
        "",
        "\0",
        "\u{1}",
        "\u{1}a",
        "\u{2}",
        "A",
        "a",
        "a\0",
        "aa",
        "b",
        "é",
        "日",
        "\u{1F600}",
        "\u{FFEE}",
    ];
    ascends(&list.map(|one| Value::Varchar(text(one))));
    let lone = Value::Varchar(Text::Units(vec![0xD83E]));
    assert!(key(&Value::Varchar(text("\u{1F600}")), 2) < key(&lone, 2));
    assert!(key(&lone, 2) < key(&Value::Varchar(text("\u{FFEE}")), 2));
}

#[test]
fn char_ignores_trailing_spaces_and_ignorecase_the_case() {
    assert_eq!(key(&Value::Char(text("a  ")), 2), key(&Value::Char(text("a")), 2));
    let folded = |one| key(&Value::VarcharIgnoreCase(text(one)), 2);
    assert_eq!(folded("ÄbC"), folded("äBc"));
    assert_ne!(folded("ß"), folded("ss"));
    assert!(folded("\u{FFEE}") < folded("\u{1F600}"), "by code points");
}

#[test]
fn bytes_ascend_shorter_first() {
    let list: [&[u8]; 7] = [&[], &[0], &[0, 0], &[0, 1], &[1], &[2], &[0xFF]];
    ascends(&list.map(|one| Value::Varbinary(one.into())));
    assert_eq!(
        key(&Value::Binary([1].as_slice().into()), 2),
        key(&Value::Binary([1, 0].as_slice().into()), 2)
    );
}

#[test]
fn instants_ascend_whatever_their_offset() {
    let at = |year, month, day, hour: u64, offset| {
        let date = Date { year, month, day };
        Value::TimestampTz(
            date,
            TimeOfDay {
                nanos: hour * 3_600_000_000_000,
            },
            offset,
        )
    };
    ascends(&[
        at(-44, 3, 15, 0, 0),
        at(1, 1, 1, 0, 18 * 3600),
        at(2020, 1, 1, 0, 5 * 3600),
        at(2020, 1, 1, 0, 0),
        at(2019, 12, 31, 23, -5 * 3600),
    ]);
    assert_eq!(
        key(&at(2020, 1, 1, 5, 5 * 3600), 2),
        key(&at(2020, 1, 1, 0, 0), 2)
    );
    assert_eq!(
        epoch_day(Date {
            year: 1970,
            month: 1,
            day: 1
        }),
        0
    );
    assert_eq!(
        epoch_day(Date {
            year: 2000,
            month: 3,
            day: 1
        }),
        11_017
    );
    assert_eq!(
        epoch_day(Date {
            year: 1,
            month: 1,
            day: 1
        }),
        -719_162
    );
}

#[test]
fn arrays_ascend_by_element_then_length() {
    let list = |elements: &[Option<i32>]| {
        Value::Array(
            elements
                .iter()
                .map(|one| one.map_or(Value::Null, Value::Integer))
                .collect(),
        )
    };
    ascends(&[
        list(&[]),
        list(&[None]),
        list(&[None, Some(1)]),
        list(&[Some(1)]),
        list(&[Some(1), None]),
        list(&[Some(2)]),
    ]);
}

#[test]
fn intervals_ascend_by_sign_first() {
    let interval = |negative, leading, remaining| {
        Value::Interval(Interval {
            qualifier: 9,
            negative,
            leading,
            remaining,
        })
    };
    ascends(&[
        interval(true, 2, 0),
        interval(true, 1, 9),
        interval(true, 1, 2),
        interval(false, 0, 0),
        interval(false, 0, 1),
        interval(false, 3, 0),
    ]);
}
