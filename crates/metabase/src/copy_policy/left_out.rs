//! Which tables stay behind, and which are Metabase's at all. The names are those of v51 to the versions of late
//! 2026; a table on neither list goes along and is reported.

use super::{Changelog, Logs, PolicyOptions};
use metaferry_domain::ports::Plaintext;

/// Sessions are not copied from this version on.
const SESSIONS_LEFT_OUT_FROM: u32 = 64;
/// API keys are copied from this version on.
const API_KEYS_CARRIED_FROM: u32 = 63;

/// Why a table stays behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its rows would be wrong, or do harm, at the target.
    Never(&'static str),
    /// Metabase's own dump leaves it out; a person may include it.
    Overridable(&'static str),
}

const SCHEDULER: &str = "rows of the scheduler; Metabase builds them anew when it starts";
const LOCKS: &str = "locks of running nodes";
const OWN_MIGRATIONS: &str = "belongs to the migrations of this instance";
const METAFERRY: &str = "metaferry's own";
const SEARCH_INDEX: &str = "search index; Metabase builds it anew";
const CACHED: &str = "cached results";
const LOG: &str = "log";
const DERIVED: &str = "derived from other tables; Metabase builds it anew";
const DEAD: &str = "no longer used by Metabase";
const NOT_IN_DUMPS: &str = "not part of Metabase's own dumps";
const SESSIONS: &str = "sessions; users sign in again";
const CHANGELOG: &str = "the target has its own schema history";
const DATA_KEYS: &str = "keys of encrypted values, and the copy is not encrypted";
const SHORT_LIVED: &str = "only means something for minutes";

/// Why a table stays behind; `None`: it goes along. The name in lower case.
#[must_use]
pub fn reason(table: &str, options: &PolicyOptions) -> Option<Reason> {
    use Reason::{Never, Overridable};
    let is_from = |version: u32| options.schema_major.is_none_or(|major| major >= version);
    if table.starts_with("qrtz_") {
        return Some(Never(SCHEDULER));
    }
    if table.starts_with("metaferry_") {
        return Some(Never(METAFERRY));
    }
    if table != "search_index_metadata" && is_search_index(table) {
        return Some(Never(SEARCH_INDEX));
    }
    Some(match table {
        "cloud_migration" => Never(OWN_MIGRATIONS),
        "metabase_cluster_lock" => Never(LOCKS),
        "query_cache" => Never(CACHED),
        "search_index_metadata" => Never(SEARCH_INDEX),
        "sso_relay_state" | "mcp_query_handle" => Never(SHORT_LIVED),
        "data_encryption_key" if options.plaintext == Plaintext::Decrypt => Never(DATA_KEYS),
        "databasechangelog" | "databasechangeloglock" if options.changelog == Changelog::LeaveOut => {
            Never(CHANGELOG)
        }
        "core_session" if is_from(SESSIONS_LEFT_OUT_FROM) => Overridable(SESSIONS),
        "api_key" if !is_from(API_KEYS_CARRIED_FROM) => Overridable(NOT_IN_DUMPS),
        "agent_api_call_log"
        | "ai_usage_log"
        | "api_key_usage_log"
        | "mcp_session_log"
        | "mcp_tool_call_log"
        | "query"
        | "query_execution"
        | "support_access_grant_log"
        | "task_history"
        | "task_run"
            if options.logs == Logs::LeaveOut =>
        {
            Overridable(LOG)
        }
        "exploration_query_result"
        | "premium_features_token_cache"
        | "stored_result"
        | "stored_result_use" => Overridable(CACHED),
        "analysis_finding"
        | "analysis_finding_error"
        | "data_complexity_score"
        | "dependency"
        | "dependency_status"
        | "field_usage"
        | "query_analysis"
        | "query_field"
        | "query_table"
        | "semantic_search_token_tracking"
        | "source_dimension_daily"
        | "source_dimension_profile_daily"
        | "source_metric_daily"
        | "source_segment_composite_daily"
        | "source_segment_daily" => Overridable(DERIVED),
        "card_label"
        | "dashboard_favorite"
        | "label"
        | "metric"
        | "metric_important_field"
        | "report_cardfavorite" => Overridable(DEAD),
        "cache_config"
        | "content_translation"
        | "data_app"
        | "data_app_group_assignment"
        | "db_router"
        | "metabase_table_indexes"
        | "python_library"
        | "remote_sync_object"
        | "remote_sync_task"
        | "replacement_run"
        | "security_advisory"
        | "undo"
        | "user_key_value" => Overridable(NOT_IN_DUMPS),
        _ => return None,
    })
}

fn is_search_index(table: &str) -> bool {
    table == "search_index"
        || table.starts_with("search_index_")
        || table.starts_with("semantic_search_index")
}

/// Is the table one of Metabase's own? The name in lower case.
#[must_use]
pub fn is_known(table: &str) -> bool {
    // What is named as staying behind, under whichever options, is Metabase's.
    const NEWEST: PolicyOptions = PolicyOptions {
        schema_major: None,
        plaintext: Plaintext::Decrypt,
        changelog: Changelog::LeaveOut,
        logs: Logs::LeaveOut,
        include: Vec::new(),
        exclude: Vec::new(),
    };
    reason(table, &NEWEST).is_some() || CARRIED.binary_search(&table).is_ok()
}

/// Tables of Metabase's that go along, sorted.
const CARRIED: [&str; 100] = [
    "action",
    "activity",
    "api_key",
    "application_permissions_revision",
    "audit_log",
    "auth_identity",
    "bookmark_ordering",
    "card_bookmark",
    "channel",
    "channel_template",
    "collection",
    "collection_bookmark",
    "collection_permission_graph_revision",
    "comment",
    "comment_reaction",
    "computation_job",
    "computation_job_result",
    "connection_impersonations",
    "core_session",
    "core_user",
    "dashboard_bookmark",
    "dashboard_tab",
    "dashboardcard_series",
    "data_encryption_key",
    "data_permissions",
    "databasechangelog",
    "databasechangeloglock",
    "dimension",
    "document",
    "document_bookmark",
    "exploration",
    "exploration_bookmark",
    "glossary",
    "http_action",
    "implicit_action",
    "login_history",
    "mcp_feedback",
    "measure",
    "metabase_database",
    "metabase_field",
    "metabase_field_user_settings",
    "metabase_fieldvalues",
    "metabase_table",
    "metabot",
    "metabot_conversation",
    "metabot_entity",
    "metabot_feedback",
    "metabot_group_limit",
    "metabot_instance_limit",
    "metabot_message",
    "metabot_permissions",
    "metabot_prompt",
    "model_index",
    "model_index_value",
    "moderation_review",
    "native_query_snippet",
    "notification",
    "notification_card",
    "notification_handler",
    "notification_recipient",
    "notification_subscription",
    "parameter_card",
    "permissions",
    "permissions_group",
    "permissions_group_membership",
    "permissions_revision",
    "persisted_info",
    "pulse",
    "pulse_card",
    "pulse_channel",
    "pulse_channel_recipient",
    "query_action",
    "recent_views",
    "report_card",
    "report_dashboard",
    "report_dashboardcard",
    "revision",
    "sandboxes",
    "secret",
    "segment",
    "setting",
    "table_privileges",
    "tenant",
    "timeline",
    "timeline_event",
    "transform",
    "transform_job",
    "transform_job_run",
    "transform_job_transform_tag",
    "transform_run",
    "transform_run_cancelation",
    "transform_tag",
    "transform_test",
    "transform_test_run",
    "transform_transform_tag",
    "user_parameter_value",
    "view_log",
    "workspace",
    "workspace_mapping_table",
    "workspace_mapping_transform",
];

#[cfg(test)]
mod tests {
    use super::CARRIED;

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(CARRIED.is_sorted());
    }
}
