//! What Metabase's own schema has on MySQL otherwise than on H2 and Postgres: the case of some names, some types, some
//! defaults and one collation. Everything here is for tables of these names only.

use metaferry_domain::schema::DataType;

use super::types::MySqlType;

/// Tables whose names, and those of whose columns, are in upper case.
pub(super) fn is_upper_case(table: &str) -> bool {
    is_of_quartz(table) || matches!(table, "databasechangelog" | "databasechangeloglock")
}

/// The scheduler's tables: the names of their indexes and keys are in upper case too.
pub(super) fn is_of_quartz(table: &str) -> bool {
    table.starts_with("qrtz_")
}

/// The type of a column that the shared word does not say exactly.
pub(super) fn column_type(table: &str, column: &str, data_type: &DataType) -> Option<MySqlType> {
    match (data_type, table, column) {
        (DataType::Varchar(_) | DataType::VarcharIgnoreCase(_), "core_user", "email") => {
            Some(MySqlType::Varchar(254))
        }
        // Hashes of queries, 256 bits.
        (DataType::Blob | DataType::Binary(32), "query" | "query_cache", "query_hash")
        | (DataType::Blob | DataType::Binary(32), "query_execution", "hash") => Some(MySqlType::Binary(32)),
        // The smaller of two kinds of large objects, where that is always enough.
        (DataType::Blob, "query_execution", "cache_hash") => Some(MySqlType::Blob),
        (DataType::Blob, table, _) if is_of_quartz(table) => Some(MySqlType::Blob),
        (DataType::Boolean, "databasechangeloglock", "locked") => Some(MySqlType::TinyInt),
        _ => None,
    }
}

/// The collation of a column that is not its table's. Names of fields differ in case alone in many databases.
pub(super) fn collation(table: &str, column: &str) -> Option<&'static str> {
    ((table, column) == ("metabase_field", "name")).then_some("utf8mb4_bin")
}

/// Moments that fill themselves in on MySQL. Metabase gives them a value everywhere, and for some of them only a default
/// of MySQL's has ever been written down.
const FILLED: &[(&str, &[&str])] = &[
    ("application_permissions_revision", &["created_at"]),
    ("collection_permission_graph_revision", &["created_at"]),
    ("core_session", &["created_at"]),
    ("core_user", &["date_joined"]),
    ("dependency", &["created_at"]),
    ("dimension", &["created_at", "updated_at"]),
    ("metabase_database", &["created_at", "updated_at"]),
    ("metabase_field", &["created_at", "updated_at"]),
    ("metabase_fieldvalues", &["created_at"]),
    ("metabase_table", &["created_at", "updated_at"]),
    ("metric", &["created_at", "updated_at"]),
    ("permissions_revision", &["created_at"]),
    ("pulse", &["created_at", "updated_at"]),
    ("pulse_channel", &["created_at", "updated_at"]),
    ("recent_views", &["timestamp"]),
    ("report_card", &["created_at"]),
    ("report_cardfavorite", &["created_at", "updated_at"]),
    ("report_dashboard", &["created_at", "updated_at"]),
    ("report_dashboardcard", &["created_at", "updated_at"]),
    ("revision", &["timestamp"]),
    ("segment", &["created_at", "updated_at"]),
];

/// Does the column fill itself in?
pub(super) fn is_filled(table: &str, column: &str) -> bool {
    FILLED
        .iter()
        .any(|(name, columns)| *name == table && columns.contains(&column))
}
