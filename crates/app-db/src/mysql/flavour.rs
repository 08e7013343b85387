//! What MySQL and MariaDB do differently, as far as it matters here. MariaDB is what the tests run; what is said of MySQL
//! is its reference manual's word for 8.0 and 8.4.

use std::time::Duration;

use metaferry_domain::schema::{DataType, Dialect, SqlText};

use super::types::is_number;

/// How long a definition that somebody changes is waited for, where nothing else is said. The servers' own time is a day.
pub(super) const LOCK_WAIT_SECONDS: &str = "10";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    MariaDb,
    MySql,
}

/// A server's version, and whether it has all that is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) flavour: Flavour,
    numbers: (u32, u32),
}

impl Version {
    /// Reads what `VERSION()` answers: `10.11.6-MariaDB-0+deb12u1`, `5.5.5-10.6.1-MariaDB` (as some proxies say it),
    /// `8.0.36`, `8.4.0-commercial`.
    pub(super) fn parse(text: &str) -> Self {
        let flavour = if text.to_ascii_lowercase().contains("mariadb") {
            Flavour::MariaDb
        } else {
            Flavour::MySql
        };
        let text = text.strip_prefix("5.5.5-").unwrap_or(text);
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        Self {
            flavour,
            numbers: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        }
    }

    /// Older ones have no check constraints in their catalogue, or quote their defaults otherwise.
    pub(super) fn is_known(&self) -> bool {
        match self.flavour {
            Flavour::MariaDb => self.numbers >= (10, 4),
            Flavour::MySql => self.numbers >= (8, 0),
        }
    }

    /// The last second that a TIMESTAMP holds, of the Unix epoch: MariaDB's has 32 bits without a sign since 11.5 (its
    /// documentation, "TIMESTAMP").
    pub(super) fn last_timestamp(&self) -> i64 {
        match self.flavour {
            Flavour::MariaDb if self.numbers >= (11, 5) => 4_294_967_295,
            Flavour::MariaDb | Flavour::MySql => 2_147_483_647,
        }
    }

    /// The oldest one that is, in words.
    pub(super) fn oldest_known(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "MariaDB 10.4",
            Flavour::MySql => "MySQL 8.0",
        }
    }
}

impl Flavour {
    /// A default as an SQL expression, of `COLUMN_DEFAULT` and `EXTRA`; `None` for NULL.
    ///
    /// MariaDB (since 10.2.7) gives an expression. MySQL gives the bare value of a literal, and an expression where
    /// `EXTRA` says `DEFAULT_GENERATED`; bits it writes `b'1'` as MariaDB does.
    pub(super) fn default(self, text: Option<String>, extra: &str, data_type: &DataType) -> Option<SqlText> {
        let text = text?;
        let expression = match self {
            Self::MariaDb if text.eq_ignore_ascii_case("null") => return None,
            Self::MariaDb => text,
            Self::MySql if extra.to_ascii_uppercase().contains("DEFAULT_GENERATED") => text,
            Self::MySql if is_number(data_type) || text.starts_with("b'") => text,
            // Before 8.0.13 the only expression was not marked as one.
            Self::MySql if text.to_ascii_uppercase().starts_with("CURRENT_TIMESTAMP") => text,
            Self::MySql => {
                return Some(SqlText {
                    dialect: Dialect::MySql,
                    text: format!("'{}'", text.replace('\'', "''")),
                });
            }
        };
        Some(SqlText {
            dialect: Dialect::MySql,
            text: plain_literals(&expression),
        })
    }

    /// An expression of the catalogue: MySQL escapes its quotes and names a character set before each literal.
    pub(super) fn expression(self, text: String) -> SqlText {
        let text = match self {
            Self::MariaDb => text,
            Self::MySql => text
                .replace("_utf8mb4\\'", "'")
                .replace("_utf8mb3\\'", "'")
                .replace("\\'", "'"),
        };
        SqlText {
            dialect: Dialect::MySql,
            text: plain_literals(&text),
        }
    }

