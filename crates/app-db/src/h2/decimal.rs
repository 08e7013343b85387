//! Exact numbers: plain digits in a row batch, an unscaled whole number and a scale in H2's file.

use std::borrow::Cow;
use std::fmt::Write as _;

use metaferry_h2_file::{Decimal, Unscaled};

/// Digits that surely fit 63 bits.
const SMALL_DIGITS_MAX: usize = 18;

/// `-?digits[.digits]` as a decimal of exactly `scale` digits after the point, or of as many as there are. `Err` if
/// it is written in another way, or has more digits after the point than `scale` and they are not all zero.
pub(super) fn parse(text: &str, scale: Option<u32>) -> Result<Decimal<'static>, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (Sign::Negative, rest),
        None => (Sign::Positive, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(format!("{text:?} is no plain number"));
    }
    let given = fraction.len();
    let scale = match scale {
        Some(scale) => scale as usize,
        None => given,
    };
    let kept = &fraction[..given.min(scale)];
    if fraction[kept.len()..].bytes().any(|digit| digit != b'0') {
        return Err(format!("{text} has more than {scale} digits after the point"));
    }
    let missing = scale - kept.len();
    let h2_scale = i32::try_from(scale).map_err(|_| format!("a scale of {scale}"))?;
    let digits = whole
        .bytes()
        .chain(kept.bytes())
        .chain(std::iter::repeat_n(b'0', missing));
    let unscaled = if whole.len() + scale <= SMALL_DIGITS_MAX {
        let number = digits.fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
        Unscaled::Small(if sign == Sign::Negative { -number } else { number })
    } else {
        wide(digits, sign)
    };
    Ok(Decimal {
        scale: h2_scale,
        unscaled,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// Digits of any number, minimal two's complement.
fn wide(digits: impl Iterator<Item = u8>, sign: Sign) -> Unscaled<'static> {
    // Little-endian groups of 32 bits; nine digits at a time.
    let mut groups: Vec<u32> = Vec::new();
    let (mut pending, mut factor) = (0_u64, 1_u64);
    for digit in digits {
        pending = pending * 10 + u64::from(digit - b'0');
        factor *= 10;
        if factor == 1_000_000_000 {
            multiply_add(&mut groups, factor, pending);
            (pending, factor) = (0, 1);
        }
    }
    multiply_add(&mut groups, factor, pending);
    let mut bytes: Vec<u8> = groups
        .iter()
        .rev()
        .flat_map(|group| group.to_be_bytes())
        .collect();
    // Room for the sign.
    bytes.insert(0, 0);
    if sign == Sign::Negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = overflow;
        }
    }
    let spare = bytes
        .windows(2)
        .take_while(|pair| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xFF && pair[1] >= 0x80))
        .count();
    let bytes = &bytes[spare..];
    match fitting(bytes) {
        Some(number) => Unscaled::Small(number),
        None => Unscaled::Wide(Cow::Owned(bytes.to_vec())),
    }
}

/// `groups × factor + addend`.
fn multiply_add(groups: &mut Vec<u32>, factor: u64, addend: u64) {
    let mut carry = addend;
    for group in groups.iter_mut() {
        let product = u64::from(*group) * factor + carry;
        *group = low(product);
        carry = product >> 32;
    }
    if carry > 0 {
        groups.push(low(carry));
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xFFFF_FFFF).expect("masked to 32 bits")
}

/// The number of a two's complement text of at most eight bytes.
fn fitting(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let start = if bytes.first().is_some_and(|byte| *byte >= 0x80) {
        -1
    } else {
        0
    };
    Some(
        bytes
            .iter()
            .fold(start, |number: i64, byte| (number << 8) | i64::from(*byte)),
    )
}

