//! Regular expressions that Postgres and Java, which H2 asks, read alike.

use super::Untranslatable;

/// The same pattern for Java, if nothing in it differs between the two.
///
/// Java's `$` also matches before a last line break, Postgres' does not: it becomes `\z`. `\d` is any decimal
/// digit of the locale in Postgres and ASCII on every usual one: it becomes `[0-9]`.
pub(super) fn to_java(pattern: &str) -> Result<String, Untranslatable> {
    let refuse = || Untranslatable::new(format!("the regular expression '{pattern}'"));
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.char_indices().peekable();
    let mut repeatable = false;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '^' if at == 0 => out.push('^'),
            '$' if letters.peek().is_none() => out.push_str("\\z"),
            // What Java's `$` is in Postgres' words, see `to_postgres`.
            '\\' if &pattern[at..] == "\\n?$" => {
                out.push_str("\\n?\\z");
                break;
            }
            // The one class that is the same everywhere: ten letters without a neighbour in any collation.
            '[' if pattern[at..].starts_with("[0-9]") => {
                out.push_str("[0-9]");
                letters.nth("0-9]".len() - 1);
                repeatable = true;
            }
            '\\' => match letters.next() {
                Some((_, 'd')) => {
                    out.push_str("[0-9]");
                    repeatable = true;
                }
                Some((_, literal)) if literal.is_ascii_punctuation() => {
                    out.push('\\');
                    out.push(literal);
                    repeatable = true;
                }
                _ => return Err(refuse()),
            },
            '*' | '+' | '?' if repeatable => {
                out.push(letter);
                repeatable = false;
            }
            letter if letter.is_ascii_alphanumeric() || " #_-/,:;=@!%&~'\"<>".contains(letter) => {
                out.push(letter);
                repeatable = true;
            }
            _ => return Err(refuse()),
        }
    }
    Ok(out)
}

/// The same pattern for Postgres, if nothing in it differs between the two.
///
/// Groups, classes of plain letters and counts are read alike. Java's `$` also matches before a last line break.
pub(super) fn to_postgres(pattern: &str) -> Result<String, Untranslatable> {
    let refuse = || Untranslatable::new(format!("the regular expression '{pattern}'"));
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        match letter {
            '^' if at == 0 => out.push('^'),
            '$' if next.is_none() => out.push_str("\\n?$"),
            '\\' if &pattern[at..] == "\\z" => {
                out.push('$');
                break;
            }
            '\\' if &pattern[at..] == "\\n?\\z" => {
                out.push_str("\\n?$");
                break;
            }
            '\\' => match letters.next() {
                Some((_, literal)) if literal.is_ascii_punctuation() => {
                    out.push('\\');
                    out.push(literal);
                }
                _ => return Err(refuse()),
            },
            '[' => {
                let class: String = letters
                    .by_ref()
                    .map(|(_, letter)| letter)
                    .take_while(|letter| *letter != ']')
                    .collect();
                let inner = class.strip_prefix('^').unwrap_or(&class);
                let is_plain = !inner.is_empty()
                    && inner
                        .chars()
                        .all(|letter| letter.is_ascii_alphanumeric() || " #_/,:;=@!%~<>|.-".contains(letter));
                if !is_plain {
                    return Err(refuse());
                }
                out.push_str(&format!("[{class}]"));
            }
            '(' | ')' | '*' | '+' | '{' | '}' => out.push(letter),
            '?' if out.ends_with('(') && next == Some(':') => out.push('?'),
            letter if letter.is_ascii_alphanumeric() || " #_-/,:;=@!%&~'\"<>".contains(letter) => {
                out.push(letter);
            }
            _ => return Err(refuse()),
        }
    }
    Ok(out)
}

/// Java's pattern, if nothing in it is read differently by Postgres, MySQL or MariaDB.
///
/// The libraries of the last two read as Java does what both it and Postgres know.
pub(super) fn shared(java: &str) -> Result<&str, Untranslatable> {
    to_postgres(java)?;
    Ok(java)
}

/// What a pattern finds: one field of a text that a delimiter divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) delimiter: char,
    /// Counted from 1.
    pub(super) number: u8,
    /// The group of the pattern that is the field.
    pub(super) group: u8,
    pub(super) missing: Missing,
}

/// What is found in a text that does not have so many fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The pattern does not match.
    Null,
    /// Its last field.
    Last,
}

