//! Values of every type: how the oracle shows them, and how to make them up.

use metaferry_h2_file::definition::Nullability;
use metaferry_h2_file::{Date, DecFloat, Decimal, Interval, SqlType, Text, TimeOfDay, Unscaled, Value};
use proptest::prelude::*;

/// What the oracle prints for `value` in a column of `sql_type`.
pub(crate) fn cell(sql_type: &SqlType, value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::TinyInt(number) => number.to_string(),
        Value::SmallInt(number) => number.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::BigInt(number) => number.to_string(),
        Value::Numeric(decimal) => format!("numeric:{}", digits(decimal)),
        Value::DecFloat(DecFloat::Finite(decimal)) => format!("decfloat:{}", digits(decimal)),
        Value::DecFloat(DecFloat::NaN) => "decfloat:NaN".to_owned(),
        Value::DecFloat(DecFloat::PositiveInfinity) => "decfloat:Infinity".to_owned(),
        Value::DecFloat(DecFloat::NegativeInfinity) => "decfloat:-Infinity".to_owned(),
        Value::Real(number) if *number == 0.0 => "real:0".to_owned(),
        Value::Real(number) if number.is_nan() => "real:7fc00000".to_owned(),
        Value::Real(number) => format!("real:{:x}", number.to_bits()),
        Value::Double(number) if *number == 0.0 => "double:0".to_owned(),
        Value::Double(number) if number.is_nan() => "double:7ff8000000000000".to_owned(),
        Value::Double(number) => format!("double:{:x}", number.to_bits()),
        Value::Char(text) => {
            let SqlType::Char(length) = sql_type else {
                panic!("a CHAR in {sql_type:?}")
            };
            let mut units = units(text);
            units.resize(*length as usize, 32);
            format!("text:{}", escape(&units))
        }
        Value::Varchar(text) | Value::VarcharIgnoreCase(text) => format!("text:{}", escape(&units(text))),
        Value::Clob(text) => {
            let text = String::from_utf16_lossy(&units(text)).replace('\u{FFFD}', "?");
            format!("text:{}", escape(&text.encode_utf16().collect::<Vec<u16>>()))
        }
        Value::Binary(bytes) => {
            let SqlType::Binary(length) = sql_type else {
                panic!("a BINARY in {sql_type:?}")
            };
            let mut bytes = bytes.to_vec();
            bytes.resize(*length as usize, 0);
            format!("bytes:{}", hex::encode(bytes))
        }
        Value::Varbinary(bytes)
        | Value::Blob(bytes)
        | Value::Json(bytes)
        | Value::JavaObject(bytes)
        | Value::Geometry(bytes) => format!("bytes:{}", hex::encode(bytes)),
        Value::Uuid(bytes) => format!("bytes:{}", hex::encode(bytes)),
        Value::Date(day) => format!("date:{}", date_value(*day)),
        Value::Time(time) => format!("time:{}", time.nanos),
        Value::TimeTz(time, offset) => format!("timetz:{} {offset}", time.nanos),
        Value::Timestamp(day, time) => format!("ts:{} {}", date_value(*day), time.nanos),
        Value::TimestampTz(day, time, offset) => format!("tstz:{} {} {offset}", date_value(*day), time.nanos),
        Value::Enum(ordinal) => format!("enum:{ordinal}"),
        Value::Interval(one) => {
            let sign = if one.negative { '-' } else { '+' };
            format!(
                "interval:{} {sign}{} {}",
                one.qualifier, one.leading, one.remaining
            )
        }
        Value::Array(elements) => {
            let SqlType::Array(element) = sql_type else {
                panic!("an ARRAY in {sql_type:?}")
            };
            let cells: Vec<String> = elements.iter().map(|one| cell(element, one)).collect();
            format!("[{}]", cells.join(", "))
        }
        Value::Row(values) => {
            let SqlType::Row(fields) = sql_type else {
                panic!("a ROW in {sql_type:?}")
            };
            let cells: Vec<String> = fields
                .iter()
                .zip(values)
                .map(|((_, field), one)| cell(field, one))
                .collect();
            format!("[{}]", cells.join(", "))
        }
    }
}

