//! Upper-casing and lower-casing of single code points as H2 compares `VARCHAR_IGNORECASE`: one-to-one mappings
//! only, of the Unicode version that Java 17 has. A later Java knows more pairs; text with those letters would
//! be ordered differently there.

/// The code point that `code` compares as.
pub(crate) fn fold(code: u32) -> u32 {
    match code {
        0..0x80 => code | u32::from((0x41..=0x5A).contains(&code)) << 5,
        // The dotted İ has a lower-case form of one letter in Java only.
        0x130 => 0x69,
        // Letters that came after Unicode 13.
        0x1C89
        | 0x2C2F
        | 0xA7C0
        | 0xA7CB..=0xA7DC
        | 0x1_0570..=0x1_05BC
        | 0x1_0D50..=0x1_0D85
        | 0x1_6EA0..=0x1_6ED3 => code,
        _ => char::from_u32(code).map_or(code, |one| u32::from(lower(upper(one)))),
    }
}

fn upper(one: char) -> char {
    single(one.to_uppercase()).unwrap_or(one)
}

fn lower(one: char) -> char {
    single(one.to_lowercase()).unwrap_or(one)
}

fn single(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next();
    if mapped.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_as_java_17_does() {
        // Count and sum of all pairs (code, folded code) that differ, as Java 17.0 gives them.
        let pairs = (0..=0x10_FFFF)
            .map(|code| (code, fold(code)))
            .filter(|(code, folded)| code != folded);
        let (count, sum) = pairs.fold((0_u32, 0_u64), |(count, sum), (code, folded)| {
            (
                count + 1,
                sum.wrapping_mul(31)
                    .wrapping_add(u64::from(code) << 21 | u64::from(folded)),
            )
        });
        assert_eq!((count, sum), (1416, 0x09E1_CE46_B96D_D8D0));
    }
}
