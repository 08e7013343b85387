//! The triggers that keep tables still, one for each kind of write, and for deletions whose cascade reaches them. They
//! refuse while somebody holds the lock of [`super::guard_session`], until the end that is written in them.

use metaferry_domain::schema::{Catalogue, ReferentialAction, Table};
use metaferry_metabase::read_only::is_guarded;

use super::connect::quoted;
use super::still_tables::StillTable;
use super::undo_script::literal;

/// What the names of our triggers begin with.
pub(super) const PREFIX: &str = "metaferry_guard_";

/// A trigger of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trigger {
    pub(super) table: String,
    pub(super) name: String,
    /// Such as `INSERT`.
    event: &'static str,
    /// Of a row that must not be written; `None` for each.
    condition: Option<String>,
}

impl Trigger {
    fn new(table: &str, event: &'static str, condition: Option<String>) -> Self {
        Self {
            table: table.to_owned(),
            name: format!("{PREFIX}{}_{table}", event.to_lowercase()),
            event,
            condition,
        }
    }

    /// The statement that makes it.
    pub(super) fn definition(&self, lock: &str, end: &str) -> String {
        let condition = self
            .condition
            .as_ref()
            .map_or_else(String::new, |condition| format!(" AND ({condition})"));
        // The server gives 128 letters for a message.
        let message = format!(
            "table {} is read-only while its snapshot is taken (Metaferry, until {} UTC at most)",
            self.table,
            end.get(11..16).unwrap_or(end)
        );
        format!(
            "CREATE TRIGGER {} BEFORE {} ON {} FOR EACH ROW
             BEGIN
                 IF IS_USED_LOCK({}) IS NOT NULL AND UTC_TIMESTAMP(6) < {}{condition} THEN
                     SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = {};
                 END IF;
             END",
            quoted(&self.name),
            self.event,
            quoted(&self.table),
            literal(lock),
            literal(end),
            literal(&message)
        )
    }
}

/// All that there are to be.
pub(super) fn all(tables: &[StillTable], catalogue: &Catalogue) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for table in tables {
        triggers.push(Trigger::new(&table.name, "INSERT", None));
        triggers.push(Trigger::new(&table.name, "DELETE", None));
        if let Some(differs) = table.differs() {
            triggers.push(Trigger::new(&table.name, "UPDATE", Some(differs)));
        }
    }
    // A cascade fires no triggers of the tables that it reaches.
    for table in catalogue
        .tables
        .iter()
        .filter(|table| !is_guarded(table.name.as_str()))
    {
        let reached = reached(catalogue, table, "OLD", &mut Vec::new());
        if !reached.is_empty() {
            let condition = Some(reached.join(" OR "));
            triggers.push(Trigger::new(table.name.as_str(), "DELETE", condition));
        }
    }
    triggers
}

/// Conditions for that a deletion of the row `parent` of `table` changes a row that must be still. `above` are the
/// tables that led here.
fn reached(catalogue: &Catalogue, table: &Table, parent: &str, above: &mut Vec<String>) -> Vec<String> {
    above.push(table.name.key());
    let mut conditions = Vec::new();
    for child in &catalogue.tables {
        for key in &child.foreign_keys {
            let changes = match key.on_delete {
                ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault => {
                    is_guarded(child.name.as_str())
                }
                ReferentialAction::NoAction | ReferentialAction::Restrict => false,
            };
            let goes_on = key.on_delete == ReferentialAction::Cascade && !above.contains(&child.name.key());
            if key.parent_table.key() != table.name.key() || !(changes || goes_on) {
                continue;
            }
            let row = format!("r{}", above.len());
            let below = if changes {
                None
            } else {
                let below = reached(catalogue, child, &row, above);
                if below.is_empty() {
                    continue;
                }
                Some(format!("({})", below.join(" OR ")))
            };
            let pairs = key
                .columns
                .iter()
                .zip(&key.parent_columns)
                .map(|(column, referenced)| {
                    format!(
                        "{row}.{} = {parent}.{}",
                        quoted(column.as_str()),
                        quoted(referenced.as_str())
                    )
                });
            let all: Vec<String> = pairs.chain(below).collect();
            conditions.push(format!(
                "EXISTS (SELECT 1 FROM {} {row} WHERE {})",
                quoted(child.name.as_str()),
                all.join(" AND ")
            ));
        }
    }
    above.pop();
    conditions
}
