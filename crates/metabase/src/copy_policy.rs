//! What of a Metabase app DB a copy leaves out or changes, decided from the live catalogue: a list of tables that stay
//! behind ([`left_out`]), not of tables that go along, so that a table of a later version, or of somebody's own, is not
//! lost silently. Obeying the policy is the copy engine's work; generated columns are its business too.

pub mod left_out;
mod references;

use crate::encryption::sentinel::SENTINEL_SETTING;
use crate::error::{PolicyError, PolicyErrors};
use crate::settings::READ_ONLY_MODE;
use left_out::{Reason, is_known, reason};
use metaferry_domain::copy_policy::{
    CellRewrite, CopyPolicy, NewValue, Origin, RewriteWhen, RowFilter, TablePolicy,
};
pub use metaferry_domain::ports::Plaintext;
use metaferry_domain::schema::{Catalogue, Nullability, Table};
use std::collections::{BTreeMap, BTreeSet};

/// What decides beside the catalogue. Table names in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOptions {
    /// The schema's major version, from [`schema_major`](crate::version::schema_major); `None` when it cannot be
    /// told: then the newest rules apply.
    pub schema_major: Option<u32>,
    /// Are encrypted values decrypted? Then what only makes sense with the key stays behind.
    pub plaintext: Plaintext,
    /// What happens to Liquibase's rows.
    pub changelog: Changelog,
    /// What happens to logs of queries, tasks and calls.
    pub logs: Logs,
    /// Tables to carry although Metabase's own dump leaves them out.
    pub include: Vec<String>,
    /// Tables to leave out.
    pub exclude: Vec<String>,
}

impl PolicyOptions {
    /// The usual choice for a dump: changelog carried, logs left out, nothing included or excluded.
    #[must_use]
    pub fn for_dump(schema_major: Option<u32>, plaintext: Plaintext) -> Self {
        Self {
            schema_major,
            plaintext,
            changelog: Changelog::Carry,
            logs: Logs::LeaveOut,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

/// Liquibase's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changelog {
    /// Into a schema that we build: without them Metabase would build it once more, and fail.
    Carry,
    /// Into a schema that Metabase has built: its own rows stay.
    LeaveOut,
}

/// Logs of queries, tasks and calls; large, and not part of Metabase's own dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// They go along.
    Carry,
    /// They stay behind.
    LeaveOut,
}

/// A policy, and what a person should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// For every table of the catalogue.
    pub policy: CopyPolicy,
    /// Tables that are not Metabase's and go along, by lower-case name.
    pub unknown_tables: Vec<String>,
    /// What is not obvious: references that are cleared, tables that follow one that is left out.
    pub notes: Vec<String>,
}

/// Decides for every table of `catalogue`.
///
/// # Errors
///
/// [`PolicyErrors`]: names that are not in the catalogue, tables that may not be included, and tables of Metabase's
/// whose rows would refer to rows that stay behind. All of them at once.
pub fn decide(catalogue: &Catalogue, options: &PolicyOptions) -> Result<Decision, PolicyErrors> {
    let mut errors = Vec::new();
    let include = named(catalogue, &options.include, &mut errors);
    let exclude = named(catalogue, &options.exclude, &mut errors);
    errors.extend(
        include
            .intersection(&exclude)
            .map(|table| PolicyError::IncludedAndExcluded { table: table.clone() }),
    );
    let mut left_out: BTreeMap<String, String> = BTreeMap::new();
    for table in &catalogue.tables {
        let key = table.name.key();
        match reason(&key, options) {
            Some(Reason::Never(why)) if include.contains(&key) => {
                errors.push(PolicyError::IncludeRefused { table: key, why });
            }
            Some(Reason::Overridable(_)) if include.contains(&key) => {}
            Some(Reason::Never(why) | Reason::Overridable(why)) => {
                left_out.insert(key, why.to_owned());
            }
            None if exclude.contains(&key) => {
                left_out.insert(key, "excluded by request".to_owned());
            }
            None => {}
        }
    }
    let references = references::resolve(catalogue, &mut left_out);
    errors.extend(references.errors);
    if !errors.is_empty() {
        return Err(PolicyErrors(errors));
    }
    let mut decision = Decision {
        policy: CopyPolicy::default(),
        unknown_tables: Vec::new(),
        notes: references.notes,
    };
    for table in &catalogue.tables {
        let key = table.name.key();
        let policy = if let Some(why) = left_out.get(&key) {
            // Somebody's own, which may be what the target cannot have.
            if exclude.contains(&key) && !is_known(&key) {
                decision.policy.absent.insert(key.clone());
            }
            TablePolicy::LeaveOut { why: why.clone() }
        } else {
            let origin = if is_known(&key) {
                Origin::Known
            } else {
                Origin::Unknown
            };
            if origin == Origin::Unknown {
                decision.unknown_tables.push(key.clone());
            }
            let mut rewrites = rewrites(table, options, &left_out);
            for column in references.cleared.get(&key).into_iter().flatten() {
                let cleared = always(column, NewValue::Null);
                if !rewrites.contains(&cleared) {
                    rewrites.push(cleared);
                }
            }
            TablePolicy::Carry {
                drop_rows: drop_rows(table, options),
                rewrites,
                origin,
            }
        };
        decision.policy.tables.insert(key, policy);
    }
    Ok(decision)
}

