//! Names and literals as MySQL spells them in our sessions, whose mode reads no backslash as an escape.

/// An identifier, always quoted.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A character string literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name in the case that Metabase's own have: names without a lower-case letter, as H2 gives them, become lower case.
/// A name with both was quoted on purpose and stays.
pub(crate) fn fold(name: &str) -> String {
    super::postgres_text::fold(name)
}

/// A default as the server's catalogue tells it, as a definition wants it: everything but literals and the present moment
/// in parentheses, which MariaDB leaves out and MySQL insists on.
pub(crate) fn default(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    let number = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_quoted = ["'", "b'", "x'"].iter().any(|begin| {
        let rest = lower.strip_prefix(begin);
        rest.is_some_and(|rest| {
            rest.replace("''", "").find('\'') == rest.replace("''", "").len().checked_sub(1)
        })
    });
    let is_moment = lower.strip_prefix("current_timestamp").is_some_and(|digits| {
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"()".contains(&byte))
    });
    if is_number || is_quoted || is_moment || lower == "null" {
        text.to_owned()
    } else {
        format!("({text})")
    }
}

/// The text of a view's query without the name of the database that it was made in. `called` says how FROM
/// names a table or view, quoted; columns go on by the name that the query knows.
///
/// The server's catalogue writes every name in backticks, and a table with its database.
pub(crate) fn unqualified(query: &str, database: &str, called: &dyn Fn(&str) -> String) -> String {
    let qualifier = format!("{}.", identifier(database));
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '\'' | '"' => {
                let literal = quoted_at(rest, letter);
                out.push_str(literal);
                rest = &rest[literal.len()..];
            }
            '`' => {
                let own = rest
                    .strip_prefix(qualifier.as_str())
                    .filter(|own| own.starts_with('`'));
                let Some(own) = own else {
                    let name = quoted_at(rest, '`');
                    out.push_str(name);
                    rest = &rest[name.len()..];
                    continue;
                };
                let name = quoted_at(own, '`');
                rest = &own[name.len()..];
                let bare = name[1..name.len() - 1].replace("``", "`");
                let elsewhere = called(&bare);
                if rest.starts_with('.') || elsewhere == name {
                    out.push_str(name);
                    continue;
                }
                out.push_str(&elsewhere);
                // Without an alias the columns are named by the table.
                if !rest.trim_start().starts_with('`') {
                    out.push(' ');
                    out.push_str(name);
                }
            }
            other => {
                out.push(other);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    out
}

/// The quoted piece that a text begins with; a doubled quote does not end it.
fn quoted_at(text: &str, quote: char) -> &str {
    let mut end = quote.len_utf8();
    while let Some(next) = text[end..].find(quote) {
        end += next + quote.len_utf8();
        if !text[end..].starts_with(quote) {
            return &text[..end];
        }
        end += quote.len_utf8();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_mysql_reads_back() {
        assert_eq!(identifier("a `b`"), "`a ``b```");
        assert_eq!(literal("it's a \\"), "'it''s a \\'");
        assert_eq!(fold("CORE_USER"), "core_user");
        assert_eq!(fold("myTable"), "myTable");
    }

    #[test]
    fn only_expressions_need_parentheses() {
        for bare in [
            "1",
            "-1.5",
            "'it''s'",
            "''",
            "b'0'",
            "current_timestamp(6)",
            "CURRENT_TIMESTAMP",
            "NULL",
        ] {
            assert_eq!(default(bare), bare);
        }
        for expression in [
            "uuid()",
            "concat('a','b')",
            "'a' || 'b'",
            "1 + 1",
            "_utf8mb4'x'",
            "current_timestamp() + 1",
        ] {
            assert_eq!(default(expression), format!("({expression})"));
        }
    }

    #[test]
    fn a_query_forgets_its_database_outside_of_literals_only() {
        let query = "select `db`.`t`.`id` AS `id`,'`db`.`t` it''s' AS `x` from (`db`.`t` join `db`.`u` `a` on(`db`.`t`.`id` = `a`.`db`)) \
                     where `other`.`t` = 1";
        assert_eq!(
            unqualified(query, "db", &identifier),
            "select `t`.`id` AS `id`,'`db`.`t` it''s' AS `x` from (`t` join `u` `a` on(`t`.`id` = `a`.`db`)) where `other`.`t` = 1"
        );
        assert_eq!(
            unqualified("select `db`.`t`.`id` from `db`.`t` where 1", "db", &|name| {
                identifier(&format!("{name}_1"))
            }),
            "select `t`.`id` from `t_1` `t` where 1"
        );
        assert_eq!(
            unqualified("select `a`.`id` from `db`.`t` `a`", "db", &|name| identifier(
                &format!("{name}_1")
            )),
            "select `a`.`id` from `t_1` `a`"
        );
    }
}