/// Reads such a pattern: `^([^ ]+ ){5}([^ ]+)`, where neither the field nor any before it may be empty,
/// `^(?:[^ ]* ){5}([^ ]*)`, where they may, or `^(?:[^ ]* ){0,5}([^ ]*)`.
pub(super) fn field(pattern: &str) -> Option<Field> {
    let begin = pattern.find("[^")?;
    let delimiter = pattern[begin + "[^".len()..].chars().next()?;
    let any = anything_but(delimiter)?;
    let found = |counted: &str, group, missing| {
        Some(Field {
            delimiter,
            number: counted.parse::<u8>().ok()?.checked_add(1)?,
            group,
            missing,
        })
    };
    // One that stands for itself outside of brackets too.
    if !"|.".contains(delimiter) {
        let some = format!("[^{delimiter}]+");
        if pattern == format!("^({some})") {
            return found("0", 1, Missing::Null);
        }
        let counted = pattern.strip_prefix(&format!("^({some}{delimiter}){{"));
        if let Some(counted) = counted.and_then(|rest| rest.strip_suffix(&format!("}}({some})"))) {
            return found(counted, 2, Missing::Null);
        }
    }
    if pattern == format!("^({any})") {
        return found("0", 1, Missing::Null);
    }
    let counted = pattern
        .strip_prefix(&format!("^(?:{any}{}){{", exactly(delimiter)))?
        .strip_suffix(&format!("}}({any})"))?;
    match counted.strip_prefix("0,") {
        Some(most) => found(most, 1, Missing::Last),
        None => found(counted, 1, Missing::Null),
    }
}

/// A character class or literal for one character, quoted for Java.
pub(super) fn anything_but(delimiter: char) -> Option<String> {
    let plain = delimiter.is_ascii_alphanumeric() || " #_/,:;=@!%~<>|.".contains(delimiter);
    plain.then(|| format!("[^{delimiter}]*"))
}

/// One character as a literal, quoted for Java.
pub(super) fn exactly(delimiter: char) -> String {
    if delimiter.is_ascii_alphanumeric() || delimiter == ' ' {
        delimiter.to_string()
    } else {
        format!("\\{delimiter}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_both_read_alike() {
        assert_eq!(to_java("^\\d#1$").unwrap(), "^[0-9]#1\\z");
        assert_eq!(to_java("^1").unwrap(), "^1");
        assert_eq!(to_java("^[0-9]+L$").unwrap(), "^[0-9]+L\\z");
        assert_eq!(to_java("a\\.b+").unwrap(), "a\\.b+");
    }

    #[test]
    fn goes_back_to_postgres() {
        assert_eq!(to_postgres("^([^ ]+ ){3}([^ ]+)").unwrap(), "^([^ ]+ ){3}([^ ]+)");
        assert_eq!(to_postgres("^[0-9]#1$").unwrap(), "^[0-9]#1\\n?$");
        assert_eq!(to_postgres("^[0-9]L\\z").unwrap(), "^[0-9]L$");
        assert_eq!(
            to_postgres("^(?:[^ ]* ){2}([^ ]*)").unwrap(),
            "^(?:[^ ]* ){2}([^ ]*)"
        );
        for pattern in ["a|b", "[[:alpha:]]", "\\w", "a.b", "a+?"] {
            assert!(to_postgres(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn finds_the_field_that_a_pattern_counts_to() {
        let field =
            |pattern| field(pattern).map(|field| (field.delimiter, field.number, field.group, field.missing));
        assert_eq!(field("^([^ ]+ ){5}([^ ]+)"), Some((' ', 6, 2, Missing::Null)));
        assert_eq!(field("^([^,]+)"), Some((',', 1, 1, Missing::Null)));
        assert_eq!(field("^(?:[^ ]* ){2}([^ ]*)"), Some((' ', 3, 1, Missing::Null)));
        assert_eq!(
            field("^(?:[^,]*\\,){0,2}([^,]*)"),
            Some((',', 3, 1, Missing::Last))
        );
        assert_eq!(field("^([^ ]*)"), Some((' ', 1, 1, Missing::Null)));
        for pattern in [
            "^([^ ]* ){5}([^ ]+)",
            "^([^ ]+,){5}([^ ]+)",
            "^([^^]+)",
            "([^ ]+ ){5}([^ ]+)",
            "^(?:[^ ]* ){1,2}([^ ]*)",
            "^(?:[^ ]* ){2}([^,]*)",
            "^(?:[^ ]* ){2}",
            "^[^",
        ] {
            assert_eq!(field(pattern), None, "{pattern}");
        }
    }

    /// The end of a pattern came back from Postgres as no end, or not at all.
    #[test]
    fn an_end_before_a_last_line_break_stays_one() {
        assert_eq!(to_java("^[0-9]L\\n?$").unwrap(), "^[0-9]L\\n?\\z");
        assert_eq!(to_postgres("^[0-9]L\\n?\\z").unwrap(), "^[0-9]L\\n?$");
    }

    #[test]
    fn refuses_what_they_read_differently() {
        for pattern in ["a.b", "[a-z]", "(a|b)", "a$b", "\\w", "\\y", "a**", "a{2}", "é"] {
            assert!(to_java(pattern).is_err(), "{pattern}");
        }
    }
}
