//! Collections, questions and dashboards.

use metaferry_domain::schema::ReferentialAction::{Cascade, SetNull};

use super::{any_user, json_text, moment};
use crate::draft::{Draft, SampleTable, boolean, char, integer, text, timestamptz, varchar};
use crate::sizes::Sizes;
use crate::value::row;

pub(super) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    vec![
        collections(sizes),
        cards(sizes),
        dashboards(sizes),
        dashboard_cards(sizes),
    ]
}

fn collections(sizes: &Sizes) -> SampleTable {
    Draft::new("collection")
        .id(sizes.collections + 1)
        .not_null("name", text())
        .nullable("description", text())
        .default("archived", boolean(), "false")
        .default("location", varchar(254), "'/'::character varying")
        .nullable("personal_owner_id", integer())
        .not_null("slug", varchar(510))
        .nullable("entity_id", char(21))
        .default("created_at", timestamptz(), "CURRENT_TIMESTAMP")
        .nullable("type", varchar(256))
        .unique(&["personal_owner_id"])
        .unique(&["entity_id"])
        .refers("personal_owner_id", "core_user", Cascade)
        .index(&["location"])
        .comment("Folders, in which everything else lies")
        .rows(sizes.collections, |sizes, random, number| {
            let id = number + 1;
            // One of three is somebody's own; of the others some lie within an earlier one.
            let owner = (number % 3 == 0 && number / 3 < sizes.users).then_some(number / 3 + 1);
            let inside = owner.is_none() && number > 0 && random.once_in(2);
            let location = if inside {
                format!("/{}/", 1 + random.below(number))
            } else {
                "/".to_owned()
            };
            row![
                id,
                random.words(5),
                random.once_in(3).then(|| random.words(40)),
                random.once_in(12),
                location,
                owner,
                format!("slug_{id}"),
                random.token(21),
                moment(random),
                random.once_in(20).then_some("trash"),
            ]
        })
}

fn cards(sizes: &Sizes) -> SampleTable {
    Draft::new("report_card")
        .id(sizes.cards + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("name", varchar(254))
        .nullable("description", text())
        .not_null("display", varchar(254))
        .not_null("dataset_query", text())
        .not_null("visualization_settings", text())
        .not_null("creator_id", integer())
        .not_null("database_id", integer())
        .nullable("table_id", integer())
        .nullable("query_type", varchar(16))
        .default("archived", boolean(), "false")
        .nullable("collection_id", integer())
        .nullable("public_uuid", char(36))
        .nullable("made_public_by_id", integer())
        .nullable("result_metadata", text())
        .default("type", varchar(16), "'question'::character varying")
        .default("view_count", integer(), "0")
        .default("last_used_at", timestamptz(), "CURRENT_TIMESTAMP")
        .nullable("entity_id", char(21))
        .unique(&["public_uuid"])
        .unique(&["entity_id"])
        .refers("creator_id", "core_user", Cascade)
        .refers("database_id", "metabase_database", Cascade)
        .refers("table_id", "metabase_table", Cascade)
        .refers("collection_id", "collection", SetNull)
        .refers("made_public_by_id", "core_user", Cascade)
        .index(&["creator_id"])
        .index_descending(&["updated_at"])
        .rows(sizes.cards, |sizes, random, number| {
            let public = random.once_in(10);
            row![
                number + 1,
                moment(random),
                moment(random),
                random.words(6),
                random.once_in(2).then(|| random.words(50)),
                random.pick(&["table", "bar", "line", "scalar"]),
                json_text(random, number),
                "{}",
                any_user(sizes, random),
                1 + random.below(sizes.databases),
                random.once_in(2).then(|| 1 + random.below(sizes.tables)),
                random.pick(&["query", "native"]),
                random.once_in(8),
                (!random.once_in(5)).then(|| 1 + random.below(sizes.collections)),
                public.then(|| random.uuid()),
                public.then(|| any_user(sizes, random)),
                (!random.once_in(3)).then(|| json_text(random, number + 1)),
                random.pick(&["question", "model", "metric"]),
                random.below(100_000),
                moment(random),
                random.token(21),
            ]
        })
}

fn dashboards(sizes: &Sizes) -> SampleTable {
    Draft::new("report_dashboard")
        .id(sizes.dashboards + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("name", varchar(254))
        .nullable("description", text())
        .not_null("creator_id", integer())
        .not_null("parameters", text())
        .nullable("caveats", text())
        .default("archived", boolean(), "false")
        .nullable("collection_id", integer())
        .nullable("entity_id", char(21))
        .unique(&["entity_id"])
        .refers("creator_id", "core_user", Cascade)
        .refers("collection_id", "collection", SetNull)
        .rows(sizes.dashboards, |sizes, random, number| {
            row![
                number + 1,
                moment(random),
                moment(random),
                random.words(6),
                random.once_in(2).then(|| random.words(60)),
                any_user(sizes, random),
                "[]",
                random.once_in(5).then_some(""),
                random.once_in(9),
                (!random.once_in(5)).then(|| 1 + random.below(sizes.collections)),
                random.token(21),
            ]
        })
}

fn dashboard_cards(sizes: &Sizes) -> SampleTable {
    Draft::new("report_dashboardcard")
        .id(sizes.dashboard_cards + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("size_x", integer())
        .not_null("size_y", integer())
        .not_null("row", integer())
        .not_null("col", integer())
        .nullable("card_id", integer())
        .not_null("dashboard_id", integer())
        .not_null("parameter_mappings", text())
        .not_null("visualization_settings", text())
        .refers("card_id", "report_card", Cascade)
        .refers("dashboard_id", "report_dashboard", Cascade)
        .index(&["dashboard_id"])
        .check("report_dashboardcard_has_width", "(size_x > 0)")
        .rows(sizes.dashboard_cards, |sizes, random, number| {
            let settings = json_text(random, number + 2);
            row![
                number + 1,
                moment(random),
                moment(random),
                1 + random.below(24),
                1 + random.below(12),
                random.below(40),
                random.below(24),
                (!random.once_in(6)).then(|| 1 + random.below(sizes.cards)),
                1 + random.below(sizes.dashboards),
                "[]",
                settings,
            ]
        })
}
