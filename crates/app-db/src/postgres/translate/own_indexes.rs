//! Indexes that Metabase has on Postgres only, because other databases have no indexes over expressions or over some
//! of the rows: lookups by lower case, the qualified ids of its views, and names of tables without a schema.

use metaferry_domain::schema::{Table, Uniqueness};

/// One such index.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnIndex {
    table: &'static str,
    pub(super) name: &'static str,
    /// The columns that must be there.
    columns: &'static [&'static str],
    pub(super) uniqueness: Uniqueness,
    /// What follows the table's name.
    pub(super) over: &'static str,
}

const fn over_expression(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
    over: &'static str,
) -> OwnIndex {
    OwnIndex {
        table,
        name,
        columns,
        uniqueness: Uniqueness::NonUnique,
        over,
    }
}

const ALL: &[OwnIndex] = &[
    over_expression(
        "core_user",
        "idx_lower_email",
        &["email"],
        "(lower((email)::text))",
    ),
    over_expression(
        "core_user",
        "idx_user_full_name",
        &["first_name", "last_name"],
        "(((first_name || ' ') || last_name))",
    ),
    over_expression("core_user", "idx_user_qualified_id", &["id"], "(('user_' || id))"),
    over_expression(
        "metabase_field",
        "idx_field_entity_qualified_id",
        &["id"],
        "(('field_' || id))",
    ),
    over_expression(
        "metabase_field",
        "idx_field_name_lower",
        &["name"],
        "(lower(name))",
    ),
    over_expression(
        "query_execution",
        "idx_query_execution_card_qualified_id",
        &["card_id"],
        "(('card_' || card_id))",
    ),
    over_expression(
        "view_log",
        "idx_view_log_entity_qualified_id",
        &["model", "model_id"],
        "(((model || '_') || model_id))",
    ),
    over_expression(
        "audit_log",
        "idx_audit_log_entity_qualified_id",
        &["model", "model_id"],
        "((CASE WHEN model = 'Dataset' THEN 'card_' || model_id WHEN model_id IS NULL THEN NULL \
         ELSE lower(model) || '_' || model_id END))",
    ),
    OwnIndex {
        table: "metabase_table",
        name: "idx_uniq_table_db_id_schema_name_2col",
        columns: &["db_id", "name", "schema"],
        uniqueness: Uniqueness::Unique,
        over: "(db_id, name) WHERE schema IS NULL",
    },
];

/// Those of a table that has the columns.
pub(super) fn of(table: &Table) -> Vec<&'static OwnIndex> {
    let key = table.name.key();
    ALL.iter()
        .filter(|index| {
            index.table == key && index.columns.iter().all(|column| table.column(column).is_some())
        })
        .collect()
}
