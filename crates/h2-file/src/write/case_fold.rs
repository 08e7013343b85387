//! Upper-casing and lower-casing of single code points as H2 compares VARCHAR_IGNORECASE: one-to-one mappings
//! only, of the Unicode version that Java 17 has.

/// The code point that `code` compares as.
pub(crate) fn fold(code: u32) -> u32 {
    if code < 0x80 {
        return if (0x41..=0x5A).contains(&code) { code + 0x20 } else { code };
    }
    char::from_u32(code).map_or(code, |one| u32::from(lower(upper(one))))
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
