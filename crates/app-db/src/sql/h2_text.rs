//! Names and literals as H2's own catalogue spells them.

/// An identifier, always quoted.
pub(crate) fn identifier(name: &str) -> String {
    if is_plain(name) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        unicode('"', name)
    }
}

/// A character string literal.
pub(crate) fn literal(text: &str) -> String {
    if is_plain(text) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        unicode('\'', text)
    }
}

/// A name in the case that H2 gives an unquoted one: all-lower-case names become upper case, the same as in a
/// schema made on H2 itself. A name with an upper-case letter was quoted on purpose and stays.
pub(crate) fn fold(name: &str) -> String {
    if name.chars().any(char::is_uppercase) {
        return name.to_owned();
    }
    // One letter for one letter only: "ß" has no upper-case letter of its own and stays.
    name.chars()
        .map(|letter| {
            let mut upper = letter.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => letter,
            }
        })
        .collect()
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn unicode(quote: char, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str("U&");
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            letter if letter == quote => {
                out.push(quote);
                out.push(quote);
            }
            ' '..='~' => out.push(letter),
            letter if u32::from(letter) <= 0xFFFF => out.push_str(&format!("\\{:04x}", u32::from(letter))),
            letter => out.push_str(&format!("\\+{:06x}", u32::from(letter))),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_only_names_that_were_not_quoted_for_their_case() {
        assert_eq!(fold("core_user"), "CORE_USER");
        assert_eq!(fold("QRTZ_LOCKS"), "QRTZ_LOCKS");
        assert_eq!(fold("myTable"), "myTable");
        assert_eq!(fold("straße é"), "STRAßE É");
    }

    #[test]
    fn quotes_what_h2_reads_back() {
        assert_eq!(identifier("A \"B\""), "\"A \"\"B\"\"\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), "'a\\b'");
        assert_eq!(literal("é\\\n\u{1f600}"), "U&'\\00e9\\\\\\000a\\+01f600'");
    }
}
