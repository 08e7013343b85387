//! How the source's tables fit those that are there: columns by name in any case and order, what has no place, and
//! which of the target's keys must be looked at before rows are written.

use std::collections::BTreeSet;

use metaferry_domain::copy_policy::{CopyPolicy, TablePolicy};
use metaferry_domain::ports::{CaseRule, KeptTable, Survey, UniqueRule, Unplaced};
use metaferry_domain::schema::{
    Catalogue, Column, DataType, Index, IndexPart, Name, Table, Uniqueness, ValueSource,
};
use metaferry_domain::{ErrorKind, PortError};

use super::UnknownColumns;
use crate::row_names::is_secret;

/// How the target compares texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// As their type says.
    AsDeclared,
    /// Each by a collation that the target must be asked for.
    Collated,
}

/// Why a target's own rows stay.
const KEPT_CHANGELOG: &str = "the target has its own schema history";
const KEPT_SCHEDULER: &str = "rows of the target's own scheduler";

/// What a person must know, or allow, before rows are written.
pub(crate) fn survey(
    source: &Catalogue,
    policy: &CopyPolicy,
    target: &Catalogue,
    unknown: UnknownColumns,
    texts: Texts,
) -> Result<Survey, PortError> {
    let mut survey = Survey::default();
    for table in &target.tables {
        let key = table.name.key();
        let why = match key.as_str() {
            "databasechangelog" | "databasechangeloglock" => KEPT_CHANGELOG,
            key if key.starts_with("qrtz_") => KEPT_SCHEDULER,
            _ => continue,
        };
        survey.kept.push(KeptTable {
            name: key,
            why: why.to_owned(),
        });
    }
    let is_kept = |key: &str| survey.kept.iter().any(|kept| kept.name == key);
    let mut unplaced = Vec::new();
    let mut unique = Vec::new();
    for table in &source.tables {
        let key = table.name.key();
        let carried = match policy.table(&key) {
            TablePolicy::Carry { .. } => !is_kept(&key),
            TablePolicy::LeaveOut { .. } => false,
        };
        if !carried {
            continue;
        }
        let Some(place) = target.table(&key) else {
            unplaced.push(Unplaced {
                table: key,
                columns: Vec::new(),
            });
            continue;
        };
        let columns: Vec<String> = table
            .columns
            .iter()
            .filter(|column| !column.is_generated())
            .map(|column| column.name.key())
            .filter(|column| place.column(column).is_none())
            .collect();
        refuse_unfilled(table, place)?;
        unique.extend(rules(table, place, &columns, texts));
        if !columns.is_empty() {
            unplaced.push(Unplaced { table: key, columns });
        }
    }
    if unknown == UnknownColumns::Refuse && !unplaced.is_empty() {
        let named: Vec<String> = unplaced
            .iter()
            .map(|unplaced| match unplaced.columns.as_slice() {
                [] => format!("table {}", unplaced.table),
                columns => format!("{} ({})", unplaced.table, columns.join(", ")),
            })
            .collect();
        return Err(PortError::new(
            ErrorKind::Unsupported,
            format!(
                "the target has no place for {}; let Metabase of the source's version set the target up, or say \
                 --drop-unknown to leave them behind",
                named.join("; ")
            ),
        ));
    }
    let added: Vec<String> = source
        .tables
        .iter()
        .filter_map(|table| Some((table, target.table(&table.name.key())?)))
        .flat_map(|(table, place)| {
            place
                .columns
                .iter()
                .filter(|column| table.column(&column.name.key()).is_none())
                .map(|column| format!("{}.{}", place.name.key(), column.name.key()))
        })
        .collect();
    if !added.is_empty() {
        survey.notes.push(format!(
            "columns that the source does not have stay at their defaults: {}",
            added.join(", ")
        ));
    }
    survey.unplaced = unplaced;
    survey.unique = unique;
    Ok(survey)
}

/// A column that only the target has must have a value without us.
fn refuse_unfilled(source: &Table, target: &Table) -> Result<(), PortError> {
    let unfilled = target.columns.iter().find(|column| {
        source.column(&column.name.key()).is_none()
            && column.nullability == metaferry_domain::schema::Nullability::NotNull
            && column.value_source == ValueSource::None
    });
    match unfilled {
        None => Ok(()),
        Some(column) => Err(PortError::new(
            ErrorKind::Unsupported,
            format!(
                "table {}: the target's column {} must not be NULL and has no default, and the source has no such \
                 column; let Metabase of the source's version set the target up",
                target.name.key(),
                column.name.key()
            ),
        )),
    }
}

