//! Packs the contents of pages by LZF, as H2 does with COMPRESS=TRUE. Undoing it is the reader's matter.

use super::page::PageBody;

/// Shorter contents stay as they are, as in H2.
const PLAIN_BYTES_MIN: usize = 17;
/// A back reference copies so many bytes, from so far back, at most.
const MATCH_BYTES_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
/// A run of literals.
const LITERALS_MAX: usize = 32;
/// Lengths from here on take a byte of their own.
const LONG_LENGTH: usize = 7;
const HASH_BITS: u32 = 13;

/// Whether page contents are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// They are not, which is fastest to read and to write.
    #[default]
    None,
    /// By LZF, where that makes them shorter. H2 reads it without being told.
    Lzf,
}

/// Contents that became shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) bytes: &'a [u8],
    /// Bytes saved.
    pub(crate) saved: usize,
}

/// Buffers of one compression; they are used again.
#[derive(Debug)]
pub(crate) struct Packer {
    plain: Vec<u8>,
    packed: Vec<u8>,
    /// Where three bytes of a hash were seen last, plus 1.
    seen: Vec<u32>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self {
            plain: Vec::new(),
            packed: Vec::new(),
            seen: vec![0; 1 << HASH_BITS],
        }
    }

    /// `None` if the contents do not become shorter.
    pub(crate) fn pack(&mut self, body: PageBody<'_>) -> Option<Packed<'_>> {
        self.plain.clear();
        match body {
            PageBody::Leaf { keys, values, .. } => {
                self.plain.extend_from_slice(keys);
                self.plain.extend_from_slice(values);
            }
            PageBody::Node { keys, .. } => self.plain.extend_from_slice(keys),
        }
        // Beyond the range of `seen` no page comes near.
        if self.plain.len() < PLAIN_BYTES_MIN || u32::try_from(self.plain.len()).is_err() {
            return None;
        }
        self.packed.clear();
        self.seen.fill(0);
        lzf(&self.plain, &mut self.packed, &mut self.seen);
        let saved = self.plain.len().checked_sub(self.packed.len())?;
        // The number of bytes saved is stored too, in five at most.
        (saved > 5).then_some(Packed {
            bytes: &self.packed,
            saved,
        })
    }
}

fn hash(three: &[u8]) -> usize {
    let value = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
    (value.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize
}

fn lzf(plain: &[u8], packed: &mut Vec<u8>, seen: &mut [u32]) {
    let (mut at, mut literals_from) = (0, 0);
    // H2 2.1.214 refuses a reference that reaches the end of the contents: the last byte is always a literal.
    while at + 4 <= plain.len() {
        let slot = &mut seen[hash(&plain[at..])];
        let before = *slot as usize;
        *slot = u32::try_from(at + 1).unwrap_or(0);
        if before == 0 || at + 1 - before > DISTANCE_MAX || plain[before - 1..before + 2] != plain[at..at + 3]
        {
            at += 1;
            continue;
        }
        let from = before - 1;
        let longest = MATCH_BYTES_MAX.min(plain.len() - at - 1);
        let length = (3..longest)
            .find(|length| plain[from + length] != plain[at + length])
            .unwrap_or(longest);
        literals(&plain[literals_from..at], packed);
        reference(at - from, length, packed);
        at += length;
        literals_from = at;
    }
    literals(&plain[literals_from..], packed);
}

fn literals(bytes: &[u8], packed: &mut Vec<u8>) {
    for run in bytes.chunks(LITERALS_MAX) {
        packed.push(byte(run.len() - 1));
        packed.extend_from_slice(run);
    }
}

fn reference(distance: usize, length: usize, packed: &mut Vec<u8>) {
    let (distance, length) = (distance - 1, length - 2);
    if length < LONG_LENGTH {
        packed.push(byte(length << 5 | distance >> 8));
    } else {
        packed.push(byte(LONG_LENGTH << 5 | distance >> 8));
        packed.push(byte(length - LONG_LENGTH));
    }
    packed.push(byte(distance & 0xFF));
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).expect("runs, lengths and distances are kept within their bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Packer;
    use crate::page::unpack_lzf;
    use crate::write::page::PageBody;

    fn comes_back(contents: &[u8]) -> usize {
        let mut packer = Packer::new();
        let body = PageBody::Leaf {
            count: 1,
            keys: &[],
            values: contents,
        };
        let Some(packed) = packer.pack(body) else {
            return contents.len();
        };
        let mut plain = Vec::new();
        assert_eq!(
            unpack_lzf(packed.bytes, packed.bytes.len() + packed.saved, &mut plain),
            Ok(())
        );
        assert!(plain == contents);
        packed.bytes.len()
    }

    #[test]
    fn what_repeats_becomes_short_and_what_does_not_stays() {
        assert!(comes_back(&[7; 10_000]) < 200);
        assert!(comes_back(&b"note 12345, ".repeat(1000)) < 300);
        let noise: Vec<u8> = (0..3000_u32)
            .flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        assert!(comes_back(&noise) <= noise.len());
        assert_eq!(comes_back(&[1; 16]), 16);
    }

    proptest! {
        #[test]
        fn every_content_comes_back(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..900),
        ) {
            let contents: Vec<u8> = order.iter().flat_map(|at| at.get(&words).clone()).collect();
            comes_back(&contents);
        }
    }
}
