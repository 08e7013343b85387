//! The sample's tables, a few per file, and its views.

mod content;
mod history;
mod people;
mod permissions;
mod quartz;
mod schema_history;
mod settings;
mod views;
mod warehouse;

use metaferry_domain::schema::View;

use crate::draft::SampleTable;
use crate::random::Random;
use crate::sizes::Sizes;
use crate::value::Value;

pub(crate) use schema_history::SCHEMA_MAJOR;
pub(crate) use views::views;

/// Every table, sorted by name.
pub(crate) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    let mut tables: Vec<SampleTable> = [
        people::tables(sizes),
        permissions::tables(sizes),
        warehouse::tables(sizes),
        content::tables(sizes),
        history::tables(sizes),
        settings::tables(sizes),
        schema_history::tables(),
        quartz::tables(),
    ]
    .into_iter()
    .flatten()
    .collect();
    tables.sort_by_key(|sample| sample.table.name.key());
    tables
}

/// What the catalogue lists, in an order in which each only uses tables and earlier ones.
pub(crate) type Views = Vec<View>;

/// A random moment of the sample's history.
fn moment(random: &mut Random) -> Value {
    Value::Instant(random.micros())
}

/// The key of any user but the internal one.
fn any_user(sizes: &Sizes, random: &mut Random) -> u64 {
    1 + random.below(sizes.users)
}

/// How long a long text is at most, in bytes.
const LONG_TEXT_BYTES: u64 = 300_000;

/// JSON as Metabase keeps it in text columns; now and then a few hundred kilobytes of it.
fn json_text(random: &mut Random, row: u64) -> String {
    let bytes = if row % 61 == 3 {
        60_000 + random.below(LONG_TEXT_BYTES - 60_000)
    } else {
        random.below(600)
    };
    let words = random.text_of(bytes).replace('\\', "\\\\").replace('"', "\\\"");
    let words = words
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t");
    format!("{{\"n\":{},\"text\":\"{words}\"}}", random.below(1_000_000))
}
