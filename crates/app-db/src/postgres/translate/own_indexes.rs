//! Indexes that Metabase has on Postgres only, because other databases have no indexes over expressions or over some
//! of the rows: lookups by lower case, the qualified ids of its views, and names of tables without a schema.

use metaferry_domain::ports::{CaseRule, UniqueRule};
use metaferry_domain::schema::{Table, Uniqueness};

/// One such index.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnIndex {
    table: &'static str,
    pub(super) name: &'static str,
    /// The columns that must be there.
    columns: &'static [&'static str],
    /// The change that must be in the history: before it Metabase makes the index itself, later.
    pub(super) since: &'static str,
    pub(super) uniqueness: Uniqueness,
    /// What follows the table's name.
    pub(super) over: &'static str,
}

/// A change that Metabase's history has on Postgres, and on no other database or not on `MySQL`. What it does is done
/// here too, so that the history must say so: otherwise Metabase would do it again when it starts.
#[derive(Debug, Clone, Copy)]
pub(in crate::postgres) struct OwnChange {
    pub(in crate::postgres) id: &'static str,
    pub(in crate::postgres) author: &'static str,
    pub(in crate::postgres) description: &'static str,
    /// A change after it that every database has: the source has come this far.
    pub(in crate::postgres) since: &'static str,
}

const FIELD_NAMES: OwnChange = OwnChange {
    id: "v49.2023-01-24T12:00:00",
    author: "piranha",
    description: "createIndex indexName=idx_field_name_lower, tableName=metabase_field",
    since: "v49.2024-01-22T11:50:00",
};

/// Moments that get their default here as the columns are made; `MySQL` has changes of other numbers for them.
const fn default_of(id: &'static str, description: &'static str, since: &'static str) -> OwnChange {
    OwnChange {
        id,
        author: "camsaul",
        description,
        since,
    }
}

/// All of them.
pub(in crate::postgres) const CHANGES: &[OwnChange] = &[
    default_of(
        "v45.00-032",
        "addDefaultValue columnName=created_at, tableName=report_dashboardcard",
        "v45.00-033",
    ),
    default_of(
        "v45.00-034",
        "addDefaultValue columnName=updated_at, tableName=report_dashboardcard",
        "v45.00-035",
    ),
    default_of(
        "v45.00-038",
        "addDefaultValue columnName=created_at, tableName=metabase_database",
        "v45.00-039",
    ),
    default_of(
        "v45.00-040",
        "addDefaultValue columnName=updated_at, tableName=metabase_database",
        "v45.00-041",
    ),
    FIELD_NAMES,
];

/// The file that all of them are in.
pub(in crate::postgres) const CHANGES_FILE: &str = "migrations/001_update_migrations.yaml";

/// The change that indexed foreign keys on Postgres.
pub(super) const FOREIGN_KEYS: &str = "v48.00-013";

/// The script that every fresh database starts from.
const BASELINE: &str = "v00.00-000";

/// The change whose scripts made the indexes of the usage analytics.
const ANALYTICS: &str = "v48.00-046";

const fn over_expression(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
    since: &'static str,
    over: &'static str,
) -> OwnIndex {
    OwnIndex {
        table,
        name,
        columns,
        since,
        uniqueness: Uniqueness::NonUnique,
        over,
    }
}

const ALL: &[OwnIndex] = &[
    over_expression(
        "core_user",
        "idx_lower_email",
        &["email"],
        BASELINE,
        "(lower((email)::text))",
    ),
    over_expression(
        "core_user",
        "idx_user_full_name",
        &["first_name", "last_name"],
        ANALYTICS,
        "(((first_name || ' ') || last_name))",
    ),
    over_expression(
        "core_user",
        "idx_user_qualified_id",
        &["id"],
        ANALYTICS,
        "(('user_' || id))",
    ),
    over_expression(
        "metabase_field",
        "idx_field_entity_qualified_id",
        &["id"],
        ANALYTICS,
        "(('field_' || id))",
    ),
    over_expression(
        "metabase_field",
        "idx_field_name_lower",
        &["name"],
        FIELD_NAMES.since,
        "(lower(name))",
    ),
    over_expression(
        "query_execution",
        "idx_query_execution_card_qualified_id",
        &["card_id"],
        ANALYTICS,
        "(('card_' || card_id))",
    ),
    over_expression(
        "view_log",
        "idx_view_log_entity_qualified_id",
        &["model", "model_id"],
        ANALYTICS,
        "(((model || '_') || model_id))",
    ),
    over_expression(
        "audit_log",
        "idx_audit_log_entity_qualified_id",
        &["model", "model_id"],
        ANALYTICS,
        "((CASE WHEN model = 'Dataset' THEN 'card_' || model_id WHEN model_id IS NULL THEN NULL \
         ELSE lower(model) || '_' || model_id END))",
    ),
    OwnIndex {
        table: "metabase_table",
        name: "idx_uniq_table_db_id_schema_name_2col",
        columns: &["db_id", "name", "schema"],
        since: BASELINE,
        uniqueness: Uniqueness::Unique,
        over: "(db_id, name) WHERE schema IS NULL",
    },
];

/// What rows must be looked at for before they are written: the one unique index among them.
pub(super) fn rules(table: &Table) -> Vec<UniqueRule> {
    of(table)
        .into_iter()
        .filter(|index| index.uniqueness == Uniqueness::Unique)
        .map(|index| UniqueRule {
            table: table.name.key(),
            name: index.name.to_owned(),
            columns: vec![
                ("db_id".to_owned(), CaseRule::Exact),
                ("name".to_owned(), CaseRule::Exact),
            ],
            only_where_null: vec!["schema".to_owned()],
        })
        .collect()
}

/// Those of a table that has the columns.
pub(super) fn of(table: &Table) -> Vec<&'static OwnIndex> {
    let key = table.name.key();
    ALL.iter()
        .filter(|index| {
            index.table == key && index.columns.iter().all(|column| table.column(column).is_some())
        })
        .collect()
}
