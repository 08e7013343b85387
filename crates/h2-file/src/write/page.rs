//! What one page looks like in a chunk, and how a position names it. Which pages there are is the tree's matter.

use super::compression::Packed;
use super::encode;

/// The id of a map inside the file.
pub(crate) type MapId = u32;

/// Chunk, offset, length class and kind of a page, as the file stores them; 0 is "no page".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PagePosition(pub(crate) u64);

/// The contents of a page, already encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PageBody<'a> {
    /// Keys and values.
    Leaf {
        /// How many entries.
        count: usize,
        /// The keys, one after the other.
        keys: &'a [u8],
        /// The value list, with its leading byte where the map's values are versioned.
        values: &'a [u8],
    },
    /// Children.
    Node {
        /// Positions of the children.
        children: &'a [u64],
        /// Entries below each child.
        counts: &'a [u64],
        /// The smallest key of each child but the first.
        keys: &'a [u8],
    },
}

/// The smallest length code whose decoded length holds `length`; 31 is "longer than 1 MiB".
fn length_code(length: u32) -> u8 {
    (0..31)
        .find(|code| decoded_length(*code) >= u64::from(length))
        .unwrap_or(31)
}

/// The length that a code stands for, as the sums of a chunk count it.
fn decoded_length(code: u8) -> u64 {
    if code == 31 {
        2 << 20
    } else {
        (2 + u64::from(code & 1)) << ((code >> 1) + 4)
    }
}

/// What appending a page added to its chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    /// Where it is.
    pub(crate) position: PagePosition,
    /// The entry for the chunk's table of contents.
    pub(crate) toc_entry: u64,
    /// Its share of the chunk's sum of decoded lengths.
    pub(crate) decoded_length: u64,
}

/// Page types: bit 1 says that keys and values are compressed.
const TYPE_LZF: u8 = 2;

/// Appends a page to `chunk`, the bytes of a chunk so far; `packed` takes the place of its keys and values. `None` if the page would not fit the format's 31 bits.
pub(crate) fn append(
    chunk: &mut Vec<u8>,
    chunk_id: u32,
    page_number: usize,
    map: MapId,
    body: PageBody<'_>,
    packed: Option<Packed<'_>>,
) -> Option<Appended> {
    let start = chunk.len();
    let offset = u32::try_from(start).ok()?;
    chunk.extend_from_slice(&[0; 6]);
    encode::length(chunk, page_number);
    encode::varint(chunk, map);
    let kind = match body {
        PageBody::Leaf { count, keys, values } => {
            encode::length(chunk, count);
            chunk.push(page_type(0, packed));
            contents(chunk, packed, &[keys, values]);
            0
        }
        PageBody::Node {
            children,
            counts,
            keys,
        } => {
            encode::length(chunk, children.len() - 1);
            chunk.push(page_type(1, packed));
            for child in children {
                chunk.extend_from_slice(&child.to_be_bytes());
            }
            for count in counts {
                encode::varlong(chunk, count.cast_signed());
            }
            contents(chunk, packed, &[keys]);
            1
        }
    };
    let length = i32::try_from(chunk.len() - start).ok()?.cast_unsigned();
    let check = encode::check16(chunk_id) ^ encode::check16(offset) ^ encode::check16(length);
    chunk[start..start + 4].copy_from_slice(&length.to_be_bytes());
    chunk[start + 4..start + 6].copy_from_slice(&check.to_be_bytes());
    let code = length_code(length);
    let tail = u64::from(offset) << 6 | u64::from(code) << 1 | kind;
    Some(Appended {
        position: PagePosition(u64::from(chunk_id) << 38 | tail),
        toc_entry: u64::from(map) << 38 | tail,
        decoded_length: decoded_length(code),
    })
}

fn page_type(kind: u8, packed: Option<Packed<'_>>) -> u8 {
    packed.map_or(kind, |_| kind | TYPE_LZF)
}

fn contents(chunk: &mut Vec<u8>, packed: Option<Packed<'_>>, plain: &[&[u8]]) {
    match packed {
        Some(packed) => {
            encode::length(chunk, packed.saved);
            chunk.extend_from_slice(packed.bytes);
        }
        None => plain.iter().for_each(|part| chunk.extend_from_slice(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_the_smallest_code_that_holds_it() {
        for (length, code, decoded) in [
            (24, 0, 32),
            (33, 1, 48),
            (0x188, 8, 512),
            (0xFA, 6, 256),
            (1 << 20, 30, 1 << 20),
            ((1 << 20) + 1, 31, 2 << 20),
        ] {
            assert_eq!(length_code(length), code, "{length}");
            assert_eq!(decoded_length(code), decoded, "{length}");
        }
    }

    #[test]
    fn a_leaf_has_the_bytes_of_the_reference() {
        let mut chunk = vec![0; 0x100];
        let keys = [1, 0xAC, 2];
        let values = [0, 0x31, 0x46, 0x61, 0xE2, 2, 0x2C, 5, 0xAC, 2, 0];
        let body = PageBody::Leaf {
            count: 2,
            keys: &keys,
            values: &values,
        };
        let appended = append(&mut chunk, 1, 0, 2, body, None).unwrap();
        assert_eq!(chunk[0x100..0x10A], [0, 0, 0, 0x18, 1, 0x19, 0, 2, 2, 0]);
        assert_eq!(appended.toc_entry, 0x0000_0080_0000_4000);
        assert_eq!(appended.position, PagePosition(0x40_0000_4000));
    }
}