fn digits(decimal: &Decimal<'_>) -> String {
    let unscaled = match &decimal.unscaled {
        Unscaled::Small(number) => i128::from(*number),
        Unscaled::Wide(bytes) => {
            let sign = if bytes[0] >= 0x80 { -1 } else { 0 };
            bytes
                .iter()
                .fold(sign, |number, byte| number << 8 | i128::from(*byte))
        }
    };
    format!("{unscaled} e{}", decimal.scale)
}

fn date_value(day: Date) -> i64 {
    i64::from(day.year) * 512 + i64::from(day.month) * 32 + i64::from(day.day)
}

fn units(text: &Text<'_>) -> Vec<u16> {
    match text {
        Text::Utf8(text) => text.encode_utf16().collect(),
        Text::Units(units) => units.clone(),
    }
}

fn escape(units: &[u16]) -> String {
    let one = |unit: u16| match unit {
        0x5C => "\\\\".to_owned(),
        0x0A => "\\n".to_owned(),
        0x09 => "\\t".to_owned(),
        0x0D => "\\r".to_owned(),
        0x20..=0x7E => String::from_utf16_lossy(&[unit]),
        _ => format!("\\u{unit:04x}"),
    };
    units.iter().map(|unit| one(*unit)).collect()
}

/// One column type of each kind.
pub(crate) fn every_type() -> Vec<SqlType> {
    let mut types = vec![
        SqlType::Boolean,
        SqlType::TinyInt,
        SqlType::SmallInt,
        SqlType::Integer,
        SqlType::BigInt,
        SqlType::Numeric {
            precision: 20,
            scale: 5,
        },
        SqlType::Numeric {
            precision: 38,
            scale: 0,
        },
        SqlType::DecFloat(34),
        SqlType::Real,
        SqlType::Double,
        SqlType::Char(8),
        SqlType::Varchar(500),
        SqlType::VarcharIgnoreCase(500),
        SqlType::Clob,
        SqlType::Binary(5),
        SqlType::Varbinary(300),
        SqlType::Blob,
        SqlType::Json,
        SqlType::JavaObject,
        SqlType::Geometry,
        SqlType::Uuid,
        SqlType::Date,
        SqlType::Time(0),
        SqlType::Time(9),
        SqlType::TimeTz(9),
        SqlType::Timestamp(6),
        SqlType::Timestamp(9),
        SqlType::TimestampTz(6),
        SqlType::TimestampTz(9),
        SqlType::Enum((0..20).map(|label| format!("label '{label}' é")).collect()),
        SqlType::Array(Box::new(SqlType::Integer)),
        SqlType::Array(Box::new(SqlType::Varchar(20))),
        SqlType::Row(vec![
            ("X y".to_owned(), SqlType::Integer),
            ("Z".to_owned(), SqlType::Varchar(20)),
        ]),
    ];
    types.extend((0..13).map(SqlType::Interval));
    types
}

/// Whether a column of this type may be in a key.
pub(crate) fn can_be_key(sql_type: &SqlType) -> bool {
    !matches!(sql_type, SqlType::Clob | SqlType::Blob)
}

