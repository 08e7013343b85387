//! Views for people who analyse how Metabase is used.

use metaferry_domain::schema::{Name, View};

use super::Views;
use crate::draft::sql;

/// Name, columns, query.
const VIEWS: &[(&str, &[&str], &str)] = &[
    (
        "v_content",
        &["entity_type", "entity_id", "name", "creator_id", "is_archived"],
        "SELECT 'question'::text AS entity_type, report_card.id AS entity_id, report_card.name, report_card.creator_id, \
         report_card.archived AS is_archived FROM report_card \
         UNION ALL \
         SELECT 'dashboard'::text AS entity_type, report_dashboard.id AS entity_id, report_dashboard.name, \
         report_dashboard.creator_id, report_dashboard.archived AS is_archived FROM report_dashboard",
    ),
    (
        "v_group_members",
        &["user_id", "group_id", "group_name", "is_group_manager"],
        "SELECT m.user_id, m.group_id, g.name AS group_name, m.is_group_manager \
         FROM (permissions_group_membership m JOIN permissions_group g ON ((g.id = m.group_id)))",
    ),
    (
        "v_users",
        &["user_id", "full_name", "is_admin", "is_active", "date_joined"],
        "SELECT core_user.id AS user_id, (((core_user.first_name)::text || ' '::text) || (core_user.last_name)::text) AS \
         full_name, core_user.is_superuser AS is_admin, core_user.is_active, core_user.date_joined FROM core_user \
         WHERE ((core_user.type)::text = 'personal'::text)",
    ),
];

pub(crate) fn views() -> Views {
    VIEWS
        .iter()
        .map(|(name, columns, query)| View {
            schema: Name::new("public"),
            name: Name::new(*name),
            columns: columns.iter().map(|column| Name::new(*column)).collect(),
            query: sql(query),
            comment: None,
        })
        .collect()
}
