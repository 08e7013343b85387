//! The databases that people ask questions of: their tables, fields and values.

use metaferry_domain::schema::ReferentialAction::{Cascade, NoAction, SetNull};

use super::{any_user, json_text, moment};
use crate::draft::{
    Draft, SampleTable, bigint, boolean, bytea, char, integer, smallint, text, timestamptz, varchar,
};
use crate::sizes::Sizes;
use crate::value::{Value, row};

/// NULL for a defective duplicate, else the parent or 0, as Postgres prints it.
const UNIQUE_FIELD_HELPER: &str = "CASE
    WHEN (is_defective_duplicate = true) THEN NULL::integer
    ELSE
    CASE
        WHEN (parent_id IS NULL) THEN 0
        ELSE parent_id
    END
END";

pub(super) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    vec![
        databases(sizes),
        metabase_tables(sizes),
        fields(sizes),
        field_values(sizes),
        secrets(sizes),
    ]
}

fn databases(sizes: &Sizes) -> SampleTable {
    Draft::new("metabase_database")
        .id(sizes.databases + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("name", varchar(254))
        .nullable("description", text())
        .not_null("details", text())
        .not_null("engine", varchar(254))
        .default("is_sample", boolean(), "false")
        .default("is_full_sync", boolean(), "true")
        .default("is_attached_dwh", boolean(), "false")
        .nullable("timezone", varchar(254))
        .nullable("creator_id", integer())
        .nullable("dbms_version", text())
        .refers("creator_id", "core_user", SetNull)
        .rows(sizes.databases, |sizes, random, number| {
            // The first is Metabase's own sample, whose details a copy empties.
            let sample = number == 0;
            let details = if sample {
                "{\"db\":\"file:plugins/sample-database.db;USER=GUEST;PASSWORD=guest\"}".to_owned()
            } else {
                format!("{{\"host\":\"db-{number}.example.com\",\"port\":5432,\"ssl\":true}}")
            };
            row![
                number + 1,
                moment(random),
                moment(random),
                if sample {
                    "Sample Database".to_owned()
                } else {
                    random.words(4)
                },
                random.once_in(2).then(|| random.words(20)),
                details,
                if sample {
                    "h2"
                } else {
                    random.pick(&["postgres", "mysql", "snowflake"])
                },
                sample,
                !random.once_in(5),
                false,
                random.pick(&["UTC", "Europe/Paris", "Asia/Kathmandu"]),
                (!sample).then(|| any_user(sizes, random)),
                "{\"flavor\":\"any\",\"semantic-version\":[15,4]}",
            ]
        })
}

fn metabase_tables(sizes: &Sizes) -> SampleTable {
    Draft::new("metabase_table")
        .id(sizes.tables + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("name", varchar(256))
        .nullable("description", text())
        .nullable("entity_type", varchar(254))
        .not_null("active", boolean())
        .not_null("db_id", integer())
        .nullable("display_name", varchar(256))
        .nullable("visibility_type", varchar(254))
        .nullable("schema", varchar(254))
        .default("view_count", integer(), "0")
        .nullable("estimated_row_count", bigint())
        .refers("db_id", "metabase_database", Cascade)
        .unique(&["db_id", "schema", "name"])
        .rows(sizes.tables, |sizes, random, number| {
            row![
                number + 1,
                moment(random),
                moment(random),
                format!("table_{}_{number}", random.token(5)),
                random.once_in(3).then(|| random.words(30)),
                random.once_in(2).then_some("entity/GenericTable"),
                !random.once_in(15),
                number % sizes.databases + 1,
                random.words(3),
                random.once_in(10).then_some("hidden"),
                (!random.once_in(4)).then(|| random.pick(&["public", "Größen", "sales"])),
                random.below(5_000),
                random.once_in(3).then(|| random.below(40_000_000_000)),
            ]
        })
}

fn fields(sizes: &Sizes) -> SampleTable {
    Draft::new("metabase_field")
        .id(sizes.fields + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .not_null("name", varchar(254))
        .not_null("base_type", varchar(255))
        .nullable("semantic_type", varchar(255))
        .default("active", boolean(), "true")
        .nullable("description", text())
        .default("position", integer(), "0")
        .not_null("table_id", integer())
        .nullable("parent_id", integer())
        .nullable("fk_target_field_id", integer())
        .nullable("points_of_interest", text())
        .nullable("fingerprint", text())
        .default("fingerprint_version", smallint(), "0")
        .default("is_defective_duplicate", boolean(), "false")
        .generated("unique_field_helper", integer(), UNIQUE_FIELD_HELPER)
        .refers("table_id", "metabase_table", Cascade)
        .refers("parent_id", "metabase_field", Cascade)
        .refers("fk_target_field_id", "metabase_field", NoAction)
        .unique(&["name", "table_id", "unique_field_helper"])
        .index(&["parent_id"])
        .rows(sizes.fields, |sizes, random, number| {
            // A parent is an earlier field of the same table.
            let parent = (number >= sizes.tables && random.once_in(12)).then(|| number - sizes.tables + 1);
            let defective = random.once_in(40);
            let helper = (!defective).then(|| parent.unwrap_or(0));
            row![
                number + 1,
                moment(random),
                moment(random),
                format!("{}_{number}", random.pick(&["id", "naïve", "total", "créé"])),
                random.pick(&["type/Integer", "type/Text", "type/DateTimeWithLocalTZ"]),
                random.once_in(3).then_some("type/FK"),
                !random.once_in(30),
                random.once_in(4).then(|| random.words(25)),
                number / sizes.tables,
                number % sizes.tables + 1,
                parent,
                random.once_in(9).then(|| 1 + random.below(sizes.fields)),
                random.once_in(20).then_some(""),
                random.once_in(3).then(|| json_text(random, number)),
                5_u64,
                defective,
                helper,
            ]
        })
}

fn field_values(sizes: &Sizes) -> SampleTable {
    Draft::new("metabase_fieldvalues")
        .id(sizes.field_values + 1)
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .nullable("values", text())
        .nullable("human_readable_values", text())
        .not_null("field_id", integer())
        .default("has_more_values", boolean(), "false")
        .default("type", varchar(32), "'full'::character varying")
        .nullable("hash_key", text())
        .refers("field_id", "metabase_field", Cascade)
        .index(&["field_id"])
        .rows(sizes.field_values, |sizes, random, number| {
            row![
                number + 1,
                moment(random),
                moment(random),
                json_text(random, number),
                random.once_in(4).then(|| random.words(9)),
                1 + random.below(sizes.fields),
                random.once_in(3),
                "full",
                random.once_in(5).then(|| random.hex(64)),
            ]
        })
}

fn secrets(sizes: &Sizes) -> SampleTable {
    Draft::new("secret")
        .identity("id", sizes.secrets.div_ceil(2) + 1)
        .default("version", integer(), "1")
        .nullable("creator_id", integer())
        .not_null("created_at", timestamptz())
        .nullable("updated_at", timestamptz())
        .not_null("name", varchar(254))
        .not_null("kind", varchar(254))
        .nullable("source", varchar(254))
        .nullable("value", bytea())
        .nullable("entity_id", char(21))
        .primary_key(&["id", "version"])
        .refers("creator_id", "core_user", SetNull)
        .rows(sizes.secrets, |sizes, random, number| {
            // Nothing, a file's path, a key store, and one above what a row may hold by itself.
            let value = match number % 4 {
                0 => Value::Null,
                1 => Value::Bytes(Vec::new()),
                2 => {
                    let length = 20_000 + random.below(100_000);
                    Value::Bytes(random.bytes(length))
                }
                _ => Value::Bytes(random.bytes(700)),
            };
            row![
                number / 2 + 1,
                number % 2 + 1,
                any_user(sizes, random),
                moment(random),
                moment(random),
                random.words(3),
                random.pick(&["keystore", "pem-cert", "password"]),
                random.once_in(2).then_some("uploaded"),
                value,
                random.once_in(2).then(|| random.token(21)),
            ]
        })
}
