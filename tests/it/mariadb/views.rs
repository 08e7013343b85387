//! Views on their way through other databases and back: all are there and give the rows that they gave before, whatever
//! the servers between made of their texts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pairs::{KINDS, Kind, Station, World};
use crate::app_db::Scale;
use crate::load::{copy, done};

/// By name: columns, and rows in no order.
pub(super) type Views = BTreeMap<String, (Vec<String>, Vec<String>)>;

/// Metabase's own.
const NAMES: [&str; 13] = [
    "v_alerts",
    "v_audit_log",
    "v_content",
    "v_dashboardcard",
    "v_databases",
    "v_fields",
    "v_group_members",
    "v_query_log",
    "v_subscriptions",
    "v_tables",
    "v_tasks",
    "v_users",
    "v_view_log",
];

/// All views, as JDBC reads them.
pub(super) fn views(world: &World<'_>, station: &Station<'_>) -> Views {
    let own = match station {
        Station::Postgres(_) | Station::H2(..) => "'public'",
        Station::MariaDb(_) => "database()",
    };
    let columns = format!(
        "SELECT lower(v.table_name), lower(c.column_name) FROM information_schema.views v \
         JOIN information_schema.columns c ON c.table_schema = v.table_schema AND c.table_name = v.table_name \
         WHERE lower(v.table_schema) = {own} ORDER BY v.table_name, c.ordinal_position"
    );
    let mut queries: Vec<(&str, String)> = NAMES.map(|view| (view, format!("SELECT * FROM {view}"))).to_vec();
    queries.push(("columns", columns));
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (*name, &**sql)).collect();
    let mut rows = station.ask(&world.app_db, &queries);
    let mut found = Views::new();
    for line in rows.remove("columns").unwrap() {
        let (view, column) = line.split_once('\t').unwrap();
        let (columns, _) = found.entry(view.to_owned()).or_default();
        columns.push(column.to_owned());
    }
    assert!(found.keys().eq(NAMES), "{:?}", found.keys());
    for (view, rows) in rows {
        let mut rows: Vec<String> = rows.iter().map(|row| comparable(row)).collect();
        rows.sort_unstable();
        found.get_mut(&view).unwrap().1 = rows;
    }
    found
}

/// The pieces of a list that a view makes come in any order.
fn comparable(row: &str) -> String {
    let cells = row.split('\t').map(|cell| {
        let mut pieces: Vec<&str> = cell.split(',').collect();
        pieces.sort_unstable();
        pieces.join(",")
    });
    cells.collect::<Vec<_>>().join("\t")
}

/// No view was left out on the way there.
pub(super) fn none_is_left_out(report: &Value, journey: &str) {
    let mut notes = report["notes"].as_array().unwrap().iter();
    let left_out = notes.find(|note| note.as_str().unwrap().starts_with("view "));
    assert_eq!(left_out, None, "{journey}");
}

/// All are there, with the columns and as many rows.
pub(super) fn are_as_many(found: &Views, wanted: &Views, journey: &str) {
    let sizes = |views: &Views| -> BTreeMap<String, (Vec<String>, usize)> {
        let sizes = views.iter();
        sizes
            .map(|(view, (columns, rows))| (view.clone(), (columns.clone(), rows.len())))
            .collect()
    };
    assert_eq!(sizes(found), sizes(wanted), "{journey}");
}

/// The same rows, between databases of one kind: each driver shows truth values in its own way.
pub(super) fn are_equal(found: &Views, wanted: &Views, journey: &str) {
    are_as_many(found, wanted, journey);
    for (view, (_, rows)) in found {
        assert_eq!(*rows, wanted[view].1, "{view}, {journey}");
    }
}

/// From that kind over each of the others in turn, and back in between, with what is translated translated again.
pub(super) fn come_back_from_everywhere(world: &World<'_>, from: Kind) {
    let mut here = world.full(from, Scale::Hundredth);
    let wanted = views(world, &here);
    for kind in KINDS.into_iter().filter(|kind| *kind != from) {
        for next in [kind, from] {
            let journey = format!("from {from:?} over {kind:?}, in {next:?}");
            let there = world.empty(next);
            none_is_left_out(
                &done(&copy(&here.url(), &there.url(), &["--include-logs"])),
                &journey,
            );
            let found = views(world, &there);
            match next == from {
                true => are_equal(&found, &wanted, &journey),
                false => are_as_many(&found, &wanted, &journey),
            }
            here = there;
        }
    }
}
