//! Decimal digits of numbers that are stored in binary: their count, and an order that ignores the scale.

use crate::{Decimal, Unscaled};

/// Sign and decimal digits, most significant first, without leading zeros (empty for 0).
pub(crate) fn digits(unscaled: &Unscaled<'_>) -> (bool, Vec<u8>) {
    match unscaled {
        Unscaled::Small(number) => {
            let text = number.unsigned_abs().to_string();
            let digits = if *number == 0 {
                Vec::new()
            } else {
                text.bytes().map(|byte| byte - b'0').collect()
            };
            (*number < 0, digits)
        }
        Unscaled::Wide(bytes) => {
            let negative = bytes.first().is_some_and(|first| *first >= 0x80);
            (
                negative,
                if negative {
                    wide_digits(negated(bytes))
                } else {
                    wide_digits(bytes.to_vec())
                },
            )
        }
    }
}

/// The magnitude of a negative two's complement number.
fn negated(bytes: &[u8]) -> Vec<u8> {
    let mut magnitude = bytes.to_vec();
    let mut carry = true;
    for byte in magnitude.iter_mut().rev() {
        let (turned, carried) = (!*byte).overflowing_add(u8::from(carry));
        *byte = turned;
        carry = carried;
    }
    magnitude
}

fn wide_digits(magnitude: Vec<u8>) -> Vec<u8> {
    const BILLION: u64 = 1_000_000_000;
    let mut words: Vec<u64> = magnitude
        .rchunks(4)
        .rev()
        .map(|word| word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        .collect();
    let mut groups = Vec::new();
    let mut first = 0;
    while first < words.len() {
        let mut rest = 0;
        for word in &mut words[first..] {
            let number = rest << 32 | *word;
            *word = number / BILLION;
            rest = number % BILLION;
        }
        groups.push(rest);
        while first < words.len() && words[first] == 0 {
            first += 1;
        }
    }
    let text: String = groups.iter().rev().map(|group| format!("{group:09}")).collect();
    text.trim_start_matches('0')
        .bytes()
        .map(|byte| byte - b'0')
        .collect()
}

/// Appends a finite number so that bytes compare as numbers do, whatever their scales: 1 negative, 2 zero,
/// 3 positive; then the place of the first digit; then the digits.
pub(crate) fn ordered_decimal(out: &mut Vec<u8>, decimal: &Decimal<'_>) {
    let (negative, mut digits) = digits(&decimal.unscaled);
    let places = digits.len();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        out.push(2);
        return;
    }
    out.push(if negative { 1 } else { 3 });
    let start = out.len();
    let exponent = i64::try_from(places).unwrap_or(i64::MAX) - i64::from(decimal.scale);
    out.extend_from_slice(&(exponent.cast_unsigned() ^ 1 << 63).to_be_bytes());
    out.extend(digits.iter().map(|digit| digit + 1));
    out.push(0);
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn wide_numbers_have_their_decimal_digits() {
        let text = |bytes: &[u8]| {
            let (negative, digits) = digits(&Unscaled::Wide(Cow::Borrowed(bytes)));
            let digits: String = digits.iter().map(|digit| char::from(digit + b'0')).collect();
            format!("{}{digits}", if negative { "-" } else { "" })
        };
        // 2^64, -2^64 and 10^27.
        assert_eq!(text(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "18446744073709551616");
        assert_eq!(text(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 0]), "-18446744073709551616");
        let number = 10_i128.pow(27).to_be_bytes();
        assert_eq!(text(&number), format!("1{}", "0".repeat(27)));
    }

    #[test]
    fn order_ignores_the_scale() {
        let key = |unscaled, scale| {
            let mut out = Vec::new();
            ordered_decimal(
                &mut out,
                &Decimal {
                    scale,
                    unscaled: Unscaled::Small(unscaled),
                },
            );
            out
        };
        assert_eq!(key(150, 2), key(15, 1));
        let ascending = [
            (-1000, 0),
            (-15, 1),
            (-149, 2),
            (-1, 9),
            (0, 5),
            (1, 9),
            (9, 1),
            (1, 0),
            (101, 2),
            (2, -3),
        ];
        assert!(
            ascending
                .map(|(unscaled, scale)| key(unscaled, scale))
                .is_sorted()
        );
    }
}
