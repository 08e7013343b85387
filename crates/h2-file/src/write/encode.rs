//! The format's primitive encodings: variable-length integers, strings, text maps and the page check.
//! What a value or a page is made of is said elsewhere.

use crate::fletcher::fletcher32;

/// A signed or unsigned 32-bit integer, seven bits per byte, low group first.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// The same over 64 bits; a negative number takes ten bytes.
pub(crate) fn varlong(out: &mut Vec<u8>, value: i64) {
    let mut value = value.cast_unsigned();
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// A length as a varint. Every length of the format fits 31 bits; a longer one saturates and is refused before.
pub(crate) fn length(out: &mut Vec<u8>, length: usize) {
    varint(out, u32::try_from(length).unwrap_or(u32::MAX));
}

/// How many UTF-16 units `text` has.
pub(crate) fn utf16_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes.is_ascii() {
        return bytes.len();
    }
    // A character starts at each byte that continues nothing, and one of four bytes is two units. So few bytes are added
    // up at a time that their sum fits a byte, which lets many be added up at once.
    bytes
        .chunks(127)
        .map(|some| {
            let units: u8 = some
                .iter()
                .map(|byte| u8::from(byte & 0xC0 != 0x80) + u8::from(*byte >= 0xF0))
                .sum();
            usize::from(units)
        })
        .sum()
}

/// One UTF-16 unit, one to three bytes. Continuation bytes have bit 7 clear: this is not UTF-8.
pub(crate) fn unit(out: &mut Vec<u8>, unit: u16) {
    if unit < 0x80 {
        out.push((unit & 0x7F) as u8);
    } else if unit < 0x800 {
        out.push(0xC0 | (unit >> 6 & 0x1F) as u8);
        out.push((unit & 0x3F) as u8);
    } else {
        out.push(0xE0 | (unit >> 12 & 0xF) as u8);
        out.push((unit >> 6 & 0x3F) as u8);
        out.push((unit & 0x3F) as u8);
    }
}

/// The units of a string without their count.
pub(crate) fn string_data(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
    } else {
        for one in text.encode_utf16() {
            unit(out, one);
        }
    }
}

/// A string: count of UTF-16 units, then the units.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    length(out, utf16_len(text));
    string_data(out, text);
}

/// An array of ints that may be null: 0, or length + 1 and the ints.
pub(crate) fn int_array(out: &mut Vec<u8>, ints: Option<&[u32]>) {
    match ints {
        None => out.push(0),
        Some(ints) => {
            length(out, ints.len() + 1);
            for one in ints {
                varint(out, *one);
            }
        }
    }
}

/// Half of a page's check value.
pub(crate) fn check16(value: u32) -> u16 {
    ((value >> 16 ^ value) & 0xFFFF) as u16
}

/// A text map with its checksum as the last pair.
pub(crate) fn with_fletcher(mut text: String) -> String {
    let sum = fletcher32(text.as_bytes());
    text.push_str(&format!(",fletcher:{sum:x}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_seven_bits_a_byte() {
        let mut out = Vec::new();
        varint(&mut out, (-3_i32).cast_unsigned());
        assert_eq!(out, [0xFD, 0xFF, 0xFF, 0xFF, 0x0F]);
        out.clear();
        varlong(&mut out, -1);
        assert_eq!(out, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
        out.clear();
        varlong(&mut out, 300);
        assert_eq!(out, [0xAC, 2]);
    }

    #[test]
    fn strings_are_utf16_units_with_clear_continuation_bytes() {
        let mut out = Vec::new();
        string(&mut out, "a€");
        assert_eq!(out, [2, 0x61, 0xE2, 2, 0x2C]);
        assert_eq!(utf16_len("a\u{1F600}é€"), 5);
    }

    #[test]
    fn long_texts_are_counted_like_java_counts_them() {
        for character in ["é", "€", "\u{1F600}", "a\u{1F600}"] {
            for repeats in [1, 42, 127, 128, 129, 5000] {
                let text = character.repeat(repeats);
                assert_eq!(
                    utf16_len(&text),
                    text.encode_utf16().count(),
                    "{character} x {repeats}"
                );
            }
        }
    }
}