/// The source's own keys where the target compares texts by a collation, which may find equal what the source does not.
pub(crate) fn collated_rules(source: &Catalogue) -> Vec<UniqueRule> {
    let tables = source.tables.iter();
    tables
        .flat_map(|table| rules(table, table, &[], Texts::Collated))
        .filter(|rule| rule.only_where_null.is_empty())
        .collect()
}

/// The target's keys over columns that are written and that the source does not enforce itself.
fn rules(source: &Table, target: &Table, unplaced: &[String], texts: Texts) -> Vec<UniqueRule> {
    // A key that is a credential is not looked at, for it would be shown.
    if is_secret(&source.name.key()) {
        return Vec::new();
    }
    let keys = target.primary_key.iter().chain(&target.uniques).map(|key| {
        (
            &key.name,
            key.columns.iter().collect::<Vec<_>>(),
            Some(Vec::new()),
        )
    });
    let indexes = target
        .indexes
        .iter()
        .filter(|index| index.uniqueness == Uniqueness::Unique)
        .filter_map(|index| Some((&index.name, plain_columns(index)?, null_columns(index))));
    keys.chain(indexes)
        .filter_map(|(name, columns, only_where_null)| {
            let written = |column: &&Name| {
                source
                    .column(&column.key())
                    .is_some_and(|column| !column.is_generated() && !unplaced.contains(&column.name.key()))
            };
            if !columns.iter().all(written) {
                return None;
            }
            let columns: Vec<(String, CaseRule)> = columns
                .iter()
                .filter_map(|name| target.column(&name.key()))
                .map(|column| (column.name.key(), case(column, texts)))
                .collect();
            let only_where_null = only_where_null?;
            (!is_enforced(source, &columns)).then(|| UniqueRule {
                table: source.name.key(),
                name: name.key(),
                columns,
                only_where_null,
            })
        })
        .collect()
}

fn case(column: &Column, texts: Texts) -> CaseRule {
    match (&column.data_type, texts) {
        (
            DataType::Char(_) | DataType::Varchar(_) | DataType::VarcharIgnoreCase(_) | DataType::Text,
            Texts::Collated,
        ) => CaseRule::Collated,
        (DataType::VarcharIgnoreCase(_), Texts::AsDeclared) => CaseRule::Folded,
        (
            DataType::Char(_)
            | DataType::Varchar(_)
            | DataType::Text
            | DataType::Boolean
            | DataType::SmallInt
            | DataType::Integer
            | DataType::BigInt
            | DataType::Real
            | DataType::Double
            | DataType::Decimal(_)
            | DataType::Binary(_)
            | DataType::Blob
            | DataType::Date
            | DataType::Time
            | DataType::TimeTz
            | DataType::Timestamp
            | DataType::TimestampTz
            | DataType::Uuid
            | DataType::Json
            | DataType::Other,
            Texts::AsDeclared | Texts::Collated,
        ) => CaseRule::Exact,
    }
}

fn plain_columns(index: &Index) -> Option<Vec<&Name>> {
    index
        .parts
        .iter()
        .map(|part| match part {
            IndexPart::Column { name, .. } => Some(name),
            IndexPart::Expression(_) => None,
        })
        .collect()
}

/// The columns of a predicate that says nothing but `(a IS NULL) AND (b IS NULL)`; `None` for any other.
fn null_columns(index: &Index) -> Option<Vec<String>> {
    let Some(predicate) = &index.predicate else {
        return Some(Vec::new());
    };
    predicate
        .text
        .split(" AND ")
        .map(|part| {
            let part = part.trim_matches(['(', ')', ' ']);
            let column = part.strip_suffix(" IS NULL")?.trim_matches('"');
            let is_name = column
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '_');
            is_name.then(|| column.to_lowercase())
        })
        .collect()
}

/// Does a key of the source over some of these columns compare at least as coarsely?
fn is_enforced(source: &Table, wanted: &[(String, CaseRule)]) -> bool {
    let folded = |column: &str| {
        source
            .column(column)
            .is_some_and(|column| case(column, Texts::AsDeclared) == CaseRule::Folded)
    };
    let keys = source
        .primary_key
        .iter()
        .chain(&source.uniques)
        .map(|key| key.columns.iter().collect::<Vec<_>>());
    let indexes = source
        .indexes
        .iter()
        .filter(|index| index.uniqueness == Uniqueness::Unique && index.predicate.is_none())
        .filter_map(plain_columns);
    keys.chain(indexes).any(|columns| {
        let keys: BTreeSet<String> = columns.iter().map(|name| name.key()).collect();
        keys.iter().all(|key| {
            wanted.iter().any(|(column, case)| {
                column == key
                    && match case {
                        CaseRule::Exact => true,
                        CaseRule::Folded => folded(column),
                        // What the source has of a key compares by a rule of its own.
                        CaseRule::Collated => false,
                    }
            })
        })
    })
}
