//! The only place that reads `sqlx::Error`: from a driver's failure to the kind that decides what happens next.

use metaferry_domain::{ErrorKind, PortError};

/// A driver's failure while doing `what`, an infinitive that reads after "failed to …".
pub(crate) fn failed(what: impl Into<String>, error: sqlx::Error) -> PortError {
    let failure = PortError::new(kind(&error), what);
    // The driver's own words repeat the cause beneath them; the cause alone says it once.
    match error {
        sqlx::Error::Database(database) if database.code().as_deref() == Some(TERMINATED) => {
            failure.because(database.message().to_owned()).advising(ENDED_ADVICE)
        }
        sqlx::Error::Database(database) => failure.because(database.message().to_owned()),
        // What the server said before it hung up is lost in the driver.
        sqlx::Error::Io(cause) if is_hang_up(cause.kind()) => failure
            .because("the server ended the session: somebody terminated it, or the server was stopped or restarted")
            .advising(ENDED_ADVICE),
        sqlx::Error::Io(cause) => failure.because(cause),
        other => failure.because(other),
    }
}

/// The server's own words for a session that an administrator ends.
const TERMINATED: &str = "57P01";
const ENDED_ADVICE: &str = "look into the server's log for who ended the session and why, then retry";

fn is_hang_up(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Of these Postgres quotes the whole row, a password's hash with it: `not_null_violation`, `check_violation`.
const QUOTE_THE_ROW: [&str; 2] = ["23502", "23514"];

/// The same for a statement over rows, with what Postgres says of the row: its key or its line.
pub(crate) fn failed_at_rows(what: impl Into<String>, error: sqlx::Error) -> PortError {
    let what = what.into();
    let detail = match error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
    {
        Some(error) => match error
            .detail()
            .filter(|_| !QUOTE_THE_ROW.contains(&error.code()))
            // Elsewhere it may quote the statement's parameters.
            .or_else(|| error.r#where().filter(|place| place.starts_with("COPY ")))
        {
            Some(detail) => format!("{what} ({})", detail.trim_end_matches('.')),
            None => what,
        },
        None => what,
    };
    failed(detail, error)
}

/// The same for a statement over rows whose values are credentials, without the server's own words: MySQL and MariaDB
/// quote values in theirs.
pub(crate) fn failed_at_secrets(what: impl Into<String>, error: sqlx::Error) -> PortError {
    match mysql_number(&error) {
        Some(number) => PortError::new(kind(&error), what).because(format!(
            "the server's error {number}; what it says of the values is not shown"
        )),
        None => failed(what, error),
    }
}

/// What kind of failure it was.
pub(crate) fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(database) => match mysql_number(error) {
            Some(number) => kind_of_mysql(number),
            None => database
                .code()
                .map_or(ErrorKind::Unsupported, |code| kind_of_code(&code)),
        },
        sqlx::Error::RowNotFound => ErrorKind::NotFound,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => ErrorKind::Corrupt,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => ErrorKind::Unavailable,
        // The driver's enum may grow; what is left are mistakes in a statement or an option, which no retry mends.
        _ => ErrorKind::Unsupported,
    }
}

/// The SQLSTATE of a server's answer, if it was one.
pub(crate) fn sql_state(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|database| database.code())
        .map(std::borrow::Cow::into_owned)
}

/// The number of a MySQL or MariaDB server's answer, if it was one: it says more than their SQLSTATE.
pub(crate) fn mysql_number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()?
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number)
}

/// Why another try may go through where nothing else has changed.
pub(crate) enum Busy {
    /// Others keep in use what it needs, and are found so.
    InUse {
        /// Reads after "find them".
        find: &'static str,
    },
    Deadlock,
}

/// Was it refused because of others, for now?
pub(crate) fn busy(error: &sqlx::Error) -> Option<Busy> {
    match (mysql_number(error), sql_state(error).as_deref()) {
        (Some(1205 | 3572), _) => Some(Busy::InUse {
            find: "by SHOW FULL PROCESSLIST",
        }),
        (Some(1213), _) | (None, Some("40P01")) => Some(Busy::Deadlock),
        (None, Some("55P03")) => Some(Busy::InUse {
            find: "in pg_stat_activity",
        }),
        (Some(_) | None, _) => None,
    }
}

/// A failure of `what` on tables of our own, for which the user needs the rights that `needs` names; they are not what is
/// wrong where others use one of the tables.
pub(crate) fn failed_on_own_tables(what: &str, needs: &str, error: sqlx::Error) -> PortError {
    match busy(&error) {
        Some(Busy::InUse { find }) => PortError::new(
            ErrorKind::Unavailable,
            format!("{what}: other sessions keep one of them in use; find them {find} and end them, or wait for them"),
        )
        .because(error),
        Some(Busy::Deadlock) | None => failed(format!("{what}: {needs}"), error),
    }
}