/// Values of a type, NULL left out, with its extremes.
pub(crate) fn some_value(sql_type: &SqlType) -> BoxedStrategy<Value<'static>> {
    match sql_type.clone() {
        SqlType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        SqlType::TinyInt => any::<i8>().prop_map(Value::TinyInt).boxed(),
        SqlType::SmallInt => small_or(any::<i16>(), -20..20).prop_map(Value::SmallInt).boxed(),
        SqlType::Integer => {
            let extremes = prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>()];
            small_or(extremes, -20..20).prop_map(Value::Integer).boxed()
        }
        SqlType::BigInt => {
            let extremes = prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()];
            small_or(extremes, -20..20).prop_map(Value::BigInt).boxed()
        }
        SqlType::Numeric { precision, scale } => numeric(precision, scale),
        SqlType::DecFloat(_) => dec_float(),
        SqlType::Real => prop_oneof![any::<f32>(), Just(0.0), Just(-0.0), Just(1.0)]
            .prop_map(Value::Real)
            .boxed(),
        SqlType::Double => prop_oneof![any::<f64>(), Just(0.0), Just(-0.0), Just(1.0), Just(f64::NAN)]
            .prop_map(Value::Double)
            .boxed(),
        // A CHAR is compared without its trailing spaces, so both must occur.
        SqlType::Char(length) => text(length as usize / 2).prop_map(Value::Char).boxed(),
        SqlType::Varchar(length) => text(length as usize / 2).prop_map(Value::Varchar).boxed(),
        SqlType::VarcharIgnoreCase(length) => text(length as usize / 2)
            .prop_map(Value::VarcharIgnoreCase)
            .boxed(),
        SqlType::Clob => {
            let long = (text(30), 1_usize..3000).prop_map(|(text, times)| match text {
                Text::Utf8(text) => Text::Utf8(text.repeat(times).into()),
                Text::Units(units) => Text::Units(units.repeat(times)),
            });
            prop_oneof![text(100), long].prop_map(Value::Clob).boxed()
        }
        SqlType::Binary(length) => bytes(length as usize)
            .prop_map(|bytes| Value::Binary(bytes.into()))
            .boxed(),
        SqlType::Varbinary(length) => bytes(length as usize)
            .prop_map(|bytes| Value::Varbinary(bytes.into()))
            .boxed(),
        SqlType::Blob => {
            let long = (bytes(30), 1_usize..3000).prop_map(|(bytes, times)| bytes.repeat(times));
            prop_oneof![bytes(300), long]
                .prop_map(|bytes| Value::Blob(bytes.into()))
                .boxed()
        }
        SqlType::Json => prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| format!("{{\"a\":[{number},\"é\"]}}")),
            "[a-z\u{1F600}]{0,40}".prop_map(|text| format!("\"{text}\""))
        ]
        .prop_map(|json| Value::Json(json.into_bytes().into()))
        .boxed(),
        SqlType::JavaObject => bytes(50)
            .prop_map(|bytes| Value::JavaObject(bytes.into()))
            .boxed(),
        SqlType::Geometry => (-1e6..1e6, -1e6..1e6)
            .prop_map(|(x, y): (f64, f64)| {
                let mut bytes = vec![0, 0, 0, 0, 1];
                bytes.extend(x.to_be_bytes());
                bytes.extend(y.to_be_bytes());
                Value::Geometry(bytes.into())
            })
            .boxed(),
        SqlType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        SqlType::Date => day().prop_map(Value::Date).boxed(),
        SqlType::Time(digits) => time(digits).prop_map(Value::Time).boxed(),
        SqlType::TimeTz(digits) => (time(digits), offset())
            .prop_map(|(time, offset)| Value::TimeTz(time, offset))
            .boxed(),
        SqlType::Timestamp(digits) => (day(), time(digits))
            .prop_map(|(day, time)| Value::Timestamp(day, time))
            .boxed(),
        SqlType::TimestampTz(digits) => (day(), time(digits), offset())
            .prop_map(|(day, time, offset)| Value::TimestampTz(day, time, offset))
            .boxed(),
        SqlType::Enum(labels) => (1..=u32::try_from(labels.len()).unwrap())
            .prop_map(Value::Enum)
            .boxed(),
        SqlType::Interval(qualifier) => interval(qualifier),
        SqlType::Array(element) => prop::collection::vec(any_value(&element, Nullability::Nullable), 0..4)
            .prop_map(Value::Array)
            .boxed(),
        SqlType::Row(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(_, field)| any_value(field, Nullability::Nullable))
                .collect();
            fields.prop_map(Value::Row).boxed()
        }
    }
}

/// Values of a type; sometimes NULL, where that is allowed.
pub(crate) fn any_value(sql_type: &SqlType, nullability: Nullability) -> BoxedStrategy<Value<'static>> {
    match nullability {
        Nullability::Nullable => prop_oneof![1 => Just(Value::Null), 6 => some_value(sql_type)].boxed(),
        Nullability::NotNull => some_value(sql_type),
    }
}

fn small_or<T: Copy + std::fmt::Debug + From<i8> + 'static>(
    wide: impl Strategy<Value = T> + 'static,
    small: std::ops::Range<i8>,
) -> BoxedStrategy<T> {
    prop_oneof![small.prop_map(T::from), wide].boxed()
}

fn numeric(precision: u32, scale: u32) -> BoxedStrategy<Value<'static>> {
    let limit = 10_i128.pow(precision.min(38)) - 1;
    prop_oneof![-200_i128..200, -limit..=limit, Just(limit), Just(-limit)]
        .prop_map(move |number| Value::Numeric(decimal(number, scale.cast_signed())))
        .boxed()
}

