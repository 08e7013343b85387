//! Liquibase's tables: which changes made the schema, and its lock.

use crate::draft::{Draft, SampleTable, boolean, integer, timestamp, varchar};
use crate::random::EPOCH_MICROS;
use crate::value::{Value, row};

/// The newest major version that the changes tell.
pub(crate) const SCHEMA_MAJOR: u64 = 55;
/// Changes whose ids others know.
const KNOWN: &[&str] = &["v00.00-000", "v49.2024-06-27T00:00:07", "v50.2024-05-13T16:00:00"];
/// All changes.
const CHANGES: u64 = 84;

pub(super) fn tables() -> Vec<SampleTable> {
    vec![changes(), lock()]
}

fn changes() -> SampleTable {
    Draft::new("databasechangelog")
        .not_null("id", varchar(255))
        .not_null("author", varchar(255))
        .not_null("filename", varchar(255))
        .not_null("dateexecuted", timestamp())
        .not_null("orderexecuted", integer())
        .not_null("exectype", varchar(10))
        .nullable("md5sum", varchar(35))
        .nullable("description", varchar(255))
        .nullable("comments", varchar(255))
        .nullable("tag", varchar(255))
        .nullable("liquibase", varchar(20))
        .nullable("contexts", varchar(255))
        .nullable("labels", varchar(255))
        .nullable("deployment_id", varchar(10))
        .unique_index(&["id", "author", "filename"])
        .rows(CHANGES, |_, random, number| {
            let major = 50 + number * (SCHEMA_MAJOR - 49) / CHANGES;
            let id = match usize::try_from(number).ok().and_then(|at| KNOWN.get(at)) {
                Some(id) => (*id).to_owned(),
                None => format!(
                    "v{major}.2025-{:02}-{:02}T00:00:{:02}",
                    1 + number % 12,
                    1 + number % 28,
                    number % 60
                ),
            };
            let executed = EPOCH_MICROS + i64::try_from(number).expect("few") * 11_017;
            row![
                id,
                random.pick(&["author-a", "author-b"]),
                format!("migrations/{major:03}_update_migrations.yaml"),
                Value::Wall(executed),
                number + 1,
                "EXECUTED",
                format!("9:{}", random.hex(32)),
                random.pick(&["createTable", "addColumn", "sql"]),
                random.once_in(2).then(|| random.words(6)),
                Value::Null,
                "4.26.0",
                Value::Null,
                Value::Null,
                "5689600123",
            ]
        })
}

fn lock() -> SampleTable {
    Draft::new("databasechangeloglock")
        .not_null("id", integer())
        .not_null("locked", boolean())
        .nullable("lockgranted", timestamp())
        .nullable("lockedby", varchar(255))
        .primary_key(&["id"])
        .rows(1, |_, _, _| row![1_u64, false, Value::Null, Value::Null])
}
