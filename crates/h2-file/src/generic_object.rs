//! Generic objects: how format 1 writes the keys and values of maps that have no type of their own (large objects,
//! undo logs). Only the kinds that these maps hold are read.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::Cursor;
use crate::error::Malformed;

const INT: u8 = 4;
const LONG: u8 = 5;
const ARRAY: u8 = 14;
/// Numbers that a varint would make longer, or negative ones.
const INT_NEGATIVE: u8 = 33;
const INT_FIXED: u8 = 34;
const LONG_NEGATIVE: u8 = 35;
const LONG_FIXED: u8 = 36;
/// An `int` of 0 to 15 is its tag alone; so are a `long` of 0 to 7 and the length of a byte array up to 15.
const INT_SMALL: u8 = 64;
const LONG_SMALL: u8 = 80;
const BYTES_SMALL: u8 = 104;
/// Element types of arrays.
const OF_BYTES: u8 = 1;
const OF_OBJECTS: u8 = 8;

/// A `long`.
pub(crate) fn long(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    let start = *cursor;
    match cursor.u8()? {
        LONG => cursor.varlong(),
        LONG_NEGATIVE => cursor.varlong().map(i64::wrapping_neg),
        LONG_FIXED => cursor.u64().map(u64::cast_signed),
        tag if (LONG_SMALL..=LONG_SMALL.wrapping_add(7)).contains(&tag) => {
            Ok(i64::from(tag.wrapping_sub(LONG_SMALL)))
        }
        _ => Err(start.malformed("a number is missing")),
    }
}

/// A byte array.
pub(crate) fn bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let start = *cursor;
    match cursor.u8()? {
        ARRAY if cursor.u8()? == OF_BYTES => cursor.byte_string(),
        tag if (BYTES_SMALL..=BYTES_SMALL.wrapping_add(15)).contains(&tag) => {
            cursor.take(usize::from(tag.wrapping_sub(BYTES_SMALL)))
        }
        _ => Err(start.malformed("bytes are missing")),
    }
}

/// The beginning of an array of objects; gives the number of its elements.
pub(crate) fn array(cursor: &mut Cursor<'_>) -> Result<usize, Malformed> {
    let start = *cursor;
    if cursor.u8()? != ARRAY || cursor.u8()? != OF_OBJECTS {
        return Err(start.malformed("an array of objects is missing"));
    }
    cursor.count()
}

/// Steps over an `int`.
pub(crate) fn skip_int(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    let start = *cursor;
    match cursor.u8()? {
        INT | INT_NEGATIVE => cursor.varint().map(|_| ()),
        INT_FIXED => cursor.u32().map(|_| ()),
        tag if (INT_SMALL..=INT_SMALL.wrapping_add(15)).contains(&tag) => Ok(()),
        _ => Err(start.malformed("a number is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::{array, bytes, long, skip_int};
    use crate::bytes::Cursor;

    #[test]
    fn reads_numbers_of_every_size() {
        for (written, expected) in [
            (&[80][..], 0),
            (&[87], 7),
            (&[5, 8], 8),
            (&[35, 1], -1),
            (&[36, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        ] {
            let mut cursor = Cursor::new(written);
            assert_eq!(long(&mut cursor), Ok(expected));
            assert!(cursor.is_empty());
        }
        assert!(long(&mut Cursor::new(&[88])).is_err());
    }

    #[test]
    fn reads_the_parts_of_a_large_object_entry() {
        let entry = [14, 8, 4, 106, 0xAA, 0xBB, 4, 16, 5, 100, 64];
        let mut cursor = Cursor::new(&entry);
        assert_eq!(array(&mut cursor), Ok(4));
        assert_eq!(bytes(&mut cursor), Ok(&[0xAA, 0xBB][..]));
        skip_int(&mut cursor).unwrap();
        assert_eq!(long(&mut cursor), Ok(100));
        skip_int(&mut cursor).unwrap();
        assert!(cursor.is_empty());
        assert_eq!(bytes(&mut Cursor::new(&[14, 1, 1, 7])), Ok(&[7][..]));
        assert!(bytes(&mut Cursor::new(&[14, 8, 1, 7])).is_err());
    }
}
