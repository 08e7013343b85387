//! Names on Postgres: tables, views, indexes and keys share one space per schema, checks and foreign keys have one per
//! table, and none is longer than 63 bytes.

use std::collections::BTreeSet;

use metaferry_domain::schema::{Key, Name, Table};
use metaferry_domain::{ErrorKind, PortError};

use crate::sql::postgres_text::fold;

/// `NAMEDATALEN` less one, as every build that we know has it.
const BYTES_MAX: usize = 63;

/// The names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    relations: BTreeSet<String>,
    /// With the table's name before it.
    of_tables: BTreeSet<(String, String)>,
}

impl Names {
    /// A table's or view's name. Two that differ only in case cannot both travel: queries would not know which.
    pub(super) fn relation(&mut self, name: &Name) -> Result<String, PortError> {
        let folded = fold(name.as_str());
        if folded.len() > BYTES_MAX {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!("the name \"{folded}\" is longer than {BYTES_MAX} bytes; rename it or leave it out"),
            ));
        }
        if self.relations.insert(folded.clone()) {
            return Ok(folded);
        }
        Err(PortError::new(
            ErrorKind::Unsupported,
            format!(
                "two tables or views would both be \"{folded}\" on Postgres; rename or leave out one of them"
            ),
        ))
    }

    /// The name of a primary key or unique constraint, and so of its index. A name that nobody chose becomes
    /// `usual`, the one that Postgres itself would give.
    pub(super) fn key(&mut self, name: &Name, usual: &str, table: &Table, notes: &mut Vec<String>) -> String {
        let wanted = chosen(name).unwrap_or_else(|| usual.to_owned());
        unique(wanted, &mut |name| self.relations.insert(name), table, notes)
    }

    /// An index's name.
    pub(super) fn index(&mut self, name: &Name, table: &Table, notes: &mut Vec<String>) -> String {
        unique(
            fold(name.as_str()),
            &mut |name| self.relations.insert(name),
            table,
            notes,
        )
    }

    /// The name of a check or foreign key.
    pub(super) fn of_table(
        &mut self,
        name: &Name,
        usual: &str,
        table: &Table,
        notes: &mut Vec<String>,
    ) -> String {
        let wanted = chosen(name).unwrap_or_else(|| usual.to_owned());
        let key = table.name.key();
        unique(
            wanted,
            &mut |name| self.of_tables.insert((key.clone(), name)),
            table,
            notes,
        )
    }
}

/// The name, if somebody chose it: H2 makes `CONSTRAINT_…` up from a number, `MySQL` calls every primary key PRIMARY.
fn chosen(name: &Name) -> Option<String> {
    let folded = fold(name.as_str());
    let made_up = folded == "primary"
        || folded.is_empty()
        || folded.strip_prefix("constraint_").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
        });
    (!made_up).then_some(folded)
}

/// H2 says `PK_TABLE` where Postgres says `table_pkey`, of the name that the table had when it was made. The
/// scheduler's script and the actions' tables name theirs in the first way everywhere.
pub(super) fn primary_key_from_h2(table: &Table, key: &Key) -> String {
    let folded = fold(key.name.as_str());
    let is_named_everywhere = table.name.key().starts_with("qrtz_")
        || matches!(key.columns.as_slice(), [column] if column.key() == "action_id");
    match folded.strip_prefix("pk_") {
        Some(table) if !table.is_empty() && !is_named_everywhere => format!("{table}_pkey"),
        Some(_) | None => folded,
    }
}

/// The sequence of a table that was called otherwise when it was made, where Metabase's own loading of a dump still
/// asks for it by that name (reference: dump-to-h2, load-from-h2, copy).
pub(super) fn sequence_kept_through_a_rename(table: &str) -> Option<&'static str> {
    (table == "sandboxes").then_some("group_table_access_policy_id_seq")
}

/// The wanted name, cut to what fits and made unique.
fn unique(
    wanted: String,
    take: &mut dyn FnMut(String) -> bool,
    table: &Table,
    notes: &mut Vec<String>,
) -> String {
    let fitting = cut(&wanted, BYTES_MAX);
    if take(fitting.to_owned()) {
        if fitting != wanted {
            notes.push(format!(
                "{wanted} of table {} is called {fitting}",
                table.name.key()
            ));
        }
        return fitting.to_owned();
    }
    let mut number = 2_u32;
    loop {
        let suffix = format!("_{number}");
        let numbered = format!("{}{suffix}", cut(&wanted, BYTES_MAX - suffix.len()));
        if take(numbered.clone()) {
            notes.push(format!(
                "{wanted} of table {} is called {numbered}, the name is taken",
                table.name.key()
            ));
            return numbered;
        }
        // There are fewer names given than numbers tried, so one of them is free.
        number += 1;
    }
}

fn cut(name: &str, bytes_max: usize) -> &str {
    let mut end = name.len().min(bytes_max);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            schema: "S".into(),
            name: "T".into(),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            indexes: Vec::new(),
            comment: None,
            rows_estimate: 0,
            bytes_estimate: 0,
        }
    }

    #[test]
    fn names_that_nobody_chose_become_the_usual_ones() {
        let (mut names, mut notes) = (Names::default(), Vec::new());
        for (given, wanted) in [
            ("CONSTRAINT_4F", "usual"),
            ("PRIMARY", "usual_2"),
            ("CONSTRAINT_X", "constraint_x"),
            ("PK_T", "pk_t"),
        ] {
            assert_eq!(names.key(&given.into(), "usual", &table(), &mut notes), wanted);
        }
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (mut names, mut notes) = (Names::default(), Vec::new());
        let long = "ä".repeat(40);
        let first = names.index(&Name::new(&long), &table(), &mut notes);
        let second = names.index(&Name::new(&long), &table(), &mut notes);
        assert!(first.len() <= BYTES_MAX && second.len() <= BYTES_MAX && first != second);
        assert_eq!(notes.len(), 2);
        assert!(names.relation(&Name::new(&long)).is_err());
    }
}
