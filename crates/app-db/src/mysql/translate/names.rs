//! Names on MySQL: tables and views share one space per database, foreign keys and checks have one, indexes have one per
//! table, and none is longer than 64 letters. All are compared without regard to case here, as some servers do.

use std::collections::BTreeSet;

use metaferry_domain::schema::{Dialect, Name, Table};
use metaferry_domain::{ErrorKind, PortError};

use super::own;
use crate::sql::mysql_text::fold;

/// The longest identifier, in letters.
const LETTERS_MAX: usize = 64;

/// The names given so far, in lower case.
#[derive(Debug)]
pub(super) struct Names {
    dialect: Option<Dialect>,
    relations: BTreeSet<String>,
    constraints: BTreeSet<String>,
    /// With the table's name before it.
    indexes: BTreeSet<(String, String)>,
}

impl Names {
    pub(super) fn of(dialect: Option<Dialect>) -> Self {
        Self {
            dialect,
            relations: BTreeSet::new(),
            constraints: BTreeSet::new(),
            indexes: BTreeSet::new(),
        }
    }

    /// What a table or view is called.
    pub(super) fn table(&self, name: &Name) -> String {
        match self.dialect {
            Some(Dialect::MySql) => name.as_str().to_owned(),
            Some(Dialect::H2 | Dialect::Postgres) | None if own::is_upper_case(&name.key()) => {
                name.as_str().to_uppercase()
            }
            Some(Dialect::H2 | Dialect::Postgres) | None => fold(name.as_str()),
        }
    }

    /// What a column is called.
    pub(super) fn column(&self, table: &Name, name: &Name) -> String {
        match self.dialect {
            Some(Dialect::MySql) => name.as_str().to_owned(),
            Some(Dialect::H2 | Dialect::Postgres) | None if own::is_upper_case(&table.key()) => {
                name.as_str().to_uppercase()
            }
            Some(Dialect::H2 | Dialect::Postgres) | None => fold(name.as_str()),
        }
    }

    /// Takes a table's or view's name. Two that differ only in case cannot both travel.
    pub(super) fn relation(&mut self, name: &Name) -> Result<String, PortError> {
        let own = self.table(name);
        if own.chars().count() > LETTERS_MAX {
            return Err(unsupported(format!(
                "the name \"{own}\" is longer than {LETTERS_MAX} letters; rename it or leave it out"
            )));
        }
        if self.relations.insert(own.to_lowercase()) {
            return Ok(own);
        }
        Err(unsupported(format!(
            "two tables or views would both be \"{own}\" on MySQL; rename or leave out one of them"
        )))
    }

    /// Is a column's name short enough?
    pub(super) fn check_column(table: &Table, own: &str) -> Result<(), PortError> {
        if own.chars().count() <= LETTERS_MAX {
            return Ok(());
        }
        Err(unsupported(format!(
            "table {}: the column name \"{own}\" is longer than {LETTERS_MAX} letters; rename it",
            table.name.key()
        )))
    }

    /// The name of an index or unique key. A name that nobody chose becomes `usual`.
    pub(super) fn index(
        &mut self,
        name: &Name,
        usual: &str,
        table: &Table,
        notes: &mut Vec<String>,
    ) -> String {
        let (wanted, is_usual) = self.wanted(name, usual, table);
        let key = table.name.key();
        let indexes = &mut self.indexes;
        // MySQL itself numbers keys that nobody named.
        let mut quiet = Vec::new();
        let notes = if is_usual { &mut quiet } else { notes };
        unique(
            wanted,
            &mut |name| indexes.insert((key.clone(), name.to_lowercase())),
            table,
            notes,
        )
    }

    /// The name of a foreign key or check.
    pub(super) fn constraint(
        &mut self,
        name: &Name,
        usual: &str,
        table: &Table,
        notes: &mut Vec<String>,
    ) -> String {
        let (wanted, _) = self.wanted(name, usual, table);
        let constraints = &mut self.constraints;
        unique(
            wanted,
            &mut |name| constraints.insert(name.to_lowercase()),
            table,
            notes,
        )
    }

