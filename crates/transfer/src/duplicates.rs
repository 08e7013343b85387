//! Rows that a key of the target would refuse, found before anything is written, with their keys.

use std::collections::HashMap;

use metaferry_domain::Cancellation;
use metaferry_domain::ports::{CaseRule, Snapshot, UniqueRule};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Column;
use xxhash_rust::xxh3::xxh3_128;

use crate::copy::BATCH_BYTES;
use crate::digest::canonical;
use crate::error::TransferError;
use crate::plan::{Plan, TablePlan};
use crate::row_rules::RowRules;

/// Keys of one table that are held in memory; beyond them it is left to the target itself.
const KEYS_MAX: usize = 1_000_000;
/// Keys that an error names, per rule.
const EXAMPLES_MAX: usize = 5;
/// Longest part of a key that an error quotes, in characters.
const KEY_CHARACTERS_MAX: usize = 80;

/// Refuses rows that a rule would; answers notes.
pub(crate) async fn refuse(
    snapshot: &dyn Snapshot,
    plan: &Plan,
    rules: &[UniqueRule],
    cancel: &Cancellation,
) -> Result<Vec<String>, TransferError> {
    let (mut keys, mut notes) = (Vec::new(), Vec::new());
    for rule in rules {
        let Some(table) = plan.tables.iter().find(|plan| plan.read.table == rule.table) else {
            continue;
        };
        match look(snapshot, table, rule, cancel).await? {
            Found::Nothing => {}
            Found::Duplicates(examples) => keys.push(format!(
                "{} of table {} ({}): {}",
                rule.name,
                rule.table,
                rule.columns
                    .iter()
                    .map(|(column, _)| column.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                examples.join(", ")
            )),
            Found::TooMany => notes.push(format!(
                "table {} has too many rows to look for duplicates beforehand",
                rule.table
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
    Nothing,
    Duplicates(Vec<String>),
    TooMany,
}

async fn look(
    snapshot: &dyn Snapshot,
    plan: &TablePlan,
    rule: &UniqueRule,
    cancel: &Cancellation,
) -> Result<Found, TransferError> {
    let at_table = |source| TransferError::Table {
        table: rule.table.clone(),
        source,
    };
    let Some(table) = snapshot.catalogue().table(&rule.table) else {
        return Ok(Found::Nothing);
    };
    let columns = plan.columns(table);
    let position = |key: &String| columns.iter().position(|column| column.name.key() == *key);
    let parts: Option<Vec<(usize, CaseRule)>> = rule
        .columns
        .iter()
        .map(|(column, case)| Some((position(column)?, *case)))
        .collect();
    let nulls: Option<Vec<usize>> = rule.only_where_null.iter().map(position).collect();
    let (Some(parts), Some(nulls)) = (parts, nulls) else {
        return Ok(Found::Nothing);
    };
    let mut rules = RowRules::of(snapshot, table, plan).await?;
    let mut reader = snapshot.read(&plan.read).await.map_err(at_table)?;
    let mut read = RowBatch::new(columns.len());
    let mut changed = RowBatch::new(columns.len());
    let mut seen: HashMap<u128, u32> = HashMap::new();
    let mut examples = Vec::new();
    let mut key = Vec::new();
    loop {
        cancel.check()?;
        reader.next(&mut read, BATCH_BYTES).await.map_err(at_table)?;
        if read.rows() == 0 {
            break;
        }
        let batch = rules.apply(&read, &mut changed).map_err(at_table)?;
        for row in 0..batch.rows() {
            let applies = nulls.iter().all(|&at| batch.cell(row, at) == Cell::Null)
                && parts.iter().all(|&(at, _)| batch.cell(row, at) != Cell::Null);
            if !applies {
                continue;
            }
            key.clear();
            for &(at, case) in &parts {
                part(batch.cell(row, at), columns[at], case, &mut key);
            }
            let times = seen.entry(xxh3_128(&key)).or_insert(0);
            *times += 1;
            if *times == 2 && examples.len() < EXAMPLES_MAX {
                let words: Vec<String> = parts.iter().map(|&(at, _)| words(batch.cell(row, at))).collect();
                examples.push(format!("({})", words.join(", ")));
            }
        }
        if seen.len() > KEYS_MAX {
            return Ok(Found::TooMany);
        }
    }
    Ok(if examples.is_empty() {
        Found::Nothing
    } else {
        Found::Duplicates(examples)
    })
}

fn part(cell: Cell<'_>, column: &Column, case: CaseRule, key: &mut Vec<u8>) {
    match (cell, case) {
        (Cell::Text(text), CaseRule::Folded) => canonical(Cell::Text(&text.to_lowercase()), column, key),
        (cell, CaseRule::Folded | CaseRule::Exact) => canonical(cell, column, key),
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
