//! What happened: revisions, views, audit, queries, tasks, and migrations to the cloud.

use metaferry_domain::schema::ReferentialAction::{Cascade, SetNull};

use super::{any_user, json_text, moment};
use crate::draft::{Draft, SampleTable, boolean, bytea, integer, text, timestamptz, varchar};
use crate::random::EPOCH_MICROS;
use crate::sizes::Sizes;
use crate::value::{Value, row};

pub(super) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    vec![
        revisions(sizes),
        views(sizes),
        audits(sizes),
        executions(sizes),
        tasks(sizes),
        cloud_migrations(),
    ]
}

fn revisions(sizes: &Sizes) -> SampleTable {
    Draft::new("revision")
        .id(sizes.revisions + 1)
        .not_null("model", varchar(16))
        .not_null("model_id", integer())
        .not_null("user_id", integer())
        .not_null("timestamp", timestamptz())
        .not_null("object", text())
        .default("is_reversion", boolean(), "false")
        .default("is_creation", boolean(), "false")
        .nullable("message", text())
        .default("most_recent", boolean(), "false")
        .nullable("metabase_version", varchar(100))
        .refers("user_id", "core_user", Cascade)
        .index(&["model", "model_id"])
        .rows(sizes.revisions, |sizes, random, number| {
            row![
                number + 1,
                random.pick(&["Card", "Dashboard"]),
                1 + random.below(sizes.cards),
                any_user(sizes, random),
                moment(random),
                json_text(random, number),
                random.once_in(20),
                random.once_in(4),
                random.once_in(5).then(|| random.words(12)),
                random.once_in(3),
                "v0.55.0",
            ]
        })
}

fn views(sizes: &Sizes) -> SampleTable {
    Draft::new("view_log")
        .id(sizes.views + 1)
        .nullable("user_id", integer())
        .not_null("model", varchar(16))
        .not_null("model_id", integer())
        .not_null("timestamp", timestamptz())
        .nullable("metadata", text())
        .nullable("has_access", boolean())
        .nullable("context", varchar(32))
        .refers("user_id", "core_user", Cascade)
        .index(&["timestamp"])
        .rows(sizes.views, |sizes, random, number| {
            row![
                number + 1,
                (!random.once_in(7)).then(|| any_user(sizes, random)),
                random.pick(&["card", "dashboard", "table"]),
                1 + random.below(sizes.cards),
                moment(random),
                random.once_in(10).then(|| random.words(8)),
                (!random.once_in(5)).then(|| !random.once_in(9)),
                random.once_in(2).then_some("question"),
            ]
        })
}

fn audits(sizes: &Sizes) -> SampleTable {
    Draft::new("audit_log")
        .id(sizes.audits + 1)
        .not_null("topic", varchar(32))
        .not_null("timestamp", timestamptz())
        .nullable("end_timestamp", timestamptz())
        .nullable("user_id", integer())
        .nullable("model", varchar(32))
        .nullable("model_id", integer())
        .not_null("details", text())
        .rows(sizes.audits, |sizes, random, number| {
            row![
                number + 1,
                random.pick(&[
                    "card-create",
                    "user-joined",
                    "setting-update",
                    "dashboard-add-cards"
                ]),
                moment(random),
                random.once_in(6).then(|| moment(random)),
                (!random.once_in(8)).then(|| any_user(sizes, random)),
                random.once_in(2).then_some("Card"),
                random.once_in(2).then(|| random.below(10_000)),
                format!("{{\"name\":\"{}\"}}", random.token(30)),
            ]
        })
}

fn executions(sizes: &Sizes) -> SampleTable {
    Draft::new("query_execution")
        .id(sizes.executions + 1)
        .not_null("hash", bytea())
        .not_null("started_at", timestamptz())
        .not_null("running_time", integer())
        .not_null("result_rows", integer())
        .not_null("native", boolean())
        .nullable("context", varchar(32))
        .nullable("error", text())
        .nullable("executor_id", integer())
        .nullable("card_id", integer())
        .nullable("database_id", integer())
        .index(&["started_at"])
        .rows(sizes.executions, |sizes, random, number| {
            row![
                number + 1,
                Value::Bytes(random.bytes(32)),
                moment(random),
                random.below(90_000),
                random.below(2_000),
                random.once_in(3),
                random.pick(&["question", "ad-hoc", "dashboard"]),
                random.once_in(15).then(|| random.words(30)),
                any_user(sizes, random),
                random.once_in(2).then(|| 1 + random.below(sizes.cards)),
                1 + random.below(sizes.databases),
            ]
        })
}

fn tasks(sizes: &Sizes) -> SampleTable {
    Draft::new("task_history")
        .id(sizes.tasks + 1)
        .not_null("task", varchar(254))
        .nullable("db_id", integer())
        .default("started_at", timestamptz(), "now()")
        .nullable("ended_at", timestamptz())
        .nullable("duration", integer())
        .nullable("task_details", text())
        .default("status", varchar(21), "'started'::character varying")
        .refers("db_id", "metabase_database", SetNull)
        .rows(sizes.tasks, |sizes, random, number| {
            row![
                number + 1,
                random.pick(&["sync", "field values scanning", "send-pulses"]),
                (!random.once_in(3)).then(|| 1 + random.below(sizes.databases)),
                moment(random),
                moment(random),
                random.below(600_000),
                random.once_in(3).then(|| random.words(15)),
                random.pick(&["success", "failed", "started"]),
            ]
        })
}

/// Exactly Metabase's shape. Two migrations that ended long ago: a copy leaves them behind.
fn cloud_migrations() -> SampleTable {
    const ENDED: [(&str, u64); 2] = [("cancelled", 20), ("error", 51)];
    Draft::new("cloud_migration")
        .id(ENDED.len() as u64 + 1)
        .not_null("external_id", text())
        .not_null("upload_url", text())
        .default("state", varchar(32), "'init'::character varying")
        .default("progress", integer(), "0")
        .not_null("created_at", timestamptz())
        .not_null("updated_at", timestamptz())
        .rows(ENDED.len() as u64, |_, random, number| {
            let (state, progress) = ENDED[usize::try_from(number).expect("two rows")];
            let id = random.uuid();
            let url = format!(
                "https://store.example.com/{id}?X-Amz-Signature={}",
                random.hex(64)
            );
            let begun = EPOCH_MICROS + i64::try_from(number).expect("two rows") * 86_400_000_000;
            row![
                number + 1,
                id,
                url,
                state,
                progress,
                Value::Instant(begun),
                Value::Instant(begun + 754_130_546),
            ]
        })
}
