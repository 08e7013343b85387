//! Which table is written how on MariaDB, made of its own catalogue. Not among them: the rows of this very migration and of the
//! scheduler, which the program itself writes; Liquibase's lock; and two tables that the writers count in. A table belongs to
//! one writer.
//!
//! A row is taken out of tables that no other refers to, and put in for another one, so that both ways are always open: the
//! writers have a copy of both.

use std::collections::BTreeMap;

use super::super::WRITERS;
use super::super::place::Place as _;
use super::{InMaria, tried};

/// Columns, in order: of which table, its name, the kind of its values, whether of the primary key, and whether of no index.
const COLUMNS: &str = "SELECT c.table_name, c.column_name, c.data_type, c.column_key = 'PRI',
        NOT EXISTS (SELECT 1 FROM information_schema.statistics s WHERE s.table_schema = c.table_schema
            AND s.table_name = c.table_name AND s.column_name = c.column_name)
    FROM information_schema.columns c
    JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = database() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
      AND c.table_name NOT LIKE 'qrtz%' AND lower(c.table_name) NOT IN
          ('cloud_migration', 'setting', 'user_parameter_value', 'databasechangeloglock')
    ORDER BY c.table_name, c.ordinal_position";

const REFERRED: &str = "SELECT DISTINCT referenced_table_name FROM information_schema.key_column_usage
    WHERE table_schema = database() AND referenced_table_name IS NOT NULL";

/// Exempt of a card; the last is what the sum is kept in.
const NOT_CHANGED: [&str; 3] = ["last_used_at", "updated_at", "cache_ttl"];

#[derive(Default)]
struct Table {
    columns: Vec<String>,
    key: Vec<String>,
    /// For each of the key: expressions for a condition that it is a row's.
    is_it: Vec<String>,
    /// An assignment that changes a row.
    change: Option<String>,
    /// Conditions for its first two rows, and for the last one.
    first: Vec<String>,
    last: Option<String>,
}

