//! Names and literals as Postgres spells them.

/// An identifier, always quoted.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A character string literal. A backslash stands for itself: `standard_conforming_strings` is on.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name in the case that Postgres gives an unquoted one: names without a lower-case letter, as other databases
/// give them, become lower case. A name with both was quoted on purpose and stays.
pub(crate) fn fold(name: &str) -> String {
    if name.chars().any(char::is_lowercase) {
        name.to_owned()
    } else {
        name.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_only_names_that_were_not_quoted_for_their_case() {
        assert_eq!(fold("CORE_USER"), "core_user");
        assert_eq!(fold("myTable"), "myTable");
        assert_eq!(fold("straße"), "straße");
    }

    #[test]
    fn quotes_what_postgres_reads_back() {
        assert_eq!(identifier("a \"b\""), "\"a \"\"b\"\"\"");
        assert_eq!(literal("it's a \\"), "'it''s a \\'");
    }
}
