//! How much fits into a key and into a row: bounds of `InnoDB`, and what becomes of columns that exceed them.

use super::types::{Extent, LETTER_BYTES, MySqlType};

/// The longest key, with pages of 16 KiB in rows of the format that is the servers' default.
const KEY_BYTES_MAX: u32 = 3072;
/// The most columns of one key.
const PARTS_MAX: usize = 16;
/// The longest row without its large objects; the server counts a few bytes for itself.
const ROW_BYTES_MAX: u32 = 65_000;
/// What a row keeps of a large object.
const LARGE_OBJECT_BYTES: u32 = 12;
/// Letters that an index keeps of a text without a bound.
const PREFIX_LETTERS: u32 = 255;

/// The type that a column without a bound gets where such a key is over it; `None` for other columns.
pub(super) fn bounded(key: &[Extent], column: Extent) -> Option<MySqlType> {
    let is_endless = |extent: &&Extent| matches!(extent, Extent::EndlessLetters | Extent::EndlessBytes);
    let count = u32::try_from(key.iter().filter(is_endless).count()).ok()?;
    let others: u32 = key.iter().map(|extent| bytes(*extent).unwrap_or(0)).sum();
    let share = KEY_BYTES_MAX.saturating_sub(others) / count.max(1);
    match column {
        Extent::EndlessLetters => Some(MySqlType::Varchar((share / LETTER_BYTES).max(1))),
        Extent::EndlessBytes => Some(MySqlType::Varbinary(share.max(1))),
        Extent::Fixed(_) | Extent::Letters(_) | Extent::Bytes(_) | Extent::Unknown => None,
    }
}

/// Can the server build a key over all of these columns?
pub(super) fn fits(key: &[Extent]) -> bool {
    if key.len() > PARTS_MAX {
        return false;
    }
    if key.contains(&Extent::Unknown) {
        return true;
    }
    let total: Option<u32> = key.iter().map(|extent| bytes(*extent)).sum();
    total.is_some_and(|total| total <= KEY_BYTES_MAX)
}

/// How much of each column an index takes that need not tell rows apart; `None` for all of it. `None` for the whole if
/// there is no way to build it.
pub(super) fn prefixes(key: &[Extent]) -> Option<Vec<Option<u32>>> {
    if key.len() > PARTS_MAX {
        return None;
    }
    if fits(key) {
        return Some(vec![None; key.len()]);
    }
    let fixed: u32 = key
        .iter()
        .map(|extent| match extent {
            Extent::Fixed(bytes) => *bytes,
            Extent::Letters(_)
            | Extent::Bytes(_)
            | Extent::EndlessLetters
            | Extent::EndlessBytes
            | Extent::Unknown => 0,
        })
        .sum();
    let others = key
        .iter()
        .filter(|extent| !matches!(extent, Extent::Fixed(_)))
        .count();
    let share = KEY_BYTES_MAX.checked_sub(fixed)? / u32::try_from(others).ok()?.max(1);
    let letters = (share / LETTER_BYTES).min(PREFIX_LETTERS);
    let prefix = |extent: &Extent| match extent {
        Extent::Fixed(_) | Extent::Unknown => None,
        Extent::Letters(length) => (*length > letters).then_some(letters),
        Extent::EndlessLetters => Some(letters),
        Extent::Bytes(length) => (*length > share).then_some(share),
        Extent::EndlessBytes => Some(share.min(PREFIX_LETTERS)),
    };
    (letters > 0).then(|| key.iter().map(prefix).collect())
}

fn bytes(extent: Extent) -> Option<u32> {
    match extent {
        Extent::Fixed(bytes) | Extent::Bytes(bytes) => Some(bytes),
        Extent::Letters(letters) => Some(letters.saturating_mul(LETTER_BYTES)),
        Extent::EndlessLetters | Extent::EndlessBytes | Extent::Unknown => None,
    }
}

/// The columns that must become large objects for a row to fit, the longest first. `may_grow` says which may.
pub(super) fn too_wide(types: &[MySqlType], may_grow: &dyn Fn(usize) -> bool) -> Vec<usize> {
    let width = |mysql_type: &MySqlType| match mysql_type.extent() {
        Extent::EndlessLetters | Extent::EndlessBytes => LARGE_OBJECT_BYTES,
        // The source has rows of them, and the same bound.
        Extent::Unknown => 0,
        extent => bytes(extent).unwrap_or(0).saturating_add(2),
    };
    let mut total: u32 = types.iter().map(width).fold(0, u32::saturating_add);
    let mut longest: Vec<usize> = (0..types.len())
        .filter(|at| may_grow(*at) && matches!(types[*at], MySqlType::Varchar(_) | MySqlType::Varbinary(_)))
        .collect();
    longest.sort_by_key(|at| std::cmp::Reverse(width(&types[*at])));
    let mut chosen = Vec::new();
    for at in longest {
        if total <= ROW_BYTES_MAX {
            break;
        }
        total = total.saturating_sub(width(&types[at])) + LARGE_OBJECT_BYTES;
        chosen.push(at);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_a_bound_share_what_a_key_has() {
        let letters = Extent::EndlessLetters;
        assert_eq!(bounded(&[letters], letters), Some(MySqlType::Varchar(768)));
        let key = [Extent::Fixed(72), letters, Extent::EndlessBytes];
        assert_eq!(bounded(&key, letters), Some(MySqlType::Varchar(375)));
        assert_eq!(
            bounded(&key, Extent::EndlessBytes),
            Some(MySqlType::Varbinary(1500))
        );
        assert_eq!(bounded(&key, Extent::Fixed(72)), None);
        let long = MySqlType::Varchar(768);
        assert_eq!(long.shorter(MySqlType::Varchar(3)), MySqlType::Varchar(3));
    }

    #[test]
    fn an_index_takes_what_fits() {
        assert!(fits(&[Extent::Letters(768)]) && !fits(&[Extent::Letters(768), Extent::Fixed(1)]));
        assert!(!fits(&[Extent::EndlessLetters]) && fits(&[Extent::Unknown]));
        assert!(!fits(&[Extent::Fixed(1); 17]) && prefixes(&[Extent::Fixed(1); 17]).is_none());
        assert_eq!(prefixes(&[Extent::Letters(768)]), Some(vec![None]));
        assert_eq!(
            prefixes(&[Extent::Fixed(4), Extent::EndlessLetters, Extent::Letters(20)]),
            Some(vec![None, Some(255), None])
        );
        assert_eq!(prefixes(&[Extent::Letters(1000)]), Some(vec![Some(255)]));
    }

    #[test]
    fn the_longest_columns_leave_a_row_that_is_too_wide() {
        let types = [
            MySqlType::Int,
            MySqlType::Varchar(9000),
            MySqlType::Varchar(10_000),
            MySqlType::Varchar(100),
        ];
        assert_eq!(too_wide(&types, &|_| true), [2]);
        assert_eq!(too_wide(&types, &|at| at != 2), [1]);
        assert_eq!(too_wide(&types[..2], &|_| true), [0_usize; 0]);
    }
}
