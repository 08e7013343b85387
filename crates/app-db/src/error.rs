//! The only place that reads `sqlx::Error`: from a driver's failure to the kind that decides what happens next.

use metaferry_domain::{ErrorKind, PortError};

/// A driver's failure while doing `what`, an infinitive that reads after "failed to …".
pub(crate) fn failed(what: impl Into<String>, error: sqlx::Error) -> PortError {
    let failure = PortError::new(kind(&error), what);
    // The driver's own words repeat the cause beneath them; the cause alone says it once.
    match error {
        sqlx::Error::Database(database) => failure.because(database.message().to_owned()),
        sqlx::Error::Io(cause) => failure.because(cause),
        other => failure.because(other),
    }
}

/// What kind of failure it was.
pub(crate) fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(database) => database
            .code()
            .map_or(ErrorKind::Unsupported, |code| kind_of_code(&code)),
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
    use super::kind_of_code;
    use metaferry_domain::ErrorKind;

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
