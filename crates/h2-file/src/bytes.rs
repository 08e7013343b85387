//! A bounds-checked cursor over input bytes, and H2's variable-length integers and strings.
//! It knows nothing about pages or values; an error says at which byte of the given slice it happened.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::Text;
use crate::error::Malformed;

type Result<T> = std::result::Result<T, Malformed>;

const END: &str = "ends too early";

/// Reads forward through a slice; what it hands out borrows from the slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            total: bytes.len(),
        }
    }

    /// Starts behind the first `at` bytes.
    pub(crate) fn at_offset(bytes: &'a [u8], at: usize) -> Self {
        Self {
            rest: bytes.get(at..).unwrap_or_default(),
            total: bytes.len(),
        }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the current byte.
    pub(crate) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed::new(self.at(), what)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(self.malformed(END));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.malformed(END));
        };
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8> {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return Err(self.malformed(END));
        };
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        Ok(self.u8()?.cast_signed())
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A 32-bit number of up to 5 bytes; the fifth is taken whole, as H2 does.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i32> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(i32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value.cast_signed());
            }
        }
        value |= u32::from(self.u8()?).wrapping_shl(28);
        Ok(value.cast_signed())
    }

    /// A 64-bit number of up to 10 bytes.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(i64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in [7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value.cast_signed())
    }

    /// A varint that counts bytes or elements of at least one byte each: never more than what is left, so that
    /// nothing is allocated by a number that the input cannot back.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let start = *self;
        let count = usize::try_from(self.varint()?).map_err(|_| start.malformed("negative count"))?;
        if count > self.remaining() {
            return Err(start.malformed("count exceeds the bytes that are left"));
        }
        Ok(count)
    }

    /// Length-prefixed bytes.
    pub(crate) fn byte_string(&mut self) -> Result<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    /// A string: count of UTF-16 units, then the units.
    pub(crate) fn string(&mut self) -> Result<Text<'a>> {
        let units = self.count()?;
        self.string_units(units)
    }

    /// A string that must be proper text: map keys and metadata.
    pub(crate) fn utf8_string(&mut self) -> Result<Cow<'a, str>> {
        let start = *self;
        match self.string()? {
            Text::Utf8(text) => Ok(text),
            Text::Units(_) => Err(start.malformed("lone surrogate in a name")),
        }
    }

    /// `units` UTF-16 units without a count. ASCII is borrowed.
    #[inline]
    pub(crate) fn string_units(&mut self, units: usize) -> Result<Text<'a>> {
        if let Some((head, rest)) = self.rest.split_at_checked(units)
            && head.is_ascii()
            && let Ok(text) = std::str::from_utf8(head)
        {
            self.rest = rest;
            return Ok(Text::Utf8(Cow::Borrowed(text)));
        }
        self.wide_string(units)
    }

    fn wide_string(&mut self, units: usize) -> Result<Text<'a>> {
        if units > self.remaining() {
            return Err(self.malformed(END));
        }
        let start = *self;
        let mut text = String::with_capacity(units);
        let mut left = units;
        while left > 0 {
            left = left.saturating_sub(1);
            let unit = self.unit()?;
            if let Some(character) = char::from_u32(u32::from(unit)) {
                text.push(character);
                continue;
            }
            // A surrogate: the pair gives one character; anything else makes the whole string UTF-16 units.
            let pair = if left > 0 && unit < 0xDC00 {
                Some(self.unit()?)
            } else {
                None
            };
            left = left.saturating_sub(usize::from(pair.is_some()));
            let decoded = pair.and_then(|low| char::decode_utf16([unit, low]).next()?.ok());
            match decoded {
                // `decode_utf16` of a high surrogate and a non-surrogate fails on the first item.
                Some(character) => text.push(character),
                None => {
                    *self = start;
                    return self.lone_surrogates(units);
                }
            }
        }
        Ok(Text::Utf8(Cow::Owned(text)))
    }

    fn lone_surrogates(&mut self, units: usize) -> Result<Text<'a>> {
        let mut all = Vec::with_capacity(units.min(self.remaining()));
        for _ in 0..units {
            all.push(self.unit()?);
        }
        Ok(Text::Units(all))
    }

    /// One UTF-16 unit. Continuation bytes have bit 7 clear in H2's files; the bit is ignored, as H2 does.
    fn unit(&mut self) -> Result<u16> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u16::from(first));
        }
        if first < 0xE0 {
            let second = self.u8()?;
            return Ok(u16::from(first & 0x1F).wrapping_shl(6) | u16::from(second & 0x3F));
        }
        let second = self.u8()?;
        let third = self.u8()?;
        Ok(u16::from(first & 0x0F).wrapping_shl(12)
            | u16::from(second & 0x3F).wrapping_shl(6)
            | u16::from(third & 0x3F))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_negative_numbers_of_five_and_ten_bytes() {
        assert_eq!(Cursor::new(&[0xfd, 0xff, 0xff, 0xff, 0x0f]).varint(), Ok(-3));
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor::new(&minus_one).varlong(), Ok(-1));
        assert_eq!(Cursor::new(&[0xac, 0x02]).varint(), Ok(300));
    }

    #[test]
    fn reads_text_whose_continuation_bytes_have_bit_7_clear() {
        let mut cursor = Cursor::new(&[2, 0x61, 0xe2, 0x02, 0x2c]);
        assert_eq!(cursor.string(), Ok(Text::Utf8(Cow::Borrowed("a€"))));
        assert!(cursor.is_empty());
    }

    #[test]
    fn joins_surrogate_pairs_and_keeps_lone_ones_as_units() {
        // U+1F600 = D83D DE00.
        let pair = [2, 0xED, 0x20, 0x3D, 0xED, 0x38, 0x00];
        assert_eq!(
            Cursor::new(&pair).string(),
            Ok(Text::Utf8(Cow::Borrowed("\u{1F600}")))
        );
        let lone = [2, 0xED, 0x20, 0x3D, 0x61];
        assert_eq!(Cursor::new(&lone).string(), Ok(Text::Units(vec![0xD83D, 0x61])));
        let last = [2, 0x61, 0xED, 0x20, 0x3D];
        assert_eq!(Cursor::new(&last).string(), Ok(Text::Units(vec![0x61, 0xD83D])));
        let low_first = [2, 0xED, 0x38, 0x00, 0x61];
        assert_eq!(
            Cursor::new(&low_first).string(),
            Ok(Text::Units(vec![0xDE00, 0x61]))
        );
    }

    #[test]
    fn refuses_counts_that_the_input_cannot_back() {
        assert!(Cursor::new(&[0x7f, 0x61]).string().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).count().is_err());
        assert_eq!(Cursor::new(&[1, 2, 3]).u32(), Err(Malformed::new(0, END)));
    }
}