/// One of the ways to write to a table: its name, the table, and its statements.
struct Op(&'static str, String, String);

/// The statements that set everything up, in the writers' own database.
pub(super) fn made(place: &InMaria<'_>) -> Vec<String> {
    let referred = place.ask(REFERRED);
    let mut statements = vec![
        "CREATE TABLE job (table_name varchar(64) PRIMARY KEY, there char(1) NOT NULL DEFAULT 'a', rows_kept bigint)".to_owned(),
        "CREATE TABLE op (table_name varchar(64), op varchar(8), writer int, PRIMARY KEY (table_name, op))".to_owned(),
    ];
    let mut ops: Vec<Vec<Op>> = (0..WRITERS).map(|_| Vec::new()).collect();
    let tables = tables(place)
        .into_iter()
        .filter(|(_, table)| table.last.is_some());
    for (number, (name, table)) in tables.enumerate() {
        let writer = number % WRITERS;
        let own = &mut ops[writer];
        let swapped = <&[String; 2]>::try_from(&table.first[..])
            .ok()
            .filter(|_| !referred.contains(&name));
        if let Some(change) = &table.change {
            // Of two rows one is always away.
            let only = table
                .last
                .as_ref()
                .filter(|last| swapped.is_none_or(|[_, away]| away != *last));
            let only = only.map_or_else(String::new, |last| format!(" WHERE {last}"));
            own.push(Op(
                "update",
                name.clone(),
                one(&format!("UPDATE APP.`{name}` SET {change}{only}")),
            ));
        }
        if let Some([first, second]) = swapped {
            let columns = table.columns.join(", ");
            statements.push(format!(
                "CREATE TABLE `of_{name}` AS SELECT {columns} FROM APP.`{name}` WHERE ({first}) OR ({second})"
            ));
            statements.push(format!("DELETE FROM APP.`{name}` WHERE {second}"));
            let take = |row: &str| one(&format!("DELETE FROM APP.`{name}` WHERE {row}"));
            let put = |row: &str| {
                one(&format!(
                    "INSERT INTO APP.`{name}` ({columns}) SELECT {columns} FROM `of_{name}` WHERE {row}"
                ))
            };
            for (op, before, after) in [
                ("delete", [take(first), put(second)], [take(second), put(first)]),
                ("insert", [put(second), take(first)], [put(first), take(second)]),
            ] {
                own.push(Op(
                    op,
                    name.clone(),
                    format!(
                        "SELECT j.there INTO there FROM job j WHERE j.table_name = '{name}';
                         IF there = 'a' THEN {} ELSE {} END IF;
                         UPDATE job j SET j.there = IF(there = 'a', 'b', 'a') WHERE j.table_name = '{name}';",
                        before.concat(),
                        after.concat()
                    ),
                ));
            }
        }
        statements.push(format!(
            "INSERT INTO job (table_name, rows_kept) SELECT '{name}', count(*) FROM APP.`{name}`"
        ));
    }
    for (number, ops) in ops.iter().enumerate() {
        let writer = number + 1;
        let mut cases = String::new();
        for (place, Op(op, table, body)) in ops.iter().enumerate() {
            statements.push(format!("INSERT INTO op VALUES ('{table}', '{op}', {writer})"));
            cases += &format!("WHEN {place} THEN SET job = '{table}', op = '{op}'; {body}\n");
        }
        let body = format!("CASE n % {} {cases} END CASE;", ops.len());
        statements.push(tried(&format!("tables_{writer}"), "table", &body));
    }
    statements
}

/// That statement, which must write one row.
fn one(sql: &str) -> String {
    format!(
        "{sql}; IF ROW_COUNT() <> 1 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not one row'; END IF;\n"
    )
}

/// Every table that has a primary key, with its first and last rows.
fn tables(place: &InMaria<'_>) -> BTreeMap<String, Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for line in place.ask(COLUMNS) {
        let [name, column, kind, of_key, of_no_index] =
            <[&str; 5]>::try_from(line.split('|').collect::<Vec<_>>()).unwrap();
        let table = tables.entry(name.to_owned()).or_default();
        table.columns.push(format!("`{column}`"));
        if of_key == "1" {
            table.key.push(format!("`{column}`"));
            let literal = match kind {
                "binary" | "varbinary" | "blob" => format!("concat('0x', hex(`{column}`))"),
                _ => format!("quote(`{column}`)"),
            };
            table.is_it.push(format!("concat('`{column}` = ', {literal})"));
        }
        if table.change.is_none() && of_no_index == "1" && !NOT_CHANGED.contains(&column) {
            table.change = match kind {
                "bit" | "tinyint" | "int" | "bigint" => {
                    Some(format!("`{column}` = 1 - coalesce(`{column}`, 0)"))
                }
                "datetime" | "timestamp" => Some(format!(
                    "`{column}` = coalesce(`{column}`, '2026-01-01') + INTERVAL 1 SECOND"
                )),
                _ => None,
            };
        }
    }
    tables.retain(|_, table| !table.key.is_empty());
    let asked = tables.iter().map(|(name, Table { key, is_it, .. })| {
        let row = format!(
            "SELECT '{name}' AS name, concat_ws(' AND ', {}) AS is_it",
            is_it.join(", ")
        );
        let (up, down) = (key.join(", "), key.join(" DESC, "));
        format!(
            "(SELECT 'first', f.* FROM ({row} FROM `{name}` ORDER BY {up} LIMIT 2) f)
             UNION ALL (SELECT 'last', l.* FROM ({row} FROM `{name}` ORDER BY {down} DESC LIMIT 1) l)"
        )
    });
    for line in place.ask(&asked.collect::<Vec<_>>().join(" UNION ALL ")) {
        let [which, name, row] = <[&str; 3]>::try_from(line.split('|').collect::<Vec<_>>()).unwrap();
        let table = tables.get_mut(name).unwrap();
        if which == "last" {
            table.last = Some(row.to_owned());
        } else {
            table.first.push(row.to_owned());
        }
    }
    tables
}
