//! H2's Fletcher-32 variant over text maps.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Words between two folds: as many as 32-bit sums can take without overflow.
const WORDS_PER_FOLD: usize = 360;

/// The checksum of `bytes`, as the `fletcher` key holds it.
pub(crate) fn fletcher32(bytes: &[u8]) -> u32 {
    let fold = |sum: u32| (sum & 0xFFFF).wrapping_add(sum >> 16);
    let (mut low, mut high) = (0xFFFF_u32, 0xFFFF_u32);
    let (words, odd) = bytes.as_chunks::<2>();
    for run in words.chunks(WORDS_PER_FOLD) {
        for word in run {
            low = low.wrapping_add(u32::from(u16::from_be_bytes(*word)));
            high = high.wrapping_add(low);
        }
        (low, high) = (fold(low), fold(high));
    }
    if let [last] = odd {
        low = low.wrapping_add(u32::from(u16::from_be_bytes([*last, 0])));
        high = high.wrapping_add(low);
        (low, high) = (fold(low), fold(high));
    }
    (low, high) = (fold(low), fold(high));
    (high << 16) | low
}

#[cfg(test)]
mod tests {
    use super::fletcher32;

    #[test]
    fn matches_a_header_that_h2_accepts() {
        let text = b"H:2,block:2,blockSize:1000,chunk:1,clean:1,created:18000000000,format:2,version:1";
        assert_eq!(fletcher32(text), 0xc0fd_029a);
        assert_eq!(fletcher32(b"chunk:1,block:2,version:1"), 0x84d0_d5f6);
    }
}
