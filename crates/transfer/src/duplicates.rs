//! Rows that a key of the target would refuse, found before anything is written, with their keys.

use std::collections::{BTreeSet, HashMap};

use metaferry_domain::Cancellation;
use metaferry_domain::ports::{CaseRule, LoadTarget, RowOrder, Snapshot, UniqueRule};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, Table};
use xxhash_rust::xxh3::xxh3_128;

use crate::copy::BATCH_BYTES;
use crate::digest::canonical;
use crate::error::TransferError;
use crate::plan::{Plan, TablePlan};
use crate::row_rules::RowRules;

/// Keys of one table, of all its rules, that are held in memory; beyond them it is left to the target itself. An entry
/// takes 33 bytes in a map that doubles: with so many of them a map has at most 17 MiB, and half as much more while it
/// grows.
const KEYS_MAX: usize = 400_000;
/// Keys that an error names, per rule.
const EXAMPLES_MAX: usize = 5;
/// Longest part of a key that an error quotes, in characters.
const KEY_CHARACTERS_MAX: usize = 80;

/// Refuses rows that a rule would; answers notes.
pub(crate) async fn refuse(
    snapshot: &dyn Snapshot,
    plan: &Plan,
    rules: &[UniqueRule],
    target: &mut dyn LoadTarget,
    cancel: &Cancellation,
) -> Result<Vec<String>, TransferError> {
    let (mut keys, mut notes) = (Vec::new(), Vec::new());
    for table in &plan.tables {
        let rules: Vec<&UniqueRule> = rules
            .iter()
            .filter(|rule| rule.table == table.read.table)
            .collect();
        if rules.is_empty() {
            continue;
        }
        match look(snapshot, table, &rules, target, cancel).await? {
            Found::Duplicates(found) => keys.extend(found),
            Found::TooMany => notes.push(format!(
                "table {} has more than {KEYS_MAX} keys, too many to look for duplicates beforehand",
                table.read.table
            )),
        }
    }
    if keys.is_empty() {
        Ok(notes)
    } else {
        Err(TransferError::Duplicates { keys })
    }
}

enum Found {
    /// Each key with examples; none where all is well.
    Duplicates(Vec<String>),
    TooMany,
}

/// One rule while rows pass.
struct Watch<'a> {
    rule: &'a UniqueRule,
    /// Cells of its columns.
    parts: Vec<(usize, CaseRule)>,
    /// Cells that must be NULL for it to apply.
    nulls: Vec<usize>,
    seen: HashMap<u128, u32>,
    examples: Vec<String>,
}

/// The keys of a batch's texts, by cell and row; empty where there is no text.
type CollationKeys = HashMap<usize, Vec<Vec<u8>>>;

/// Looks at one table, once for all of its rules.
async fn look(
    snapshot: &dyn Snapshot,
    plan: &TablePlan,
    rules: &[&UniqueRule],
    target: &mut dyn LoadTarget,
    cancel: &Cancellation,
) -> Result<Found, TransferError> {
    let at_table = |source| TransferError::Table {
        table: plan.read.table.clone(),
        source,
    };
    let Some(table) = snapshot.catalogue().table(&plan.read.table) else {
        return Ok(Found::Duplicates(Vec::new()));
    };
    let plan = &narrowed(plan, table, rules);
    let columns = plan.columns(table);
    let mut watches: Vec<Watch<'_>> = rules.iter().filter_map(|rule| watch(rule, &columns)).collect();
    let collated: BTreeSet<usize> = watches
        .iter()
        .flat_map(|watch| &watch.parts)
        .filter(|(_, case)| *case == CaseRule::Collated)
        .map(|(at, _)| *at)
        .collect();
    let mut row_rules = RowRules::of(snapshot, table, plan).await?;
    let mut reader = snapshot.read(&plan.read).await.map_err(at_table)?;
    let mut read = RowBatch::new(columns.len());
    let mut changed = RowBatch::new(columns.len());
    loop {
        cancel.check()?;
        reader.next(&mut read, BATCH_BYTES).await.map_err(at_table)?;
        if read.rows() == 0 {
            break;
        }
        let batch = row_rules.apply(&read, &mut changed).map_err(at_table)?;
        let mut keys = CollationKeys::new();
        for &at in &collated {
            let texts: Vec<&str> = (0..batch.rows()).map(|row| text(batch.cell(row, at))).collect();
            let column = columns[at].name.key();
            let of_column = target
                .collation_keys(&plan.read.table, &column, &texts)
                .await
                .map_err(at_table)?;
            keys.insert(at, of_column);
        }
        for watch in &mut watches {
            watch.add(batch, &columns, &keys);
        }
        if watches.iter().map(|watch| watch.seen.len()).sum::<usize>() > KEYS_MAX {
            return Ok(Found::TooMany);
        }
    }
    Ok(Found::Duplicates(
        watches.into_iter().filter_map(Watch::found).collect(),
    ))
}

