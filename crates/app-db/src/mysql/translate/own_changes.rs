//! Changes that Metabase's history has on MySQL only: there it made bits of truth values, which they are here from the
//! beginning. The history must say so, or Metabase would make the changes again when it starts.
//!
//! These are the changes up to v55. A later version may have made more of them, which its Metabase then makes itself.

use super::{History, Translation};
use crate::sql::mysql_text::{identifier, literal};

/// The table of the history.
const TABLE: &str = "DATABASECHANGELOG";
/// The file that all of them are in.
const FILE: &str = "migrations/001_update_migrations.yaml";

/// Changes of one author in a row.
#[derive(Debug)]
struct Group {
    author: &'static str,
    /// A change after them that every database has: the source has come this far.
    since: &'static str,
    /// Ids, each with Liquibase's description.
    changes: &'static [(&'static str, &'static str)],
}

const GROUPS: &[Group] = &[
    Group {
        author: "noahmoss",
        since: "v49.00-017",
        changes: &[(
            "v49.00-016",
            "modifyDataType columnName=archived, tableName=action",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-020",
        changes: &[(
            "v49.00-019",
            "modifyDataType columnName=json_unfolding, tableName=metabase_field",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-023",
        changes: &[(
            "v49.00-022",
            "modifyDataType columnName=database_is_auto_increment, tableName=metabase_field",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-026",
        changes: &[(
            "v49.00-025",
            "modifyDataType columnName=auto_apply_filters, tableName=report_dashboard",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-029",
        changes: &[(
            "v49.00-028",
            "modifyDataType columnName=is_audit, tableName=metabase_database",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-032",
        changes: &[(
            "v49.00-031",
            "modifyDataType columnName=is_upload, tableName=metabase_table",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-036",
        changes: &[
            (
                "v49.00-034",
                "modifyDataType columnName=most_recent, tableName=revision",
            ),
            (
                "v49.00-035",
                "modifyDataType columnName=most_recent, tableName=revision",
            ),
        ],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-039",
        changes: &[(
            "v49.00-038",
            "modifyDataType columnName=select, tableName=table_privileges",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-042",
        changes: &[(
            "v49.00-041",
            "modifyDataType columnName=update, tableName=table_privileges",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-045",
        changes: &[(
            "v49.00-044",
            "modifyDataType columnName=insert, tableName=table_privileges",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-048",
        changes: &[(
            "v49.00-047",
            "modifyDataType columnName=delete, tableName=table_privileges",
        )],
    },
    Group {
        author: "noahmoss",
        since: "v49.00-059",
        changes: &[
            (
                "v49.00-050",
                "modifyDataType columnName=is_sandboxed, tableName=query_execution",
            ),
            (
                "v49.00-051",
                "modifyDataType columnName=has_access, tableName=view_log",
            ),
            (
                "v49.00-052",
                "modifyDataType columnName=database_indexed, tableName=metabase_field",
            ),
            (
                "v49.00-053",
                "modifyDataType columnName=database_require_filter, tableName=metabase_table",
            ),
        ],
    },
    Group {
        author: "qnkhuat",
        since: "v49.2024-01-22T11:50:00",
        changes: &[(
            "v49.00-060",
            "modifyDataType columnName=database_partitioned, tableName=metabase_field",
        )],
    },
    Group {
        author: "johnswanson",
        since: "v49.2024-05-20T20:37:55",
        changes: &[(
            "v49.2024-05-20T19:10:34",
            "modifyDataType columnName=collection_preview, tableName=report_card",
        )],
    },
    Group {
        author: "johnswanson",
        since: "v49.2024-06-27T00:00:00",
        changes: &[
            (
                "v49.2024-05-29T09:26:20",
                "modifyDataType columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-05-29T09:27:15",
                "addNotNullConstraint columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-05-29T09:28:25",
                "addDefaultValue columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-06-05T09:01:01",
                "modifyDataType columnName=is_datasetnewb, tableName=core_user",
            ),
            (
                "v49.2024-06-05T09:01:02",
                "addNotNullConstraint columnName=is_datasetnewb, tableName=core_user",
            ),
            (
                "v49.2024-06-05T09:01:03",
                "addDefaultValue columnName=is_datasetnewb, tableName=core_user",
            ),
            (
                "v49.2024-06-05T09:02:01",
                "modifyDataType columnName=database_required, tableName=metabase_field",
            ),
            (
                "v49.2024-06-05T09:02:02",
                "addNotNullConstraint columnName=database_required, tableName=metabase_field",
            ),
            (
                "v49.2024-06-05T09:02:03",
                "addDefaultValue columnName=database_required, tableName=metabase_field",
            ),
            (
                "v49.2024-06-05T09:03:01",
                "modifyDataType columnName=has_more_values, tableName=metabase_fieldvalues",
            ),
            (
                "v49.2024-06-05T09:03:03",
                "addDefaultValue columnName=has_more_values, tableName=metabase_fieldvalues",
            ),
            (
                "v49.2024-06-05T09:04:01",
                "modifyDataType columnName=is_group_manager, tableName=permissions_group_membership",
            ),
            (
                "v49.2024-06-05T09:04:02",
                "addNotNullConstraint columnName=is_group_manager, tableName=permissions_group_membership",
            ),
            (
                "v49.2024-06-05T09:04:03",
                "addDefaultValue columnName=is_group_manager, tableName=permissions_group_membership",
            ),
            (
                "v49.2024-06-05T09:05:01",
                "modifyDataType columnName=active, tableName=persisted_info",
            ),
            (
                "v49.2024-06-05T09:05:02",
                "addNotNullConstraint columnName=active, tableName=persisted_info",
            ),
            (
                "v49.2024-06-05T09:05:03",
                "addDefaultValue columnName=active, tableName=persisted_info",
            ),
            (
                "v49.2024-06-05T09:06:01",
                "modifyDataType columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-06-05T09:06:02",
                "addNotNullConstraint columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-06-05T09:06:03",
                "addDefaultValue columnName=dataset, tableName=report_card",
            ),
            (
                "v49.2024-06-05T09:07:01",
                "modifyDataType columnName=archived, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:07:02",
                "addNotNullConstraint columnName=archived, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:07:03",
                "addDefaultValue columnName=archived, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:08:01",
                "modifyDataType columnName=default, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:08:02",
                "addNotNullConstraint columnName=default, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:08:03",
                "addDefaultValue columnName=default, tableName=timeline",
            ),
            (
                "v49.2024-06-05T09:09:01",
                "modifyDataType columnName=archived, tableName=timeline_event",
            ),
            (
                "v49.2024-06-05T09:09:02",
                "addNotNullConstraint columnName=archived, tableName=timeline_event",
            ),
            (
                "v49.2024-06-05T09:09:03",
                "addDefaultValue columnName=archived, tableName=timeline_event",
            ),
            (
                "v49.2024-06-05T09:10:01",
                "modifyDataType columnName=time_matters, tableName=timeline_event",
            ),
            (
                "v49.2024-06-05T09:10:02",
                "addNotNullConstraint columnName=time_matters, tableName=timeline_event",
            ),
        ],
    },
    Group {
        author: "piranha",
        since: "v50.2024-06-20T13:21:30",
        changes: &[(
            "v50.2024-06-12T12:33:09",
            "sqlFile path=custom_sql/fill_cache_config_root_fix.my.sql",
        )],
    },
    Group {
        author: "tsmacdonald",
        since: "v51.2024-07-10T12:28:10",
        changes: &[(
            "v51.2024-07-09T17:15:43",
            "addDefaultValue columnName=explicit_reference, tableName=query_field",
        )],
    },
];

/// Statements that tell the history of what was made here because Metabase makes it on MySQL. `table` is what the history
/// is called at the moment. None where the source is a MySQL itself, or no Metabase.
pub(in crate::mysql) fn complete_history(translation: &Translation, table: &str) -> Vec<String> {
    let has_history = translation
        .tables
        .iter()
        .any(|table| table.name.eq_ignore_ascii_case(TABLE));
    if translation.history == History::OfMySql || !has_history {
        return Vec::new();
    }
    let log = identifier(table);
    let mut statements = Vec::new();
    for group in GROUPS {
        for (id, description) in group.changes {
            let (id, since) = (literal(id), literal(group.since));
            statements.push(format!(
                "INSERT INTO {log} (ID, AUTHOR, FILENAME, DATEEXECUTED, ORDEREXECUTED, EXECTYPE, DESCRIPTION)
                 SELECT {id}, {}, {}, max(DATEEXECUTED), max(ORDEREXECUTED) + 1, 'EXECUTED', {} FROM {log}
                 HAVING sum(ID = {since}) > 0 AND sum(ID = {id}) = 0",
                literal(group.author),
                literal(FILE),
                literal(description)
            ));
        }
    }
    statements
}
