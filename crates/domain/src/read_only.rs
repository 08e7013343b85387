//! Which writes pass while read-only is on: a policy over tables and changed columns, and a guard for programs that
//! embed the crates and can ask before each of their own writes. Which tables are exempt is for who builds the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use thiserror::Error;

use crate::lease::FencingToken;
use crate::migration::ReadOnlyStrength;
use crate::ports::{ReadOnlyBefore, ReadOnlyGuard, ReadOnlyProof};
use crate::quiesce::NodeEvidence;
use crate::{Cancellation, ErrorKind, PortError};

/// Which writes pass. Names compare without regard to case. What it does not name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOnlyPolicy {
    exempt: BTreeMap<String, Exempt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exempt {
    Table,
    Columns(BTreeSet<String>),
}

/// A write that somebody is about to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// New rows.
    Insert,
    /// Changed rows, with the columns whose values really change.
    Update {
        /// Names of the columns.
        changed: &'a [&'a str],
    },
    /// Rows that go, by DELETE, TRUNCATE or a cascade.
    Delete,
}

/// A write that read-only refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{table} is read-only while a migration copies it{}: try again when it has ended", named(.columns))]
pub struct WriteRefused {
    /// The table.
    pub table: String,
    /// The changed columns that are not exempt; empty where the whole write is refused.
    pub columns: Vec<String>,
}

fn named(columns: &[String]) -> String {
    if columns.is_empty() {
        String::new()
    } else {
        format!(" (columns {})", columns.join(", "))
    }
}

impl ReadOnlyPolicy {
    /// A policy that refuses every write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every write to this table passes.
    #[must_use]
    pub fn exempt_table(mut self, table: &str) -> Self {
        self.exempt.insert(table.to_lowercase(), Exempt::Table);
        self
    }

    /// Updates of this table pass if they change no other columns than these.
    #[must_use]
    pub fn exempt_columns(mut self, table: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| column.to_lowercase()).collect();
        self.exempt.insert(table.to_lowercase(), Exempt::Columns(columns));
        self
    }

    /// Does a write pass while read-only is on? An update that changes nothing always does.
    ///
    /// # Errors
    /// [`WriteRefused`] if it does not.
    pub fn admit(&self, table: &str, write: Write<'_>) -> Result<(), WriteRefused> {
        let refused = |columns| {
            Err(WriteRefused {
                table: table.to_owned(),
                columns,
            })
        };
        let exempt = match self.exempt.get(&table.to_lowercase()) {
            Some(Exempt::Table) => return Ok(()),
            Some(Exempt::Columns(columns)) => Some(columns),
            None => None,
        };
        match write {
            Write::Insert | Write::Delete => refused(Vec::new()),
            Write::Update { changed } => {
                let is_exempt =
                    |column: &str| exempt.is_some_and(|exempt| exempt.contains(&column.to_lowercase()));
                let others: Vec<_> = changed
                    .iter()
                    .filter(|column| !is_exempt(column))
                    .map(|&column| column.to_owned())
                    .collect();
                if others.is_empty() {
                    Ok(())
                } else {
                    refused(others)
                }
            }
        }
    }
}

/// Read-only within one process, in force at once: the program asks [`InProcessReadOnly::admit`] before its own
/// writes. The state is lost with the process, and so is the need for it.
#[derive(Debug, Default)]
pub struct InProcessReadOnly {
    policy: ReadOnlyPolicy,
    value: Mutex<Option<String>>,
}

/// The text that the guard writes.
const OURS: &str = "true";

impl InProcessReadOnly {
    /// Off, with the policy that holds when it is on.
    #[must_use]
    pub fn new(policy: ReadOnlyPolicy) -> Self {
        Self {
            policy,
            value: Mutex::new(None),
        }
    }

    /// Does a write pass now?
    ///
    /// # Errors
    /// [`WriteRefused`] while read-only is on and the policy does not exempt the write.
    pub fn admit(&self, table: &str, write: Write<'_>) -> Result<(), WriteRefused> {
        if self.value().as_deref() == Some(OURS) {
            self.policy.admit(table, write)
        } else {
            Ok(())
        }
    }

    /// Switches by hand, as an administrator would: `None` as if nobody had ever set it.
    pub fn set(&self, value: Option<&str>) {
        *self.lock() = value.map(str::to_owned);
    }

    fn value(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // Nothing panics while holding it, and a value is whole at every moment.
        self.value
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl ReadOnlyGuard for InProcessReadOnly {
    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        Ok(ReadOnlyBefore {
            value: self.value(),
            ours: OURS.to_owned(),
        })
    }

    async fn engage(
        &self,
        _token: FencingToken,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
        _cancel: &Cancellation,
    ) -> Result<(), PortError> {
        match strength {
            ReadOnlyStrength::Flag | ReadOnlyStrength::None => {}
            ReadOnlyStrength::Enforced => {
                let what = "a program that is asked cannot be made to ask: choose the strength flag";
                return Err(PortError::new(ErrorKind::Unsupported, what));
            }
        }
        let mut value = self.lock();
        before.still_holds(value.as_deref())?;
        *value = Some(OURS.to_owned());
        Ok(())
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        // Nobody keeps a copy of the value.
        Ok(NodeEvidence::nobody())
    }

    async fn prove(
        &self,
        _strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
    ) -> Result<ReadOnlyProof, PortError> {
        let value = self.value();
        Ok(if value.as_ref() == Some(&before.ours) {
            ReadOnlyProof::Held
        } else {
            ReadOnlyProof::SwitchedOff { value }
        })
    }

    async fn restore(&self, _token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        let mut value = self.lock();
        if value.as_ref() == Some(&before.ours) {
            value.clone_from(&before.value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
