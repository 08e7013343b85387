//! Undoing the compression of page contents: LZF, or Deflate in a zlib wrapper. Output grows with what the input
//! really produces, never with what it claims.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::io::Read;

/// Reserved up front at most; more is allocated only as output appears.
const RESERVE_BYTES_MAX: usize = 1 << 20;
/// No page is read that unpacks to more: a page holds at most some rows, and H2 splits pages at kilobytes.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// Unpacks LZF into `plain`, which must come out `plain_bytes` long.
pub(crate) fn unpack_lzf(packed: &[u8], plain_bytes: usize, plain: &mut Vec<u8>) -> Result<(), &'static str> {
    const CUT: &str = "compressed contents end too early";
    start(plain_bytes, plain)?;
    let mut rest = packed;
    while plain.len() < plain_bytes {
        let (&control, after) = rest.split_first().ok_or(CUT)?;
        rest = after;
        let control = usize::from(control);
        if control < 32 {
            let (literals, after) = rest.split_at_checked(control.wrapping_add(1)).ok_or(CUT)?;
            plain.extend_from_slice(literals);
            rest = after;
            continue;
        }
        let mut length = control >> 5;
        if length == 7 {
            let (&more, after) = rest.split_first().ok_or(CUT)?;
            length = length.saturating_add(usize::from(more));
            rest = after;
        }
        let (&low, after) = rest.split_first().ok_or(CUT)?;
        rest = after;
        let distance = ((control & 31) << 8 | usize::from(low)).wrapping_add(1);
        let from = plain
            .len()
            .checked_sub(distance)
            .ok_or("compressed contents refer back too far")?;
        let length = length.saturating_add(2);
        copy_within(plain, from, length)?;
    }
    if plain.len() != plain_bytes || !rest.is_empty() {
        return Err("compressed contents have another length than stated");
    }
    Ok(())
}

/// Appends `length` bytes from `from` on; source and target may overlap, which repeats the pattern.
fn copy_within(plain: &mut Vec<u8>, mut from: usize, mut length: usize) -> Result<(), &'static str> {
    while length > 0 {
        let step = plain.len().saturating_sub(from).min(length);
        if step == 0 {
            return Err("compressed contents refer back too far");
        }
        plain.extend_from_within(from..from.saturating_add(step));
        from = from.saturating_add(step);
        length = length.saturating_sub(step);
    }
    Ok(())
}

/// Inflates a zlib stream into `plain`, which must come out `plain_bytes` long.
pub(super) fn inflate(packed: &[u8], plain_bytes: usize, plain: &mut Vec<u8>) -> Result<(), &'static str> {
    start(plain_bytes, plain)?;
    let limit = u64::try_from(plain_bytes).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::ZlibDecoder::new(packed)
        .take(limit)
        .read_to_end(plain)
        .map_err(|_| "compressed contents are not a zlib stream")?;
    if plain.len() != plain_bytes {
        return Err("compressed contents have another length than stated");
    }
    Ok(())
}

fn start(plain_bytes: usize, plain: &mut Vec<u8>) -> Result<(), &'static str> {
    if plain_bytes > PLAIN_BYTES_MAX {
        return Err("contents unpack to more than 1 GiB");
    }
    plain.clear();
    plain.reserve(plain_bytes.min(RESERVE_BYTES_MAX));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{inflate, unpack_lzf};

    #[test]
    fn repeats_overlapping_copies() {
        let mut plain = Vec::new();
        // Two literals `ab`, then 2 + 2 bytes from distance 2.
        assert_eq!(unpack_lzf(&[1, b'a', b'b', 2 << 5, 1], 6, &mut plain), Ok(()));
        assert_eq!(plain, b"ababab");
        // A long copy: length 7 + 3 + 2 from distance 1.
        assert_eq!(unpack_lzf(&[0, b'x', 7 << 5, 3, 0], 13, &mut plain), Ok(()));
        assert_eq!(plain, b"xxxxxxxxxxxxx");
    }

    #[test]
    fn refuses_what_does_not_come_out_as_stated() {
        let mut plain = Vec::new();
        assert!(unpack_lzf(&[0, b'x'], 2, &mut plain).is_err());
        assert!(unpack_lzf(&[0, b'x', 7 << 5, 3, 0], 5, &mut plain).is_err());
        assert!(unpack_lzf(&[1 << 5, 0], 3, &mut plain).is_err());
        assert!(unpack_lzf(&[], usize::MAX, &mut plain).is_err());
        assert!(inflate(b"not zlib", 100, &mut plain).is_err());
    }
}