    /// The name to try first, and whether nobody chose it.
    fn wanted(&self, name: &Name, usual: &str, table: &Table) -> (String, bool) {
        if self.dialect == Some(Dialect::MySql) {
            return (name.as_str().to_owned(), false);
        }
        let folded = fold(name.as_str());
        let lower = folded.to_lowercase();
        let made_up = lower.is_empty()
            || lower.strip_prefix("constraint_").is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
            });
        if made_up {
            return (usual.to_owned(), true);
        }
        if own::is_of_quartz(&table.name.key()) {
            return (folded.to_uppercase(), false);
        }
        (folded, false)
    }
}

fn unsupported(message: String) -> PortError {
    PortError::new(ErrorKind::Unsupported, message)
}

/// The wanted name, cut to what fits and made unique.
fn unique(
    wanted: String,
    take: &mut dyn FnMut(&str) -> bool,
    table: &Table,
    notes: &mut Vec<String>,
) -> String {
    let fitting = cut(&wanted, LETTERS_MAX);
    if take(&fitting) {
        if fitting != wanted {
            notes.push(format!(
                "{wanted} of table {} is called {fitting}",
                table.name.key()
            ));
        }
        return fitting;
    }
    let mut number = 2_u32;
    loop {
        let suffix = format!("_{number}");
        let numbered = format!("{}{suffix}", cut(&wanted, LETTERS_MAX - suffix.len()));
        if take(&numbered) {
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

fn cut(name: &str, letters_max: usize) -> String {
    name.chars().take(letters_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table {
            schema: "S".into(),
            name: name.into(),
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
    fn tables_have_the_case_that_metabase_gives_them() {
        let h2 = Names::of(Some(Dialect::H2));
        for (given, wanted) in [
            ("CORE_USER", "core_user"),
            ("QRTZ_LOCKS", "QRTZ_LOCKS"),
            ("myTable", "myTable"),
            ("DATABASECHANGELOG", "DATABASECHANGELOG"),
        ] {
            assert_eq!(h2.table(&given.into()), wanted);
        }
        let postgres = Names::of(Some(Dialect::Postgres));
        assert_eq!(postgres.table(&"qrtz_locks".into()), "QRTZ_LOCKS");
        assert_eq!(
            postgres.column(&"qrtz_locks".into(), &"lock_name".into()),
            "LOCK_NAME"
        );
        assert_eq!(
            Names::of(Some(Dialect::MySql)).table(&"QRTZ_locks".into()),
            "QRTZ_locks"
        );
    }

    #[test]
    fn keys_that_nobody_named_are_called_as_mysql_calls_them() {
        let (mut names, mut notes) = (Names::of(Some(Dialect::H2)), Vec::new());
        for (given, wanted) in [
            ("CONSTRAINT_4F", "slug"),
            ("CONSTRAINT_50", "slug_2"),
            ("UQ_X", "uq_x"),
        ] {
            assert_eq!(
                names.index(&given.into(), "slug", &table("T"), &mut notes),
                wanted
            );
        }
        let quartz = names.index(
            &"idx_qrtz_j_grp".into(),
            "x",
            &table("QRTZ_JOB_DETAILS"),
            &mut notes,
        );
        assert_eq!(quartz, "IDX_QRTZ_J_GRP");
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (mut names, mut notes) = (Names::of(Some(Dialect::Postgres)), Vec::new());
        let long = "ä".repeat(70);
        let first = names.constraint(&Name::new(&long), "x", &table("t"), &mut notes);
        let second = names.constraint(&Name::new(&long), "x", &table("u"), &mut notes);
        assert_eq!((first.chars().count(), second.chars().count()), (64, 64));
        assert_ne!(first, second);
        assert_eq!(notes.len(), 2);
        assert!(names.relation(&Name::new(&long)).is_err());
        assert!(names.relation(&"one".into()).is_ok());
        assert!(names.relation(&"ONE".into()).is_err());
    }
}
