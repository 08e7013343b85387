//! Writes to tables that must be still and to those that need not, in SQL that every server understands, with what is to
//! become of them. Who runs them makes the tables: `collection` (rows 1 and 2; 2 refers to user 1001, whose deletion
//! cascades), `report_card` (row 1), `core_user` (1001 and 1002) and `somebodys_own`.

/// Writes that read-only of strength `enforced` refuses.
pub const HELD_OFF: [&str; 7] = [
    "INSERT INTO collection (id) VALUES (3)",
    "UPDATE collection SET name = 'other' WHERE id = 1",
    "UPDATE collection SET odd = '{\"a\": 2}' WHERE id = 1",
    "UPDATE collection SET name = NULL",
    "DELETE FROM collection WHERE id = 1",
    "UPDATE report_card SET name = 'other', last_used_at = now()",
    // The user is exempt, the collection that goes with it is not.
    "DELETE FROM core_user WHERE id = 1001",
];

/// Writes that pass in every strength, and that nobody reports.
pub const LEFT_ALONE: [&str; 7] = [
    "UPDATE collection SET name = 'none' WHERE id = 77",
    "UPDATE collection SET name = name, odd = odd, slug = slug",
    "DELETE FROM collection WHERE id = 77",
    "UPDATE report_card SET last_used_at = now(), updated_at = now()",
    "UPDATE core_user SET is_active = NOT is_active WHERE id = 1002",
    "INSERT INTO somebodys_own SELECT coalesce(max(id), 0) + 1 FROM somebodys_own",
    "SELECT * FROM collection FOR UPDATE",
];

/// A write that nobody held off.
#[derive(Debug, Clone, Copy)]
pub struct Slipped {
    /// What was done.
    pub sql: &'static str,
    /// The report, up to the rows that are gone.
    pub written: &'static str,
    /// How many rows are no longer as they were.
    pub gone: u32,
    /// Keys of those that are not there any more, said by who knows them.
    pub gone_keys: &'static str,
}

impl Slipped {
    /// The report of who knows keys of what is gone.
    #[must_use]
    pub fn with_keys(&self) -> String {
        let Self { written, gone, .. } = self;
        match self.gone_keys {
            "" => self.without_keys(),
            keys => format!("{written}; {gone} rows as they were are gone, such as {keys})"),
        }
    }

    /// The report of who does not.
    #[must_use]
    pub fn without_keys(&self) -> String {
        format!("{}; {} rows as they were are gone)", self.written, self.gone)
    }
}

/// Writes that slipped through.
pub const SLIPPED: [Slipped; 6] = [
    Slipped {
        sql: "INSERT INTO collection (id) VALUES (3)",
        written: "collection (1 rows inserted or updated, such as 3",
        gone: 0,
        gone_keys: "",
    },
    Slipped {
        sql: "UPDATE collection SET name = 'other' WHERE id = 2",
        written: "collection (1 rows inserted or updated, such as 2",
        gone: 1,
        gone_keys: "",
    },
    Slipped {
        sql: "DELETE FROM core_user WHERE id = 1001",
        written: "collection (0 rows inserted or updated",
        gone: 1,
        gone_keys: "2",
    },
    Slipped {
        sql: "DELETE FROM collection WHERE id = 1; INSERT INTO collection (id) VALUES (1)",
        written: "collection (1 rows inserted or updated, such as 1",
        gone: 1,
        gone_keys: "",
    },
    Slipped {
        sql: "UPDATE report_card SET name = 'other', last_used_at = now()",
        written: "report_card (1 rows inserted or updated, such as 1",
        gone: 1,
        gone_keys: "",
    },
    Slipped {
        sql: "DELETE FROM report_card",
        written: "report_card (0 rows inserted or updated",
        gone: 1,
        gone_keys: "1",
    },
];

/// Names of more tables that must be still: so many that to wait a moment for each takes longer than one try of an effect
/// may take.
pub const MANY: [&str; 32] = [
    "action",
    "bookmark_ordering",
    "card_bookmark",
    "channel",
    "channel_template",
    "collection_bookmark",
    "dashboard_bookmark",
    "dashboard_tab",
    "data_permissions",
    "dimension",
    "http_action",
    "implicit_action",
    "metabase_field",
    "metabase_fieldvalues",
    "metabase_table",
    "model_index",
    "model_index_value",
    "moderation_review",
    "native_query_snippet",
    "notification",
    "notification_card",
    "parameter_card",
    "permissions",
    "permissions_group",
    "pulse",
    "pulse_card",
    "query_action",
    "revision",
    "segment",
    "timeline",
    "timeline_event",
    "sandboxes",
];