/// The same table by the columns of the rules alone, where nothing is changed on the way.
fn narrowed(plan: &TablePlan, table: &Table, rules: &[&UniqueRule]) -> TablePlan {
    let mut narrow = plan.clone();
    if plan.drop_rows.is_empty() && plan.rewrites.is_empty() && plan.recoding.is_none() {
        narrow.read.columns.retain(|&position| {
            let key = table.columns[position].name.key();
            rules.iter().any(|rule| {
                rule.columns.iter().any(|(column, _)| *column == key) || rule.only_where_null.contains(&key)
            })
        });
        narrow.read.order = RowOrder::Any;
    }
    narrow
}

/// `None` where a column of it is not carried.
fn watch<'a>(rule: &'a UniqueRule, columns: &[&Column]) -> Option<Watch<'a>> {
    let position = |key: &String| columns.iter().position(|column| column.name.key() == *key);
    let parts: Option<Vec<(usize, CaseRule)>> = rule
        .columns
        .iter()
        .map(|(column, case)| Some((position(column)?, *case)))
        .collect();
    let nulls: Option<Vec<usize>> = rule.only_where_null.iter().map(position).collect();
    Some(Watch {
        rule,
        parts: parts?,
        nulls: nulls?,
        seen: HashMap::new(),
        examples: Vec::new(),
    })
}

impl Watch<'_> {
    fn add(&mut self, batch: &RowBatch, columns: &[&Column], keys: &CollationKeys) {
        let mut key = Vec::new();
        for row in 0..batch.rows() {
            let applies = self.nulls.iter().all(|&at| batch.cell(row, at) == Cell::Null)
                && self
                    .parts
                    .iter()
                    .all(|&(at, _)| batch.cell(row, at) != Cell::Null);
            if !applies {
                continue;
            }
            key.clear();
            for &(at, case) in &self.parts {
                let collated = keys.get(&at).and_then(|keys| keys.get(row));
                part(batch.cell(row, at), columns[at], case, collated, &mut key);
            }
            let times = self.seen.entry(xxh3_128(&key)).or_insert(0);
            *times += 1;
            if *times == 2 && self.examples.len() < EXAMPLES_MAX {
                let words: Vec<String> = self
                    .parts
                    .iter()
                    .map(|&(at, _)| words(batch.cell(row, at)))
                    .collect();
                self.examples.push(format!("({})", words.join(", ")));
            }
        }
    }

    fn found(self) -> Option<String> {
        if self.examples.is_empty() {
            return None;
        }
        let columns: Vec<&str> = self
            .rule
            .columns
            .iter()
            .map(|(column, _)| column.as_str())
            .collect();
        Some(format!(
            "{} of table {} ({}): {}",
            self.rule.name,
            self.rule.table,
            columns.join(", "),
            self.examples.join(", ")
        ))
    }
}

fn text(cell: Cell<'_>) -> &str {
    match cell {
        Cell::Text(text) => text,
        _ => "",
    }
}

fn part(cell: Cell<'_>, column: &Column, case: CaseRule, collated: Option<&Vec<u8>>, key: &mut Vec<u8>) {
    match (cell, case, collated) {
        (Cell::Text(text), CaseRule::Folded, _) => canonical(Cell::Text(&text.to_lowercase()), column, key),
        (Cell::Text(_), CaseRule::Collated, Some(weights)) => canonical(Cell::Bytes(weights), column, key),
        (cell, CaseRule::Folded | CaseRule::Exact | CaseRule::Collated, _) => canonical(cell, column, key),
    }
}

fn words(cell: Cell<'_>) -> String {
    let text = match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => format!("{text:?}"),
        other => format!("{other:?}"),
    };
    text.chars().take(KEY_CHARACTERS_MAX).collect()
}