fn decimal(number: i128, scale: i32) -> Decimal<'static> {
    let unscaled = match i64::try_from(number) {
        Ok(small) => Unscaled::Small(small),
        Err(_) => {
            let mut bytes = number.to_be_bytes().to_vec();
            while (bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xFF && bytes[1] >= 0x80) {
                bytes.remove(0);
            }
            Unscaled::Wide(bytes.into())
        }
    };
    Decimal { scale, unscaled }
}

fn dec_float() -> BoxedStrategy<Value<'static>> {
    let limit = 10_i128.pow(34) - 1;
    let finite = (prop_oneof![-200_i128..200, -limit..=limit], -30..30_i32).prop_map(|(number, scale)| {
        // H2 holds DECFLOAT without trailing zeros.
        let (mut number, mut scale) = (number, scale);
        while number != 0 && number % 10 == 0 {
            number /= 10;
            scale -= 1;
        }
        DecFloat::Finite(decimal(number, if number == 0 { 0 } else { scale }))
    });
    let special = prop_oneof![
        Just(DecFloat::NaN),
        Just(DecFloat::PositiveInfinity),
        Just(DecFloat::NegativeInfinity)
    ];
    prop_oneof![8 => finite, 1 => special]
        .prop_map(Value::DecFloat)
        .boxed()
}

/// Text of up to `chars` characters, sometimes with a lone surrogate, a NUL or trailing spaces.
fn text(chars: usize) -> BoxedStrategy<Text<'static>> {
    let words = proptest::string::string_regex(&format!("[ -~]{{0,{chars}}}")).unwrap();
    let wide = proptest::string::string_regex(&format!(
        "[a-c\\x00-\\x02éÉßİıǅΣσς日\u{FFEE}\u{1F600}\u{10428} ]{{0,{}}}",
        chars.min(12)
    ))
    .unwrap();
    let units = prop::collection::vec(
        prop_oneof![0xD7FE_u16..0xE001, 0x60_u16..0x64],
        1..chars.clamp(2, 5),
    );
    prop_oneof![
        4 => words.prop_map(|text| Text::Utf8(text.into())),
        4 => wide.prop_map(|text| Text::Utf8(text.into())),
        1 => units.prop_map(|units| match String::from_utf16(&units) {
            Ok(text) => Text::Utf8(text.into()),
            Err(_) => Text::Units(units),
        }),
    ]
    .boxed()
}

fn bytes(length: usize) -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..=length),
        prop::collection::vec(0_u8..3, 0..=length.min(4))
    ]
    .boxed()
}

fn day() -> BoxedStrategy<Date> {
    let years = prop_oneof![1990..2030_i32, -5..5_i32, -999_999_999..=999_999_999_i32];
    (years, 1_u8..=12, 1_u8..=28)
        .prop_map(|(year, month, day)| Date { year, month, day })
        .boxed()
}

fn time(digits: u8) -> BoxedStrategy<TimeOfDay> {
    let unit = 10_u64.pow(9 - u32::from(digits));
    (0..86_400_000_000_000 / unit)
        .prop_map(move |units| TimeOfDay { nanos: units * unit })
        .boxed()
}

fn offset() -> BoxedStrategy<i32> {
    prop_oneof![
        Just(0),
        (-72..=72_i32).prop_map(|quarters| quarters * 900),
        -64_800..=64_800_i32
    ]
    .boxed()
}

fn interval(qualifier: u8) -> BoxedStrategy<Value<'static>> {
    // The finest field's unit below the leading one.
    let remaining: u64 = match qualifier {
        0..5 => 1,
        5 => 1_000_000_000,
        6 => 12,
        7 => 24,
        8 => 24 * 60,
        9 => 86_400_000_000_000,
        10 => 60,
        11 => 3_600_000_000_000,
        _ => 60_000_000_000,
    };
    let leading = prop_oneof![0_u64..100, Just(999_999_999_999_999_999)];
    (any::<bool>(), leading, 0..remaining)
        .prop_map(move |(negative, leading, remaining)| {
            let negative = negative && (leading, remaining) != (0, 0);
            Value::Interval(Interval {
                qualifier,
                negative,
                leading,
                remaining,
            })
        })
        .boxed()
}