    /// The checks of a schema: table, name, condition. MariaDB names the table in the same view.
    pub(super) fn checks_query(self) -> &'static str {
        match self {
            Self::MariaDb => {
                "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints
                 WHERE constraint_schema = ? ORDER BY table_name, constraint_name"
            }
            Self::MySql => {
                "SELECT t.table_name, c.constraint_name, c.check_clause
                 FROM information_schema.check_constraints c
                 JOIN information_schema.table_constraints t
                     ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
                    AND t.constraint_type = 'CHECK'
                 WHERE c.constraint_schema = ? AND t.enforced = 'YES' ORDER BY t.table_name, c.constraint_name"
            }
        }
    }

    /// How an index part that is an expression is selected: MariaDB has none.
    pub(super) fn index_expression(self) -> &'static str {
        match self {
            Self::MariaDb => "NULL",
            Self::MySql => "expression",
        }
    }

    /// What a session for single rows sets beside: it sees what others commit, as Metabase's own do, and waits ten
    /// seconds at most for rows, and for one where somebody has a whole table: who does not wait for the answer leaves no session behind that does. On MariaDB the server also ends the transaction of a client that says nothing for so long;
    /// MySQL has no such time.
    pub(super) fn settings_for_rows(self) -> &'static str {
        match self {
            Self::MariaDb => {
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                 SET SESSION innodb_lock_wait_timeout = 10, lock_wait_timeout = 1, idle_transaction_timeout = 10"
            }
            Self::MySql => {
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                 SET SESSION innodb_lock_wait_timeout = 10, lock_wait_timeout = 1"
            }
        }
    }

    /// The least `lock_wait_timeout`: by none at all MariaDB gives up at once, and nobody ever queues behind us.
    pub(super) fn least_lock_wait_seconds(self) -> u32 {
        match self {
            Self::MariaDb => 0,
            Self::MySql => 1,
        }
    }

    /// Ends every statement of a session that takes longer: on MySQL those that only read.
    pub(super) fn statement_time(self, longest: Duration) -> String {
        match self {
            Self::MariaDb => format!("SET SESSION max_statement_time = {}", longest.as_secs()),
            Self::MySql => format!("SET SESSION max_execution_time = {}", longest.as_millis()),
        }
    }

    /// Statements as one message that the server runs to its end, whatever becomes of its client meanwhile. MariaDB says
    /// nothing to the client inside of a block. MySQL has no blocks outside of procedures: there it may stop where it
    /// finds the client gone.
    pub(super) fn to_the_end(self, statements: &[String]) -> String {
        let statements = statements.join("; ");
        match self {
            Self::MariaDb => format!("BEGIN NOT ATOMIC {statements}; END"),
            Self::MySql => statements,
        }
    }

    /// Settings of a session by name, so that nothing ends a transaction behind our back. Those that a server does not
    /// have are left out; times are in seconds but for `max_execution_time`.
    pub(super) fn settings() -> &'static [(&'static str, &'static str)] {
        &[
            // A slow reader of a large table stops reading for as long as its target needs.
            ("net_write_timeout", "3600"),
            ("net_read_timeout", "3600"),
            ("wait_timeout", "86400"),
            ("idle_transaction_timeout", "0"),
            ("idle_readonly_transaction_timeout", "0"),
            ("idle_write_transaction_timeout", "0"),
            ("lock_wait_timeout", LOCK_WAIT_SECONDS),
            ("max_statement_time", "0"),
            ("max_execution_time", "0"),
            ("sql_select_limit", "18446744073709551615"),
            ("max_join_size", "18446744073709551615"),
            ("sql_safe_updates", "0"),
            // MySQL caches sizes for a day.
            ("information_schema_stats_expiry", "0"),
        ]
    }
}

/// The text with string literals in which a backslash is a letter. The servers' catalogues escape by backslashes
/// whatever the session's mode is (tried on MariaDB 10.11); our sessions read none.
fn plain_literals(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some('\''), '\\') => match letters.next() {
                Some('\'') => plain.push_str("''"),
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('t') => plain.push('\t'),
                Some('0') => plain.push('\0'),
                Some('Z') => plain.push('\u{1a}'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (None, '\'' | '`' | '"') => {
                quote = Some(letter);
                plain.push(letter);
            }
            (Some(open), _) if open == letter => {
                // Of a doubled quote the second opens it again, which comes to the same.
                quote = None;
                plain.push(letter);
            }
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use metaferry_domain::schema::DataType;

    use super::{Flavour, Version, plain_literals};

    #[test]
    fn backslashes_of_literals_are_letters_only() {
        for (escaped, plain) in [
            (r"'it''s \\ it'", r"'it''s \ it'"),
            (r"concat('\'', `a\b`, 'x\\\\')", r"concat('''', `a\b`, 'x\\')"),
            (r"'' = 'a\nb'", "'' = 'a\nb'"),
        ] {
            assert_eq!(plain_literals(escaped), plain, "{escaped}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        for (text, flavour, known) in [
            ("10.11.6-MariaDB-0+deb12u1", Flavour::MariaDb, true),
            ("5.5.5-10.6.1-MariaDB", Flavour::MariaDb, true),
            ("10.3.39-MariaDB", Flavour::MariaDb, false),
            ("8.0.36", Flavour::MySql, true),
            ("8.4.0-commercial", Flavour::MySql, true),
            ("5.7.44-log", Flavour::MySql, false),
        ] {
            let version = Version::parse(text);
            assert_eq!((version.flavour, version.is_known()), (flavour, known), "{text}");
        }
    }

    #[test]
    fn defaults_of_both_are_the_same_expressions() {
        let maria = |text: &str| {
            let default = Flavour::MariaDb.default(Some(text.to_owned()), "", &DataType::Text);
            default.map(|default| default.text)
        };
        let mysql = |text: &str, extra: &str, data_type| {
            let default = Flavour::MySql.default(Some(text.to_owned()), extra, &data_type);
            default.map(|default| default.text)
        };
        assert_eq!(maria("NULL"), None);
        assert_eq!(maria("'it''s'"), mysql("it's", "", DataType::Text));
        assert_eq!(maria("20"), mysql("20", "", DataType::Integer));
        assert_eq!(maria("b'1'"), mysql("b'1'", "", DataType::Text));
        assert_eq!(
            mysql("CURRENT_TIMESTAMP(6)", "DEFAULT_GENERATED", DataType::TimestampTz).as_deref(),
            Some("CURRENT_TIMESTAMP(6)")
        );
        assert_eq!(Flavour::MySql.default(None, "", &DataType::Text), None);
    }
}