/// Appends the decimal in plain digits.
pub(super) fn print(decimal: &Decimal<'_>, out: &mut String) {
    let from = out.len();
    match &decimal.unscaled {
        Unscaled::Small(number) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{number}");
        }
        Unscaled::Wide(bytes) => print_wide(bytes, out),
    }
    let sign = usize::from(out[from..].starts_with('-'));
    let start = from + sign;
    let digits = out.len() - start;
    match usize::try_from(decimal.scale) {
        Ok(0) => {}
        Ok(scale) => {
            if digits <= scale {
                out.insert_str(start, &"0".repeat(scale + 1 - digits));
            }
            out.insert(out.len() - scale, '.');
        }
        // A negative scale: zeros that were not stored.
        Err(_) if &out[start..] != "0" => {
            out.extend(std::iter::repeat_n('0', decimal.scale.unsigned_abs() as usize));
        }
        Err(_) => {}
    }
}

fn print_wide(bytes: &[u8], out: &mut String) {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = overflow;
        }
    }
    // Nine digits at a time, lowest first.
    let mut groups = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u64;
        for byte in &mut magnitude {
            let value = rest << 8 | u64::from(*byte);
            *byte = u8::try_from(value / 1_000_000_000).expect("the rest is below the divisor");
            rest = value % 1_000_000_000;
        }
        groups.push(rest);
    }
    if negative {
        out.push('-');
    }
    let mut groups = groups.iter().rev();
    let _ = write!(out, "{}", groups.next().unwrap_or(&0));
    for group in groups {
        let _ = write!(out, "{group:09}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(decimal: &Decimal<'_>) -> String {
        let mut out = String::new();
        print(decimal, &mut out);
        out
    }

    #[test]
    fn takes_and_keeps_the_scale() {
        assert_eq!(
            parse("1.5", Some(4)).unwrap(),
            Decimal {
                scale: 4,
                unscaled: Unscaled::Small(15_000)
            }
        );
        assert_eq!(
            parse("1.500", Some(1)).unwrap(),
            Decimal {
                scale: 1,
                unscaled: Unscaled::Small(15)
            }
        );
        assert_eq!(
            parse("-0.05", None).unwrap(),
            Decimal {
                scale: 2,
                unscaled: Unscaled::Small(-5)
            }
        );
        assert_eq!(printed(&parse("-0.05", None).unwrap()), "-0.05");
        assert_eq!(
            printed(&Decimal {
                scale: -3,
                unscaled: Unscaled::Small(12)
            }),
            "12000"
        );
        assert!(parse("1.23", Some(1)).is_err());
        for text in ["", "-", ".", "1e5", "NaN", "1.2.3", "+1", "0x1"] {
            assert!(parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn the_border_of_64_bits() {
        assert_eq!(
            parse("9223372036854775807", None).unwrap().unscaled,
            Unscaled::Small(i64::MAX)
        );
        assert_eq!(
            parse("-9223372036854775808", None).unwrap().unscaled,
            Unscaled::Small(i64::MIN)
        );
        let bytes = vec![0, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            parse("9223372036854775808", None).unwrap().unscaled,
            Unscaled::Wide(Cow::Owned(bytes))
        );
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<i128>(), shift in 0_u32..60) {
            let text = (number >> shift).to_string();
            prop_assert_eq!(printed(&parse(&text, None).unwrap()), text);
        }

        #[test]
        fn wide_bytes_are_those_of_the_number(number in any::<i128>()) {
            prop_assume!(i64::try_from(number).is_err());
            let Unscaled::Wide(bytes) = parse(&number.to_string(), Some(0)).unwrap().unscaled else { panic!() };
            let start = if number < 0 { -1 } else { 0 };
            prop_assert_eq!(bytes.iter().fold(start, |sum: i128, byte| sum << 8 | i128::from(*byte)), number);
        }

        #[test]
        fn long_numbers_come_back(text in "-?[1-9][0-9]{0,120}\\.[0-9]{1,60}") {
            prop_assert_eq!(printed(&parse(&text, None).unwrap()), text);
        }
    }
}
