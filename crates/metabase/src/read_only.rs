//! Metabase's read-only mode as it is meant: which writes stay allowed while it is on. What the released
//! versions really refuse is less (their exemption test has a defect), so consistency never rests on it.
//! Setting the flag is the settings module's work, enforcing it an adapter's.

use crate::copy_policy::{Plaintext, PolicyOptions, left_out};

/// The setting's two positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadOnlyMode {
    /// People can look but not edit.
    On,
    /// Everything can be edited.
    Off,
}

/// What read-only mode leaves writable in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// Every write is meant to be refused.
    None,
    /// Writes are allowed as long as they change nothing but these columns (lower case).
    Columns(&'static [&'static str]),
    /// Every write is allowed.
    WholeTable,
}

/// A write that read-only mode allows or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The write goes through.
    Allowed,
    /// Metabase answers 403.
    Refused,
}

/// Tables that stay writable as a whole: those that signing in, looking around and the migration itself need.
pub const EXEMPT_TABLES: [&str; 8] = [
    "audit_log",
    "cloud_migration",
    "core_session",
    "core_user",
    "login_history",
    "setting",
    "user_parameter_value",
    "view_log",
];

/// Columns of `report_card` that looking at a question changes.
pub const EXEMPT_CARD_COLUMNS: [&str; 3] = ["id", "last_used_at", "updated_at"];

/// The exemption of a table, given in any case. It only matters for tables that are copied: all others were
/// never guarded.
#[must_use]
pub fn exemption(table: &str) -> Exemption {
    let table = table.to_lowercase();
    if EXEMPT_TABLES.contains(&table.as_str()) {
        Exemption::WholeTable
    } else if table == "report_card" {
        Exemption::Columns(&EXEMPT_CARD_COLUMNS)
    } else {
        Exemption::None
    }
}

/// Liquibase's own: a node that starts meanwhile writes them, and would not start without.
const SCHEMA_HISTORY: [&str; 2] = ["databasechangelog", "databasechangeloglock"];

/// Is a table, given in any case, to be kept still while a snapshot is read? Those of Metabase's are that go along in a
/// dump, but for the ones that stay writable as a whole, and for the schema's history.
#[must_use]
pub fn is_guarded(table: &str) -> bool {
    let key = table.to_lowercase();
    let travels = left_out::reason(&key, &PolicyOptions::for_dump(None, Plaintext::Keep)).is_none();
    left_out::is_known(&key)
        && travels
        && exemption(&key) != Exemption::WholeTable
        && !SCHEMA_HISTORY.contains(&key.as_str())
}

/// Judges an update of `changed` columns of a copied table. For inserts and deletes give all columns.
pub fn judge<'a>(table: &str, changed: impl IntoIterator<Item = &'a str>) -> Verdict {
    let allowed = match exemption(table) {
        Exemption::WholeTable => true,
        Exemption::None => false,
        Exemption::Columns(exempt) => changed
            .into_iter()
            .all(|column| exempt.iter().any(|name| name.eq_ignore_ascii_case(column))),
    };
    if allowed {
        Verdict::Allowed
    } else {
        Verdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, is_guarded, judge};

    #[test]
    fn what_is_copied_and_not_exempt_is_guarded() {
        for table in ["report_card", "REPORT_DASHBOARD", "metabase_field", "collection"] {
            assert!(is_guarded(table), "{table}");
        }
        for table in [
            "core_user",
            "setting",
            "view_log",
            "cloud_migration",
            "query_execution",
            "qrtz_triggers",
            "databasechangeloglock",
            "somebodys_own",
        ] {
            assert!(!is_guarded(table), "{table}");
        }
    }

    #[test]
    fn only_what_looking_around_needs_stays_writable() {
        let facts: [(&str, &[&str], Verdict); 7] = [
            ("CORE_SESSION", &["id"], Verdict::Allowed),
            ("setting", &["value"], Verdict::Allowed),
            ("view_log", &["model"], Verdict::Allowed),
            ("report_card", &["last_used_at"], Verdict::Allowed),
            ("report_card", &["UPDATED_AT", "name"], Verdict::Refused),
            ("report_dashboard", &["updated_at"], Verdict::Refused),
            ("metabase_field", &["id"], Verdict::Refused),
        ];
        for (table, columns, expected) in facts {
            assert_eq!(
                judge(table, columns.iter().copied()),
                expected,
                "{table} {columns:?}"
            );
        }
    }
}
