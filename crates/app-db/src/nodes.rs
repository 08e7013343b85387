//! What an app DB shows of Metabase's nodes, and whether they can be told of a changed setting through it: those that
//! checked in lately, and the columns that they read. Which of them live is the domain's to say.

use metaferry_domain::quiesce::CheckIn;
use metaferry_domain::schema::Dialect;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::settings::{Bump, DatabaseNow, READ_ONLY_MODE, SettingColumns, bump};

/// A check-in older than this, in milliseconds, is that of a node that is gone, however wrong its clock was.
const CHECK_IN_AGE_MAX_MS: i64 = 600_000;

/// Check-ins that are not that old, by the database's clock.
pub(crate) fn lately(mut check_ins: Vec<CheckIn>, now_ms: i64) -> Vec<CheckIn> {
    check_ins.retain(|seen| seen.last_ms > now_ms.saturating_sub(CHECK_IN_AGE_MAX_MS));
    check_ins
}

/// What Metabase can do where we cannot.
const BY_API: &str = "name Metabase's address and an administrator's key (METAFERRY_METABASE_URL, METAFERRY_METABASE_API_KEY), \
    or use --read-only none";

/// How the nodes are told of a changed setting, where `settings-last-updated` holds `old`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if they cannot be.
pub(crate) fn told_by(old: Option<&str>, now: DatabaseNow, dialect: Dialect) -> Result<Bump, PortError> {
    bump(old, now, dialect).map_err(|refused| {
        let what = format!("the other nodes cannot be told of a changed setting: {refused}; {BY_API}");
        PortError::new(ErrorKind::Unsupported, what)
    })
}

/// Why they cannot be, if so, by what [`told_by`] or [`column_obstacle`] says.
///
/// # Errors
/// If it could not be found out.
pub(crate) fn obstacle<T>(looked: Result<T, PortError>) -> Result<Option<String>, PortError> {
    match looked {
        Ok(_) => Ok(None),
        Err(error) => match error.kind {
            ErrorKind::Unsupported | ErrorKind::Denied => Ok(Some(error.chain())),
            // Where there is no table of settings there is no Metabase, which is told in other words.
            ErrorKind::NotFound => Ok(None),
            ErrorKind::Conflict
            | ErrorKind::Precondition
            | ErrorKind::Unavailable
            | ErrorKind::Corrupt
            | ErrorKind::Exhausted
            | ErrorKind::Cancelled => Err(error),
        },
    }
}

/// Why the setting read-only-mode cannot be written into a table `setting` with these columns, if so.
pub(crate) fn column_obstacle(columns: &[String]) -> Option<PortError> {
    let refused = |what: &str| PortError::new(ErrorKind::Unsupported, what.to_owned());
    match SettingColumns::discover(READ_ONLY_MODE, columns.iter().map(String::as_str)) {
        Ok(SettingColumns::Value) => None,
        Ok(SettingColumns::ValueAndAad) => Some(refused(&format!(
            "the table setting has a column value_with_aad, which only Metabase itself writes rightly: {BY_API}"
        ))),
        Err(unknown) => Some(refused("the setting read-only-mode cannot be written").because(unknown)),
    }
}
