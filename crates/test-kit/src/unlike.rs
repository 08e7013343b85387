//! What two schemas, each told as a set of facts, do not share, beside a checked-in list of what they need not share.

use std::collections::BTreeSet;

/// What two schemas do not share and no list explains; and what the list explains although it is not so.
#[derive(Debug, PartialEq, Eq)]
pub struct Unlike {
    /// `- FACT` is only in theirs, `+ FACT` only in ours.
    pub unexplained: Vec<String>,
    /// Lines of the list that explain nothing.
    pub stale: Vec<String>,
}

/// Compares two sets of facts. Each line of `explained` is `- FACT` or `+ FACT`, where a `*` stands for anything; reasons
/// are lines that begin with `#`.
#[must_use]
pub fn compare(theirs: &BTreeSet<String>, ours: &BTreeSet<String>, explained: &str) -> Unlike {
    let mut differences: Vec<String> = theirs.difference(ours).map(|fact| format!("- {fact}")).collect();
    differences.extend(ours.difference(theirs).map(|fact| format!("+ {fact}")));
    let explained: Vec<&str> = explained
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let unexplained = differences
        .iter()
        .filter(|difference| !explained.iter().any(|pattern| matches(pattern, difference)))
        .cloned()
        .collect();
    let stale = explained
        .iter()
        .filter(|pattern| !differences.iter().any(|difference| matches(pattern, difference)))
        .map(|pattern| (*pattern).to_owned())
        .collect();
    Unlike { unexplained, stale }
}

/// Does a pattern with `*` match the whole text?
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Unlike, compare, matches};

    #[test]
    fn patterns_match_whole_texts() {
        assert!(matches("- a*c", "- abbc") && matches("x", "x"));
        assert!(!matches("x", "xy") && !matches("a*b*c", "acb"));
    }

    #[test]
    fn what_is_not_explained_and_what_explains_nothing_is_told() {
        let set =
            |facts: &[&str]| -> BTreeSet<String> { facts.iter().map(|fact| (*fact).to_owned()).collect() };
        let unlike = compare(&set(&["a", "b"]), &set(&["b", "c"]), "# why\n- a\n+ d*\n");
        let expected = Unlike {
            unexplained: vec!["+ c".to_owned()],
            stale: vec!["+ d*".to_owned()],
        };
        assert_eq!(unlike, expected);
    }
}