/// MariaDB documentation, "MariaDB Error Code Reference"; MySQL's numbers are the same below 1900.
fn kind_of_mysql(number: u16) -> ErrorKind {
    match number {
        // Access denied: to a database, a user, a table, a column, an operation.
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419 | 1698 | 1836 => ErrorKind::Denied,
        // --read-only, where the server says so by its option.
        1290 => ErrorKind::Denied,
        // No such database, table, column, variable.
        1049 | 1051 | 1054 | 1109 | 1146 | 1193 => ErrorKind::NotFound,
        // Exists already; duplicate key; a foreign key says no.
        1007 | 1050 | 1022 | 1061 | 1062 | 1169 | 1216 | 1217 | 1451 | 1452 | 1557 | 1761 | 1762 | 4025 => {
            ErrorKind::Conflict
        }
        // Too many connections, shutting down, lock wait, deadlock, killed, changed meanwhile, timed out, read-only for now.
        1040 | 1053 | 1129 | 1203 | 1205 | 1213 | 1226 | 1317 | 1412 | 1637 | 1792 | 1927 | 1969 | 3024
        | 4031 => ErrorKind::Unavailable,
        // Disk full, table full, out of memory, a packet too large.
        1021 | 1037 | 1038 | 1041 | 1114 | 1153 => ErrorKind::Exhausted,
        // Broken files; values that do not fit their column.
        1034 | 1194 | 1195 | 1264 | 1265 | 1292 | 1366 | 1406 => ErrorKind::Corrupt,
        _ => ErrorKind::Unsupported,
    }
}

fn kind_of_code(code: &str) -> ErrorKind {
    // SQLSTATEs have five characters; SQLite's extended result codes are numbers of at most four digits.
    if code.len() == 5 {
        kind_of_sql_state(code)
    } else {
        kind_of_sqlite(code)
    }
}

/// Classes and codes: Postgres documentation, appendix A.
fn kind_of_sql_state(code: &str) -> ErrorKind {
    match code {
        "42501" | "25006" => ErrorKind::Denied,
        "42P01" | "42703" | "42704" | "42883" | "3D000" | "3F000" => ErrorKind::NotFound,
        "42P04" | "42P06" | "42P07" | "42701" | "42710" => ErrorKind::Conflict,
        "53300" | "53400" => ErrorKind::Unavailable,
        // What a server calls a code need not be one.
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "40" | "55" | "57" | "58" => ErrorKind::Unavailable,
            "22" | "XX" => ErrorKind::Corrupt,
            "23" => ErrorKind::Conflict,
            "28" => ErrorKind::Denied,
            "53" | "54" => ErrorKind::Exhausted,
            _ => ErrorKind::Unsupported,
        },
    }
}

/// The low byte is the primary code: sqlite.org/rescode.html.
fn kind_of_sqlite(code: &str) -> ErrorKind {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(3 | 8 | 23) => ErrorKind::Denied,
        Ok(5 | 6 | 9 | 10 | 15) => ErrorKind::Unavailable,
        Ok(7 | 13) => ErrorKind::Exhausted,
        Ok(11 | 26) => ErrorKind::Corrupt,
        Ok(14) => ErrorKind::NotFound,
        Ok(19) => ErrorKind::Conflict,
        Ok(_) | Err(_) => ErrorKind::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    use super::{failed, kind_of_code};
    use metaferry_domain::ErrorKind;

    #[test]
    fn a_session_that_the_server_ended_is_told_as_that_and_not_as_missing_bytes() {
        let cause = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "expected to read 5 bytes, got 0 bytes",
        );
        let error = failed("read table t", sqlx::Error::Io(cause));
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(
            error
                .chain()
                .starts_with("read table t: the server ended the session"),
            "{error:?}"
        );
        assert!(
            error
                .remedy()
                .is_some_and(|remedy| remedy.contains("server's log"))
        );
    }

    #[test]
    fn a_code_decides_what_is_done() {
        for (code, kind) in [
            ("28P01", ErrorKind::Denied),
            ("42501", ErrorKind::Denied),
            ("3D000", ErrorKind::NotFound),
            ("57P01", ErrorKind::Unavailable),
            ("53300", ErrorKind::Unavailable),
            ("53100", ErrorKind::Exhausted),
            ("22021", ErrorKind::Corrupt),
            ("23505", ErrorKind::Conflict),
            ("42601", ErrorKind::Unsupported),
            ("2067", ErrorKind::Conflict),
            ("5", ErrorKind::Unavailable),
            ("13", ErrorKind::Exhausted),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }
}
