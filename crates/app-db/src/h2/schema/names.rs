//! Names on H2: one space for all constraints of a schema and one for all indexes, where other databases have
//! one per table.

use std::collections::BTreeSet;

use metaferry_domain::schema::{Name, Table};
use metaferry_domain::{ErrorKind, PortError};

use crate::sql::h2_text;

/// The names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    relations: BTreeSet<String>,
    constraints: BTreeSet<String>,
    indexes: BTreeSet<String>,
}

impl Names {
    /// A table's or view's name. Two that differ only in case cannot both travel: queries would not know which.
    pub(super) fn relation(&mut self, name: &Name) -> Result<String, PortError> {
        let folded = h2_text::fold(name.as_str());
        if self.relations.insert(folded.clone()) {
            return Ok(folded);
        }
        Err(PortError::new(
            ErrorKind::Unsupported,
            format!("two tables or views would both be \"{folded}\" on H2; rename or leave out one of them"),
        ))
    }

    /// A constraint's name, made unique.
    pub(super) fn constraint(&mut self, name: &Name, table: &Table, notes: &mut Vec<String>) -> String {
        unique(&mut self.constraints, "constraint", name, table, notes)
    }

    /// An index's name, made unique.
    pub(super) fn index(&mut self, name: &Name, table: &Table, notes: &mut Vec<String>) -> String {
        unique(&mut self.indexes, "index", name, table, notes)
    }
}

fn unique(
    given: &mut BTreeSet<String>,
    what: &str,
    name: &Name,
    table: &Table,
    notes: &mut Vec<String>,
) -> String {
    let folded = h2_text::fold(name.as_str());
    if given.insert(folded.clone()) {
        return folded;
    }
    // There are fewer names given than numbers tried, so one of them is free.
    let numbered = (2..)
        .map(|number| format!("{folded}_{number}"))
        .find(|name| !given.contains(name));
    let numbered = numbered.unwrap_or(folded);
    notes.push(format!(
        "{what} {} of table {} is called {numbered} on H2, where the name is taken",
        name.key(),
        table.name.key()
    ));
    given.insert(numbered.clone());
    numbered
}