fn named(catalogue: &Catalogue, names: &[String], errors: &mut Vec<PolicyError>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in names {
        match catalogue.table(name) {
            Some(table) => {
                found.insert(table.name.key());
            }
            None => errors.push(PolicyError::NoSuchTable { name: name.clone() }),
        }
    }
    found
}

fn drop_rows(table: &Table, options: &PolicyOptions) -> Vec<RowFilter> {
    let setting = |key: &str| RowFilter::TextEquals {
        column: "key".to_owned(),
        value: key.to_owned(),
    };
    match table.name.key().as_str() {
        // A copy must not begin its life read-only.
        "setting" => match options.plaintext {
            Plaintext::Keep => vec![setting(READ_ONLY_MODE)],
            // A sentinel that was decrypted would be read as one under a wrong key.
            Plaintext::Decrypt => vec![setting(READ_ONLY_MODE), setting(SENTINEL_SETTING)],
        },
        // Some builds seeded rows for groups that do not exist.
        "metabot_permissions" => vec![RowFilter::Dangling {
            column: "group_id".to_owned(),
            parent_table: "permissions_group".to_owned(),
            parent_column: "id".to_owned(),
        }],
        _ => Vec::new(),
    }
}

fn rewrites(table: &Table, options: &PolicyOptions, left_out: &BTreeMap<String, String>) -> Vec<CellRewrite> {
    let empty_details = |when| CellRewrite {
        column: "details".to_owned(),
        when,
        to: NewValue::Text("{}".to_owned()),
    };
    let mut rewrites = match table.name.key().as_str() {
        "metabase_database" => vec![
            // Connection details of an H2 file can name code to run at the target.
            empty_details(RewriteWhen::TextEquals {
                column: "engine".to_owned(),
                value: "h2".to_owned(),
            }),
            // The attached warehouse is the cloud's own, of the instance that is left.
            empty_details(RewriteWhen::IsTrue {
                column: "is_attached_dwh".to_owned(),
            }),
        ],
        "setting" if options.plaintext == Plaintext::Decrypt => vec![
            // Each row has an AAD of its own; Metabase fills the column at start where it is NULL.
            always("value_with_aad", NewValue::Null),
        ],
        // Checksums depend on the kind of database; Liquibase fills empty ones instead of comparing them.
        "databasechangelog" => vec![always("md5sum", NewValue::Null)],
        // A lock that is carried would never be released.
        "databasechangeloglock" => vec![
            always("locked", NewValue::Boolean(false)),
            always("lockgranted", NewValue::Null),
            always("lockedby", NewValue::Null),
        ],
        // Also where the database does not know of the reference.
        "login_history" if left_out.contains_key("core_session") => {
            vec![always("session_id", NewValue::Null)]
        }
        _ => Vec::new(),
    };
    rewrites.retain(|rewrite| {
        let condition = match &rewrite.when {
            RewriteWhen::Always => None,
            RewriteWhen::TextEquals { column, .. } | RewriteWhen::IsTrue { column } => Some(column),
        };
        is_possible(table, rewrite) && condition.is_none_or(|column| table.column(column).is_some())
    });
    rewrites
}

/// Older versions lack some columns, and NULL needs a column that takes it.
fn is_possible(table: &Table, rewrite: &CellRewrite) -> bool {
    table
        .column(&rewrite.column)
        .is_some_and(|column| rewrite.to != NewValue::Null || column.nullability == Nullability::Nullable)
}

fn always(column: &str, to: NewValue) -> CellRewrite {
    CellRewrite {
        column: column.to_owned(),
        when: RewriteWhen::Always,
        to,
    }
}

#[cfg(test)]
mod tests;
